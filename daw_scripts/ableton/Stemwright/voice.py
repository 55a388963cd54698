"""What the user is told: in Live's status bar, its log, and by the program that gave an order."""

from __future__ import annotations

from . import jobs

SAID, ENDED = "/stemwright/live/said", "/stemwright/live/ended"
EVERY = 0.5  # seconds between two lines of progress
STAYS = 3.0  # seconds that news stay before progress covers them
LISTENING = 900.0  # seconds that who gave an order is told what comes of it
LONGEST = 900  # characters
STAGES = {"queued": "waits its turn", "waits": "the server is busy", "": "asked"}


class Voice:
    """host: see app.py. `door` answers the programs that gave orders; None without one."""

    def __init__(self, host):
        self._host = host
        self.door = None
        self._listeners = {}  # who → until when
        self._next = 0.0

    def listens(self, who):
        self._listeners[who] = self._host.now() + LISTENING

    def say(self, text, is_news=True):
        self._host.show(f"Stemwright: {text}")
        self._next = self._host.now() + (STAYS if is_news else EVERY)
        if is_news:
            self._host.log(text)
        self._answer(SAID, text[:LONGEST])

    def ended(self, state, title):
        """A job's end, for programs."""
        self._answer(ENDED, state, title[:LONGEST])

    def progress(self, tasks):
        """A line about all jobs, now and then."""
        now = self._host.now()
        if tasks and now >= self._next:
            self._next = now + EVERY
            text = " · ".join(line(task) for task in tasks)
            self._host.show(f"Stemwright: {text}")
            self._answer(SAID, text[:LONGEST])

    def _answer(self, address, *arguments):
        now = self._host.now()
        self._listeners = {who: until for who, until in self._listeners.items() if until > now}
        if self.door is not None:
            for who in self._listeners:
                self.door.answer(who, address, *arguments)


def line(task):
    """Where a job is."""
    job = task.job
    return f"{job.wish.title}: {_stage(task, job)}"


def _stage(task, job):
    if task.copying is not None:
        return "placing"
    if job.is_absent:
        return "waits for the server"
    if job.state == jobs.CANCELLING:
        return "cancelling"
    if job.done <= 0.0:
        return STAGES.get(job.stage, job.stage)
    left = f", {job.left:.0f} s left" if job.left >= 0 else ""
    return f"{100 * job.done:.0f} %{left}"
