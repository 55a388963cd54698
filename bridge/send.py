"""`stemwright send`: one job for a running server, followed to its end."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from stemwright.bridge import messages as say
from stemwright.bridge.client import Client, NoServer, Refused, publish
from stemwright.bridge.clients import is_here
from stemwright.bridge.grammar import (
    BAD_INPUT,
    BUSY,
    CODES,
    DISK_FULL,
    FORBIDDEN,
    INTERNAL,
    MODEL,
    QUEUE_FULL,
    UNKNOWN_MODEL,
    WORKER_LOST,
    BadMessage,
    Message,
    Value,
)
from stemwright.bridge.messages import PORT, Fail
from stemwright.bridge.options import BY_NAME, JOB_TASKS, MOST_VARIATIONS, checked
from stemwright.engine.commands.flags_values import whole
from stemwright.engine.commands.outputs import fitted, make_folder
from stemwright.engine.commands.show import Screen
from stemwright.engine.commands.stop import Stop
from stemwright.engine.errors import BadInput, BadJob, BadOutput, Cancelled, ModelError, StemwrightError
from stemwright.engine.job import Progress
from stemwright.engine.prompts import slug
from stemwright.engine.writing import quoted

EXAMPLES = """\
examples:
  stemwright send extract song.wav bass
  stemwright send add groove.wav "slap bass guitar" --variations 4 --output takes
  stemwright send generate "funk groove" --option seconds=20 --option seed=7
  stemwright send extract "the vocals" --option bars=8            from the server's live input
  stemwright send extract song.wav bass --host studio.local --token-file secret
exit codes:
  0    done
  1    an error of the server's own; its log has more
  2    the command line itself is wrong
  3    an input, a prompt or a number cannot be used
  4    the model is missing, damaged or too new
  5    a result cannot be written, or would overwrite a file
  7    no server answers, or it lets nobody in now (start one: stemwright serve)
  130  stopped by Ctrl-C or SIGTERM; the job is cancelled
"""
LIVE = ("upload", "capture", "last", "bars")  # options that name an input in place of a file
SUFFIXES = (".wav", ".flac")
GOODBYE = 3.0  # seconds to hear that a job is cancelled


class NoRoom(StemwrightError):
    """The server is there, but lets nobody in now."""

    exit_code = NoServer.exit_code


ERRORS: dict[str, type[StemwrightError]] = {  # what a refusal ends the command with; others with BadJob
    BAD_INPUT: BadInput, MODEL: ModelError, UNKNOWN_MODEL: ModelError, DISK_FULL: BadOutput,
    BUSY: NoRoom, QUEUE_FULL: NoRoom, FORBIDDEN: NoRoom, WORKER_LOST: StemwrightError,
    INTERNAL: StemwrightError,
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Flags may stand between the words."""

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        return self.parse_intermixed_args(args, namespace)


def parser() -> argparse.ArgumentParser:
    command = Parser(
        prog="stemwright send",
        description="Hand a job to a running server (stemwright serve) and wait for its stems.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags(command)
    return command


def flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("task", choices=JOB_TASKS, help="what to do, e.g. extract")
    command.add_argument(
        "words",
        nargs="*",
        metavar="[INPUT] PROMPT",
        help="an audio file (not for generate, nor with a live input), then what to hear, "
        'e.g. song.wav bass "slap bass guitar"',
    )
    command.add_argument(
        "--option",
        action="append",
        default=[],
        type=_option,
        metavar="KEY=VALUE",
        help=f"any option of the protocol ({', '.join(BY_NAME)}); may be repeated; none by default, "
        "e.g. --option guidance=2 --option preset=slap-bass",
    )
    command.add_argument(
        "--variations",
        type=_variations,
        metavar="N",
        help=f"so many takes, each of another seed (default: 1, at most {MOST_VARIATIONS}), "
        "e.g. --variations 4",
    )
    command.add_argument(
        "--id", default="", help="name of the job (default: a new one); the same again is the same job"
    )
    _results(command.add_argument_group("what comes back"))
    _server(command.add_argument_group("which server"))


def _results(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output",
        metavar="DIR",
        help="copy the results there, as song.bass.wav (default: they stay with the server, which keeps them "
        "for some days; with --remote: this folder), e.g. --output stems",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace files in --output (default: refuse before any work)"
    )
    group.add_argument(
        "--json", action="store_true", help="print one JSON object (default: the paths of the results)"
    )


def _server(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="(default: 127.0.0.1), e.g. --host studio.local")
    group.add_argument(
        "--port", type=_port, default=PORT, metavar="N", help=f"(default: {PORT}), e.g. --port 7900"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="the secret that a server beyond this machine wants (default: none), e.g. --token-file secret",
    )
    group.add_argument(
        "--remote",
        action="store_true",
        help="send the audio and fetch the stems through the network (default: by path on this machine, "
        "so for any other host), e.g. --remote",
    )


@dataclass(frozen=True)
class Order:
    """What the command line asks for. song: the input file; output: where results are copied to, if at all"""

    job: str
    task: str
    pairs: tuple[tuple[str, Value], ...]
    song: Path | None
    output: Path | None
    is_remote: bool
    overwrite: bool = False

    @property
    def title(self) -> str:
        return self.task if self.song is None else quoted(self.song)

    @property
    def has_variations(self) -> bool:
        return any(name == "variations" and value != 1 for name, value in self.pairs)

    def place(self, kind: str, seed: int, suffix: str) -> Path:
        """Where a result is copied to. What the server says is made safe for a file name."""
        assert self.output is not None
        prefix = self.song.stem if self.song else "generated" if self.task == "generate" else "live"
        take = f".seed-{seed}" if self.has_variations else ""
        return self.output / fitted(prefix, f".{slug(kind)}{take}{suffix if suffix in SUFFIXES else '.wav'}")


def run(flags: argparse.Namespace, stop: Stop) -> int:
    """→ the exit code"""
    order = ordered(flags)
    screen = Screen(is_json=flags.json)
    token = ""
    if flags.token_file:
        from stemwright.bridge.cli import read_token

        token = read_token(flags.token_file)
    with Client(flags.host, flags.port, token=token) as client:
        try:
            return Sending(order, client, screen, stop).all()
        except Refused as error:
            problem = as_error(error.fail)
            if flags.json:
                screen.result({"job": order.job, "error": str(problem), "exit_code": problem.exit_code}, [])
            raise problem from error


def ordered(flags: argparse.Namespace) -> Order:
    """The order, with everything refused that can be without the server."""
    words, options = list(flags.words), list(flags.option)
    if flags.variations is not None:
        options.append(("variations", flags.variations))
    song = None
    if flags.task != "generate" and not any(name in (*LIVE, "path") for name, _ in options):
        if not words:
            raise BadInput(f"{flags.task} needs an INPUT: an audio file, then what to hear.")
        song = _song(words.pop(0))
    is_remote = flags.remote or not (flags.host == "localhost" or is_here(flags.host))
    output = flags.output or ("." if is_remote else None)
    order = Order(
        job=flags.id or f"send-{secrets.token_hex(6)}",
        task=flags.task,
        pairs=(*(("prompt", word) for word in words), *options),
        song=song,
        output=None if output is None else Path(output),
        is_remote=is_remote,
        overwrite=flags.overwrite,
    )
    if order.output is not None:
        refuse_present(order, list(_expected(order)))
    return order


def _song(word: str) -> Path:
    path = Path(word).absolute()
    if not path.is_file():
        raise BadInput(f"{quoted(word)}: no such file. The first word after the task is the INPUT.")
    return path


def _expected(order: Order) -> Iterator[Path]:
    """The files that will come of it, where the command line tells."""
    from stemwright.bridge.asking import kinds, seeds
    from stemwright.bridge.request import make

    pairs = [pair for pair in order.pairs if pair[0] != "preset"]
    if order.song is not None:
        pairs.append(("path", str(order.song)))
    try:
        request = make(order.job, order.task, pairs)
    except BadMessage:  # the server will say it, knowing presets
        return
    if len(pairs) == len(order.pairs) + (order.song is not None):
        for seed in seeds(request):
            yield from (order.place(kind, seed, f".{request.format}") for kind in kinds(request))


def refuse_present(order: Order, places: Sequence[Path]) -> None:
    """BadOutput where a result would replace a file."""
    for place in places:
        if order.song is not None and place.resolve() == order.song.resolve():
            raise BadOutput(f"{quoted(place)} is itself the input. Write elsewhere with --output DIR.")
        if os.path.lexists(place) and not order.overwrite:
            raise BadOutput(
                f"{quoted(place)} is there already. Add --overwrite to replace it, "
                "or choose another --output."
            )


@dataclass
class Sending:
    """An order under way."""

    order: Order
    client: Client
    screen: Screen
    stop: Stop
    is_submitted: bool = False
    results: list[say.Result] = field(default_factory=list)

    def all(self) -> int:
        """→ the exit code; Refused and StemwrightError say what went wrong."""
        try:
            self._submit()
            end = self._follow()
            self.stop.check()
            if isinstance(end, Fail):
                raise Refused(end)
            if not isinstance(end, say.Finished):
                self.screen.note(f"{self.order.job}: was cancelled")
                return Cancelled.exit_code
            self._show(end, self._delivered())
        except KeyboardInterrupt:
            return self._cancelled()
        return 0

    def _submit(self) -> None:
        order = self.order
        if order.output is not None:
            make_folder(order.output)
        source: list[tuple[str, Value]] = []
        if order.song is not None and order.is_remote:
            self.screen.progress(order.title, Progress(0, 1, "upload"))
            source = [("upload", self.client.upload(order.song))]
        elif order.song is not None:
            source = [("path", _sendable(order.song))]
        self.is_submitted = True  # perhaps: cancelling does no harm
        accepted = self.client.submit(order.job, order.task, (*order.pairs, *source))
        ahead = f"queued, {accepted.position} before it" if accepted.position else "queued"
        self.screen.progress(order.title, Progress(0, 1, ahead))

    def _follow(self) -> Message:
        end: Message | None = None
        for event in self.client.follow(self.order.job):
            self.stop.check()
            if isinstance(event, say.Progress):
                left = event.seconds_left if event.seconds_left >= 0 else None
                at = Progress(round(event.done * 1000), 1000, event.stage, left)
                self.screen.progress(self.order.title, at)
            elif isinstance(event, say.Result):
                self.results.append(event)
            end = event
        assert end is not None
        return end

    def _delivered(self) -> list[say.Result]:
        """The results, by where they are now."""
        self.results.sort(key=lambda result: result.index)
        if self.order.output is None:
            return self.results
        places = [
            self.order.place(result.kind, result.seed, Path(result.path).suffix) for result in self.results
        ]
        refuse_present(self.order, places)
        for result, place in zip(self.results, places, strict=True):
            if self.order.is_remote:
                self.client.fetch(self.order.job, result.index, place, overwrite=self.order.overwrite)
            else:
                copy(Path(result.path), place, overwrite=self.order.overwrite)
        return [replace(result, path=str(place)) for result, place in zip(self.results, places, strict=True)]

    def _show(self, end: say.Finished, results: list[say.Result]) -> None:
        facts = {
            "job": self.order.job,
            "task": self.order.task,
            "input": None if self.order.song is None else str(self.order.song),
            "results": [
                {"kind": one.kind, "path": one.path, "seconds": round(one.seconds, 6), "seed": one.seed}
                for one in results
            ],
            "seconds": round(end.seconds, 3),
        }
        self.screen.result(facts, [result.path for result in results])

    def _cancelled(self) -> int:
        """Ctrl-C: the job is not wanted any more."""
        end: Message | None = None
        if self.is_submitted:
            with suppress(StemwrightError):
                self.client.cancel(self.order.job, GOODBYE)
                *_, end = self.client.follow(self.order.job, GOODBYE)
        if isinstance(end, say.Cancelled):
            told = "the job is cancelled"
        elif isinstance(end, say.Finished):
            told = "the job was done already; its results stay with the server"
        else:
            told = (
                "the server did not say that the job is cancelled"
                if self.is_submitted
                else "nothing was sent"
            )
        self.screen.note(f"stopped; {self.order.job}: {told}")
        return Cancelled.exit_code


def copy(source: Path, place: Path, *, overwrite: bool) -> None:
    """A file of this machine, whole or not at all."""
    part = place.parent / f".stemwright-{secrets.token_hex(8)}.part"
    try:
        shutil.copyfile(source, part)
        publish(part, place, overwrite=overwrite)
    except OSError as error:
        raise BadOutput(
            f"{quoted(source)}: cannot be copied to {quoted(place)} ({error.strerror}). "
            "Choose another --output, or add --remote."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def as_error(fail: Fail) -> StemwrightError:
    """What the server said as an error of ours, with its exit code."""
    return ERRORS.get(fail.code, BadJob)(fail.text or CODES.get(fail.code, fail.code))


def _sendable(path: Path) -> str:
    """A path as text; a name of other bytes than UTF-8 does not go into a message."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{quoted(path)}: the name is not UTF-8. Rename it, or add --remote.") from error
    return str(path)


def _option(text: str) -> tuple[str, Value]:
    name, equals, value = text.partition("=")
    known = BY_NAME.get(name)
    if not equals or known is None:
        raise argparse.ArgumentTypeError(
            f"{text!r:.60} is no option; KEY=VALUE, with a key of {', '.join(BY_NAME)}"
        )
    try:
        return name, checked(name, value if known.kind == "s" else float(value))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{name} takes a number, not {value!r:.40}") from error
    except BadMessage as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _variations(text: str) -> int:
    number = whole(text, 1)
    if number > MOST_VARIATIONS:
        raise argparse.ArgumentTypeError(f"{number} variations; {MOST_VARIATIONS} at most")
    return number


def _port(text: str) -> int:
    number = whole(text, 1)
    if number >= 2**16:
        raise argparse.ArgumentTypeError(f"{number} is no port; it takes 1 to 65535")
    return number
