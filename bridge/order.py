"""In which order jobs are done: live before batch, clients in turn, and which can be done together."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

from stemwright.bridge.request import Request

PRIORITIES = ("live", "batch")
MOST_TOGETHER = 8  # prompts in one pass of the engine


def batch_key(request: Request) -> Request | None:
    """What two jobs must share to be done in one pass; None for a job that must be done alone.

    They differ in their prompts only. Joint stems of one job share a mask among themselves and nobody else.
    """
    is_masked = request.task == "extract" and request.render != "decode"
    if not is_masked or request.like is not None or (request.joint and len(request.prompts) > 1):
        return None
    return replace(request, job="", prompts=(), joint=False, rest=False, play=False)


@dataclass
class _Line:
    """The waiting jobs of one priority."""

    clients: OrderedDict[str, OrderedDict[str, None]] = field(default_factory=OrderedDict)
    count: int = 0


class Waiting:
    """Jobs that wait. Every operation takes about as long with ten thousand of them as with ten."""

    def __init__(self) -> None:
        self._lines = {priority: _Line() for priority in PRIORITIES}
        self._jobs: dict[str, tuple[str, Request, Request | None]] = {}  # client, request, key
        self._alike: dict[Request, OrderedDict[str, int]] = {}  # key → jobs and the number of their prompts

    def __len__(self) -> int:
        return len(self._jobs)

    def push(self, request: Request, client: str, *, is_again: bool = False) -> None:
        """At the end of its client's line; a job that is done again goes to the front, and is done alone."""
        line = self._lines[request.priority]
        jobs = line.clients.setdefault(client, OrderedDict())
        jobs[request.job] = None
        line.count += 1
        if is_again:
            jobs.move_to_end(request.job, last=False)
            line.clients.move_to_end(client, last=False)
        key = None if is_again else batch_key(request)
        self._jobs[request.job] = (client, request, key)
        if key is not None:
            self._alike.setdefault(key, OrderedDict())[request.job] = len(request.prompts)

    def remove(self, job: str) -> None:
        """A job that waits does so no longer."""
        client, request, key = self._jobs.pop(job)
        line = self._lines[request.priority]
        jobs = line.clients[client]
        del jobs[job]
        line.count -= 1
        if not jobs:
            del line.clients[client]
        if key is not None:
            del self._alike[key][job]
            if not self._alike[key]:
                del self._alike[key]

    def pop(self) -> tuple[str, ...]:
        """The next job, and those that can be done in the same pass; () when nobody waits."""
        line = next((line for line in self._lines.values() if line.count), None)
        if line is None:
            return ()
        client, jobs = next(iter(line.clients.items()))
        first = next(iter(jobs))
        line.clients.move_to_end(client)
        batch = (first, *self._mates(first))
        for job in batch:
            self.remove(job)
        return batch

    def ahead(self, priority: str, client: str) -> int:
        """About how many jobs will begin before the next one of this client."""
        line = self._lines[priority]
        own = len(line.clients.get(client, ()))
        turns = (own + 1) * (len(line.clients) + (client not in line.clients)) - 1
        before = sum(self._lines[one].count for one in PRIORITIES[: PRIORITIES.index(priority)])
        return before + min(turns, line.count)

    def _mates(self, first: str) -> list[str]:
        _, request, key = self._jobs[first]
        if key is None:
            return []
        room = MOST_TOGETHER - len(request.prompts)
        found = []
        for job, prompts in self._alike[key].items():
            if job != first and prompts <= room:
                found.append(job)
                room -= prompts
            if room <= 0:
                break
        return found
