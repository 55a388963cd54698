"""One job, from its request to its end, as the server tells of it. No call into Live, no socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from . import stemwright_protocol as protocol

AGAIN = 1.0  # seconds until an unanswered request is sent again
ABSENT = 3.0  # seconds without an answer: nobody is there
QUIET = 4.0  # seconds without news of an accepted job: ask
FOR_LATER = (protocol.CODE_BUSY, protocol.CODE_QUEUE_FULL)  # refusals that are waited out
LATER = 2.0  # seconds until the next try then
PATIENCE = 900.0  # seconds that a job waits for a server

ASKING, RUNNING, CANCELLING, FINISHED, CANCELLED, FAILED = (
    "asking", "running", "cancelling", "finished", "cancelled", "failed",
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A result: its kind as the server names it, where its file lies, its length and seed."""

    index: int
    kind: str
    path: str
    seconds: float
    seed: int


class Job:
    """request: (address, arguments) to send; sent again it is the same job, and lost answers come again."""

    def __init__(self, name, wish, region, request, now):
        self.name, self.wish, self.region, self.request = name, wish, region, request
        self.state = ASKING
        self.done, self.stage, self.left = 0.0, "", -1.0
        self.text = ""  # of a failure
        self.results = {}  # index → Made
        self.count = 0
        self.is_absent = False  # the server, as far as we know
        self._begun = self._heard = now
        self._next = now  # when to send

    @property
    def is_open(self):
        return self.state in (ASKING, RUNNING, CANCELLING)

    def due(self, now):
        """What to send now: [(address, arguments)]. Sets `is_absent` and ends what has waited too long."""
        if not self.is_open:
            return []
        self._give_up(now)
        if not self.is_open or now < self._next:
            return []
        if self.state == RUNNING and now - self._heard < QUIET:
            return []
        self._next = now + (AGAIN if not self.is_absent else LATER)
        if self.state == CANCELLING:
            return [(protocol.CANCEL, (self.name,))]
        return [self.request]

    def _give_up(self, now):
        quiet = now - self._heard
        self.is_absent = quiet > ABSENT + (QUIET if self.state == RUNNING else 0.0)
        if self.state == CANCELLING and self.is_absent:
            self.state = CANCELLED
        elif quiet > PATIENCE:
            self.state = FAILED
            self.text = f"no server answered for {PATIENCE / 60:.0f} minutes"

    def in_order(self):
        """The results, as the server counts them."""
        return [self.results[index] for index in sorted(self.results)]

    def cancel(self, now):
        if self.is_open:
            self.state, self._next, self._heard = CANCELLING, now, now

    def hear(self, address, arguments, now):
        """A message of the server about this job; what does not fit its kind is left out."""
        reader = READERS.get(address)
        if reader is None or not self.is_open:
            return
        try:
            reader(self, arguments)
        except (IndexError, TypeError, ValueError):
            return
        self._heard, self.is_absent = now, False
        if self.state == ASKING and self.stage == "waits":
            self._next = now + LATER

    def _accepted(self, arguments):
        if self.state == ASKING:
            self.state, self.stage = RUNNING, "queued"

    def _progress(self, arguments):
        done, stage, left = arguments[1:4]
        self._accepted(arguments)
        self.done, self.stage, self.left = max(self.done, min(float(done), 1.0)), str(stage), float(left)

    def _result(self, arguments):
        index, count, kind, path, seconds = arguments[1:6]
        seed = arguments[6] if len(arguments) > 6 else 0
        self.count = int(count)
        self.results[int(index)] = Made(int(index), str(kind), str(path), float(seconds), int(seed))

    def _finished(self, arguments):
        if self.count and len(self.results) == self.count:
            self.state, self.done = FINISHED, 1.0
        else:  # a result got lost: ask at once, and all is told again
            self.state, self._next = ASKING, 0.0

    def _cancelled(self, arguments):
        self.state = CANCELLED

    def _fail(self, arguments):
        _, code, text = arguments[:3]
        if self.state == CANCELLING:
            self.state = CANCELLED
        elif code in FOR_LATER:
            self.state, self.stage = ASKING, "waits"
        else:
            self.state, self.text = FAILED, str(text)


READERS = {
    protocol.ACCEPTED: Job._accepted,
    protocol.PROGRESS: Job._progress,
    protocol.RESULT: Job._result,
    protocol.FINISHED: Job._finished,
    protocol.CANCELLED: Job._cancelled,
    protocol.FAIL: Job._fail,
}


def job_of(address, arguments):
    """The id that a message is about, or an empty text."""
    at = 3 if address == protocol.FAIL else 0
    return arguments[at] if len(arguments) > at and isinstance(arguments[at], str) else ""
