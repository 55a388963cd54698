"""What the queue is going to say once the journal has it, and the words for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import Message
from stemwright.bridge.journal import CANCELLED, FINISHED, Row
from stemwright.bridge.request import Request

Answer = Callable[[Message], None]


@dataclass(frozen=True)
class Words:
    """Something to say.

    job     what it is about
    answer  who is to be refused if that job is new and could not be journalled
    """

    say: Callable[[], None]
    job: str = ""
    answer: Answer | None = None


class Outbox:
    """Words of this round, in their order. new: jobs that the journal does not know yet"""

    def __init__(self) -> None:
        self.words: list[Words] = []
        self.new: set[str] = set()

    def taken(self) -> Outbox:
        """All of it; this one is empty then."""
        found = Outbox()
        found.words, self.words = self.words, []
        found.new, self.new = self.new, set()
        return found

    def answer(self, answer: Answer, message: Message, job: str = "") -> None:
        """job: the one without which it would not be true"""
        is_promise = isinstance(message, say.Accepted)
        self.words.append(Words(partial(answer, message), job, answer if is_promise else None))

    def call(self, what: Callable[[], None], job: str = "") -> None:
        self.words.append(Words(what, job))

    def without_new(self, refused: Callable[[str], Message]) -> list[Words]:
        """What can be said though the new jobs came to nothing: who was promised one is refused instead."""
        kept = []
        for one in self.words:
            if one.job not in self.new:
                kept.append(one)
            elif one.answer is not None:
                kept.append(Words(partial(one.answer, refused(one.job))))
        return kept


def ending(row: Row) -> list[Message]:
    """The results of a job that has ended, and how it ended."""
    job = row.request.job
    if row.state == FINISHED:
        return [*row.results, say.Finished(job, row.seconds)]
    if row.state == CANCELLED:
        return [say.Cancelled(job)]
    return [refusal(row.request, row.code, row.text)]


def refusal(request: Request, code: str, text: str) -> say.Fail:
    return say.Fail(f"{say.PREFIX}/{request.task}", code, text, request.job)
