"""A watched folder, for hosts without sockets.

    inbox/take-1.part/   the host makes it, puts request.json and in.wav into it …
    inbox/take-1/        … and renames it: now it is a job, and take-1 its id
        request.json     task, prompts and options; `path` is relative to this folder, in.wav by default
        status.json      from us: state, progress, stage, text; always whole
        cancel           from the host: a file of that name stops the job
        out/*.wav        from us: the stems
        done.json        from us, last: state finished, failed or cancelled, results, code, text

A folder with a done.json is never looked at again. What is no job, or unsafe, is left alone, and said.
The folder is polled: that works on every system and on network disks.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import (
    BAD_ARGS,
    BUSY,
    DISK_FULL,
    FORBIDDEN_PATH,
    INTERNAL,
    NOT_FOUND,
    QUEUE_FULL,
    TOO_LARGE,
    BadMessage,
    Message,
    Pairs,
)
from stemwright.bridge.request import ID, SOURCES, Request, make
from stemwright.engine.writing import FULL

EVERY = 0.2  # seconds between two looks; longer where a look takes long
SHARE = 0.2  # of one core at most, for looking
LATER = 2.0  # seconds until what could not be done is tried again
LARGEST_REQUEST = 1 << 16  # bytes of request.json
PART = ".part"
REQUEST, INPUT, STATUS, DONE, CANCEL, OUT = (
    "request.json", "in.wav", "status.json", "done.json", "cancel", "out",
)  # fmt: skip
CARD = ".server.json"
CARD_EVERY = 5.0  # seconds
FOR_LATER = (QUEUE_FULL, BUSY)  # refusals that a folder waits out

Answer = Callable[[Message], None]


@dataclass
class Watched:
    """A job of the folder that has not ended. end: what its done.json will say"""

    folder: Path
    request: Request
    state: str = "waiting"  # until it is accepted
    progress: float = 0.0
    stage: str = ""
    text: str = ""
    seconds_left: float = -1.0
    results: dict[int, say.Result] = field(default_factory=dict)
    end: Message | None = None
    not_before: float = 0.0  # monotonic: when to try again
    is_submitted: bool = False
    is_cancel_asked: bool = False
    is_changed: bool = True  # since status.json was written


class FolderWatch:
    """Turns the folders of an inbox into jobs, and what becomes of them into files.

    submit  takes a request, answers with Accepted or Fail
    cancel  takes an id, answers with Done or Fail
    fill    puts a preset's options behind those of a request
    note    hears a sentence about what is left alone
    card    what `.server.json` tells hosts; written again every CARD_EVERY seconds, with the time

    The events of the jobs are handed to `tell`, as are those answers; any thread may.
    """

    def __init__(
        self,
        folder: Path,
        submit: Callable[[Request, Answer], None],
        cancel: Callable[[str, Answer], None],
        *,
        fill: Callable[[Pairs], Pairs] = lambda pairs: pairs,
        note: Callable[[str], None] = lambda text: None,
        card: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.folder = folder.resolve()
        self._submit, self._cancel, self._fill, self._note = submit, cancel, fill, note
        self._card, self._card_due = card, 0.0
        self._told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._watched: dict[str, Watched] = {}
        self._over: set[str] = set()  # names that are ended, or left alone
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="inbox", daemon=True)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Jobs that have not ended stay as they are, and go on when a watch is started again."""
        self._is_stopped.set()
        self._thread.join()
        with suppress(OSError):
            (self.folder / CARD).unlink(missing_ok=True)

    def tell(self, message: Message) -> None:
        """An answer or event of the queue, about any job."""
        self._told.put(message)

    def _watch(self) -> None:
        while not self._is_stopped.is_set():
            begin = time.monotonic()
            try:
                self.look()
            except Exception as error:  # the watch must not end
                self._note(f"{self.folder}: {type(error).__name__}: {error}")
            self._is_stopped.wait(max(EVERY, (time.monotonic() - begin) / SHARE))

    def look(self) -> None:
        """One look: what was told, what is new, what is to be cancelled, what has ended."""
        self._hear()
        self._show_card()
        try:
            names = set(os.listdir(self.folder))
        except OSError as error:
            self._note(f"{self.folder}: the inbox cannot be read ({error.strerror})")
            return
        self._over &= names
        self._forget(names)
        for name in self._new(names):
            self._begin(name)
        for name, job in list(self._watched.items()):
            self._tend(name, job)

    def _show_card(self) -> None:
        """For hosts without sockets: that somebody is here, and what there is to ask for."""
        if time.monotonic() >= self._card_due:
            self._card_due = time.monotonic() + CARD_EVERY
            with suppress(OSError):
                write_json(self.folder / CARD, {"time": time.time(), **self._card()})

    # What the queue says

    def _hear(self) -> None:
        with suppress(queue.Empty):
            while True:
                message = self._told.get_nowait()
                job = self._watched.get(getattr(message, "job", ""))
                if job is not None and job.end is None:
                    _heed(job, message)

    # What the host does

    def _forget(self, names: set[str]) -> None:
        """Jobs whose folder has been removed are wanted no more."""
        for name in [name for name in self._watched if name not in names]:
            job = self._watched.pop(name)
            if job.is_submitted and job.end is None:
                self._cancel(name, self.tell)

    def _new(self, names: set[str]) -> list[str]:
        """Job folders not seen before, the oldest first."""
        found = []
        for name in names - self._over - self._watched.keys():
            if name.startswith(".") or name.endswith(PART):
                continue
            place = self.folder / name
            try:
                kind = place.lstat()
            except OSError:
                continue
            if not ID.fullmatch(name):
                self._leave(name, "its name is no id: letters, digits, . _ -, at most 64")
            elif not _is_folder(kind):
                self._leave(name, "it is no folder; a job is a folder with request.json in it")
            elif os.path.lexists(place / DONE):
                self._over.add(name)
            else:
                found.append((kind.st_mtime, name))
        return [name for _, name in sorted(found)]

    def _leave(self, name: str, reason: str) -> None:
        self._over.add(name)
        self._note(f"{name!r:.80} in the inbox is left alone: {reason}")

    def _begin(self, name: str) -> None:
        place = self.folder / name
        if not os.path.lexists(place / REQUEST):
            return  # the host is not ready
        try:
            request = read_request(place, self._fill)
        except BadMessage as error:
            self._watched[name] = Watched(place, Request(name, ""), end=_refusal(name, error))
        else:
            self._watched[name] = Watched(place, request)

    def _tend(self, name: str, job: Watched) -> None:
        now = time.monotonic()
        if job.end is None and not job.is_cancel_asked and os.path.lexists(job.folder / CANCEL):
            job.is_cancel_asked = True
            if job.is_submitted:
                self._cancel(name, self.tell)
            else:
                job.end = say.Cancelled(name)
        if job.end is None and not job.is_submitted and now >= job.not_before:
            job.is_submitted = True
            self._submit(job.request, self.tell)
        try:
            if job.end is not None and now >= job.not_before:
                finish(job, job.end)
                del self._watched[name]
                self._over.add(name)
            elif job.end is None and job.is_changed:
                write_json(job.folder / STATUS, _status(job))
                job.is_changed = False
        except OSError as error:
            self._trouble(name, job, error)

    def _trouble(self, name: str, job: Watched, error: OSError) -> None:
        """What cannot be written is written later."""
        if not job.not_before:
            self._note(f"{name} in the inbox: cannot be written ({error.strerror}); tried again until it can")
        job.not_before = time.monotonic() + LATER


def _heed(job: Watched, message: Message) -> None:
    """What a message means for its job."""
    job.is_changed = True
    if isinstance(message, say.Accepted):
        job.state, job.text = "queued", ""
    elif isinstance(message, say.Progress):
        job.state, job.progress, job.stage = "running", message.done, message.stage
        job.seconds_left = message.seconds_left
    elif isinstance(message, say.Result):
        job.results[message.index] = message
    elif isinstance(message, say.Fail) and message.request == say.Cancel.address:
        pass  # it has ended already, which is told too
    elif isinstance(message, say.Fail) and message.code in FOR_LATER and job.state == "waiting":
        job.is_submitted, job.not_before, job.text = False, time.monotonic() + LATER, message.text
    elif isinstance(message, say.Finished | say.Cancelled | say.Fail):
        job.end = message


def finish(job: Watched, end: Message) -> None:
    """Stems, status.json and, last, done.json. OSError: nothing is final yet."""
    results: list[dict[str, Any]] = []
    if isinstance(end, say.Finished):
        try:
            results = deliver(job)
        except OSError as error:
            end = _undelivered(job, error)
    done: dict[str, Any] = {
        "job": job.request.job,
        "state": _state(end),
        "seconds": round(end.seconds, 3) if isinstance(end, say.Finished) else 0.0,
        "results": results,
        "code": end.code if isinstance(end, say.Fail) else "",
        "text": end.text if isinstance(end, say.Fail) else "",
    }
    job.state, job.text = done["state"], done["text"]
    job.progress = 1.0 if job.state == "finished" else job.progress
    job.seconds_left = -1.0
    with suppress(OSError):  # done.json is what counts
        write_json(job.folder / STATUS, _status(job))
    write_json(job.folder / DONE, done)


def deliver(job: Watched) -> list[dict[str, Any]]:
    """The results into out/, each whole or not there; → what done.json says of them."""
    out = job.folder / OUT
    out.mkdir(exist_ok=True)
    if not _is_folder(out.lstat()):
        raise NotADirectoryError(0, "out is no folder")
    told = []
    for _, result in sorted(job.results.items()):
        source = Path(result.path)
        part, place = out / f".{source.name}{PART}", out / source.name
        part.unlink(missing_ok=True)
        try:
            os.link(source, part)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(source, part)
        os.replace(part, place)
        part.unlink(missing_ok=True)  # it stays when both are the same file already
        told.append(
            {
                "kind": result.kind,
                "path": f"{OUT}/{source.name}",
                "seconds": round(result.seconds, 6),
                "seed": result.seed,
            }
        )
    return told


def read_request(folder: Path, fill: Callable[[Pairs], Pairs]) -> Request:
    """The request of a job's folder, its files named in full; BadMessage says what is wrong with it."""
    content = _json(_read_small(folder / REQUEST))
    if not isinstance(content, dict):
        raise BadMessage(BAD_ARGS, "request.json is no JSON object")
    job, task, prompts = (
        content.pop("job", folder.name),
        content.pop("task", None),
        content.pop("prompts", []),
    )
    if job != folder.name:
        raise BadMessage(BAD_ARGS, f'"job" is {job!r:.70}; it is the folder\'s name, {folder.name}')
    if not isinstance(task, str) or not isinstance(prompts, list):
        raise BadMessage(BAD_ARGS, 'request.json needs a "task"; "prompts" is a list of texts')
    if task != "generate" and not any(content.get(source) is not None for source in SOURCES):
        content["path"] = INPUT
    pairs: list[Any] = [("prompt", prompt) for prompt in prompts]
    pairs += [(name, _named(folder, name, value)) for name, value in content.items() if value is not None]
    return make(folder.name, task, fill(tuple(pairs)))


def _named(folder: Path, name: str, value: Any) -> Any:
    """A file beside request.json in full; others by their whole path, which the server's roots judge."""
    if name not in ("path", "like") or not isinstance(value, str):
        return value
    if Path(value).is_absolute() or value.startswith(("~", "\\\\", "//")):
        return value
    try:
        place = (folder / value).resolve(strict=True)
        if not (folder in place.parents and stat.S_ISREG(place.stat().st_mode)):
            raise BadMessage(FORBIDDEN_PATH, f"{name} is {value!r:.80}; give a file inside the folder")
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL; RuntimeError: a ring of links
        raise BadMessage(NOT_FOUND, f"{name} is {value!r:.80}; no such file in the folder") from error
    return str(place)


def _read_small(path: Path) -> bytes:
    """A plain file's bytes; BadMessage for anything else, without waiting for it."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BadMessage(FORBIDDEN_PATH, f"{path.name} is no plain file")
        with os.fdopen(os.open(path, flags | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadMessage(FORBIDDEN_PATH, f"{path.name} is no plain file")
            data = file.read(LARGEST_REQUEST + 1)
    except OSError as error:
        raise BadMessage(BAD_ARGS, f"{path.name} cannot be read ({error.strerror})") from error
    if len(data) > LARGEST_REQUEST:
        raise BadMessage(TOO_LARGE, f"{path.name} is over {LARGEST_REQUEST} bytes")
    return data


def _json(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_refused_constant)
    except RecursionError as error:
        raise BadMessage(BAD_ARGS, "request.json nests too deeply") from error
    except ValueError as error:  # also what is not UTF-8
        raise BadMessage(BAD_ARGS, f"request.json is not JSON: {error!s:.200}") from error


def _refused_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """A small file, whole at every moment; what stands there is replaced, also a link."""
    part = path.with_name(f".{path.name}{PART}")
    part.unlink(missing_ok=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    with os.fdopen(os.open(part, flags, 0o666), "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=True)
        file.flush()
        if path.name == DONE:
            os.fsync(file.fileno())
    os.replace(part, path)


def _status(job: Watched) -> dict[str, Any]:
    return {
        "job": job.request.job,
        "state": job.state,
        "progress": round(job.progress, 4),
        "stage": job.stage,
        "seconds_left": round(job.seconds_left, 1),
        "text": job.text,
    }


def _state(end: Message) -> str:
    return {say.Finished: "finished", say.Cancelled: "cancelled"}.get(type(end), "failed")


def _refusal(name: str, error: BadMessage) -> say.Fail:
    return say.Fail(say.PREFIX, error.code, str(error), name)


def _undelivered(job: Watched, error: OSError) -> say.Fail:
    text = f"the results could not be put into {OUT}/ ({error.strerror})"
    code = DISK_FULL if error.errno in FULL else INTERNAL
    return say.Fail(say.PREFIX, code, text, job.request.job)


def _is_folder(kind: os.stat_result) -> bool:
    """A folder itself, not a link or mount to one (Windows: a junction)."""
    return stat.S_ISDIR(kind.st_mode) and not getattr(kind, "st_reparse_tag", 0)
