"""The watched folder: what hosts put there, what comes back, and what they may not do."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.folder import LARGEST_REQUEST, FolderWatch
from stemwright.bridge.grammar import (
    BAD_ARGS,
    FORBIDDEN_PATH,
    INTERNAL,
    NOT_FOUND,
    QUEUE_FULL,
    TOO_LARGE,
    UNKNOWN_PRESET,
    WORKER_LOST,
    BadMessage,
    Message,
    Pairs,
)
from stemwright.bridge.messages import Fail
from stemwright.bridge.request import Request
from tests.bridge.waiting import until

SOUND = b"RIFF, as far as this test cares"


class Queue:
    """Remembers what it is asked; `refusal` is what submissions are answered with instead of Accepted."""

    def __init__(self) -> None:
        self.submitted: list[Request] = []
        self.cancelled: list[str] = []
        self.refusal: Callable[[Request], Fail] | None = None

    def submit(self, request: Request, answer: Callable[[Message], None]) -> None:
        self.submitted.append(request)
        answer(self.refusal(request) if self.refusal else say.Accepted(request.job, 0))

    def cancel(self, job: str, answer: Callable[[Message], None]) -> None:
        self.cancelled.append(job)
        answer(say.Done(say.Cancel.address, job))


class Inbox:
    """A watch, its queue and its notes. The watch looks when it is told to."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.queue, self.notes = folder / "inbox", Queue(), list[str]()
        self.spool = folder / "spool"
        self.spool.mkdir(exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self.watch = FolderWatch(
            self.folder, self.queue.submit, self.queue.cancel, note=self.notes.append, **options
        )

    def put(self, name: str, request: Any = None, *, sound: bool = True) -> Path:
        """What a host does; `request` as bytes goes into the file as it is."""
        part = self.folder / f"{name}.part"
        part.mkdir()
        if sound:
            (part / "in.wav").write_bytes(SOUND)
        content = {"task": "extract", "prompts": ["bass"]} if request is None else request
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (part / "request.json").write_bytes(data)
        return part.rename(self.folder / name)

    def finish(self, job: str, *names: str) -> None:
        """The queue's events at the end of a job with these results."""
        for index, name in enumerate(names):
            path = self.spool / name
            path.write_bytes(SOUND + name.encode())
            self.watch.tell(say.Result(job, index, len(names), Path(name).stem, str(path), 2.5, 7))
        self.watch.tell(say.Finished(job, 1.25))
        self.watch.look()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def failed(place: Path) -> tuple[str, str]:
    """code and text of a done.json that says failed"""
    done = read(place / "done.json")
    assert done["state"] == "failed"
    assert done["results"] == []
    return done["code"], done["text"]


def test_a_renamed_folder_becomes_a_job_and_its_stems_come_back(inbox: Inbox) -> None:
    place = inbox.put("take-1", {"task": "extract", "prompts": ["bass"], "seed": 3, "path": "in.wav"})
    inbox.watch.look()
    assert inbox.queue.submitted == [
        Request("take-1", "extract", ("bass",), path=str(place / "in.wav"), seed=3)
    ]
    inbox.watch.look()
    assert read(place / "status.json")["state"] == "queued"
    inbox.watch.tell(say.Progress("take-1", 0.5, "sample", 4.0))
    inbox.watch.look()
    status = read(place / "status.json")
    assert status == {
        "job": "take-1",
        "state": "running",
        "progress": 0.5,
        "stage": "sample",
        "seconds_left": 4.0,
        "text": "",
    }
    assert not (place / "done.json").exists()
    inbox.finish("take-1", "bass.wav", "rest.wav")
    assert read(place / "done.json") == {
        "job": "take-1",
        "state": "finished",
        "seconds": 1.25,
        "results": [
            {"kind": "bass", "path": "out/bass.wav", "seconds": 2.5, "seed": 7},
            {"kind": "rest", "path": "out/rest.wav", "seconds": 2.5, "seed": 7},
        ],
        "code": "",
        "text": "",
    }
    assert (place / "out" / "bass.wav").read_bytes() == SOUND + b"bass.wav"
    assert sorted(path.name for path in (place / "out").iterdir()) == ["bass.wav", "rest.wav"]
    assert read(place / "status.json")["state"] == "finished"


def test_a_folder_still_being_filled_is_not_touched(inbox: Inbox) -> None:
    part = inbox.folder / "take-1.part"
    part.mkdir()
    (part / "request.json").write_text("{")
    (inbox.folder / "empty").mkdir()  # a host that does not rename, and has not written its request yet
    inbox.watch.look()
    assert inbox.queue.submitted == []
    assert sorted(path.name for path in part.iterdir()) == ["request.json"]
    assert list((inbox.folder / "empty").iterdir()) == []
    assert inbox.notes == []


def test_in_wav_is_the_input_that_needs_no_words(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.put("words", {"task": "generate", "prompts": ["funk"], "seconds": 5}, sound=False)
    inbox.watch.look()
    assert {request.job: request.path for request in inbox.queue.submitted} == {
        "take-1": str(place / "in.wav"),
        "words": None,
    }


def test_a_finished_folder_is_never_run_again(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put("take-1")
    inbox.watch.look()
    inbox.finish("take-1", "bass.wav")
    again = Inbox(tmp_path)
    again.watch.look()
    again.watch.look()
    assert again.queue.submitted == []


def test_a_folder_that_was_running_is_handed_in_again_after_a_restart(inbox: Inbox, tmp_path: Path) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    again = Inbox(tmp_path)
    again.watch.look()
    assert again.queue.submitted == inbox.queue.submitted  # the same id and words: the same job
    again.finish("take-1", "bass.wav")
    again.finish("take-1", "bass.wav")  # told twice, done once
    assert read(place / "done.json")["state"] == "finished"


def test_a_delivery_that_was_cut_short_is_done_again(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    out = place / "out"
    out.mkdir()
    (out / ".bass.wav.part").write_bytes(b"half")
    (inbox.spool / "bass.wav").write_bytes(SOUND + b"bass.wav")
    os.link(inbox.spool / "bass.wav", out / "bass.wav")
    inbox.watch.tell(say.Result("take-1", 0, 1, "bass", str(inbox.spool / "bass.wav"), 1.0))
    inbox.watch.tell(say.Finished("take-1", 1.0))
    inbox.watch.look()
    assert [path.name for path in out.iterdir()] == ["bass.wav"]
    assert (out / "bass.wav").read_bytes() == SOUND + b"bass.wav"


def test_a_file_named_cancel_stops_the_job(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    (place / "cancel").touch()
    inbox.watch.look()
    inbox.watch.look()
    assert inbox.queue.cancelled == ["take-1"]  # once
    inbox.watch.tell(say.Cancelled("take-1"))
    inbox.watch.look()
    assert read(place / "done.json")["state"] == "cancelled"


def test_a_job_that_ends_while_it_is_cancelled_tells_its_own_end(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    (place / "cancel").touch()
    inbox.watch.tell(Fail(say.Cancel.address, NOT_FOUND, "it has ended", "take-1"))
    inbox.finish("take-1", "bass.wav")
    assert read(place / "done.json")["state"] == "finished"


def test_removing_the_folder_cancels_its_job(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    place.rename(inbox.folder / "elsewhere.part")
    inbox.watch.look()
    assert inbox.queue.cancelled == ["take-1"]
    inbox.finish("take-1", "bass.wav")
    assert not place.exists()


def test_a_failure_is_told_with_its_code(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    inbox.watch.tell(Fail(say.Extract.address, WORKER_LOST, "it died twice", "take-1"))
    inbox.watch.look()
    assert failed(place) == (WORKER_LOST, "it died twice")


def test_a_full_queue_is_waited_out(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemwright.bridge.folder.LATER", 0.0)
    inbox.queue.refusal = lambda request: Fail(say.Extract.address, QUEUE_FULL, "no room", request.job)
    place = inbox.put("take-1")
    inbox.watch.look()
    inbox.watch.look()
    status = read(place / "status.json")
    assert (status["state"], status["text"]) == ("waiting", "no room")
    inbox.queue.refusal = None
    inbox.watch.look()
    inbox.watch.look()
    assert read(place / "status.json")["state"] == "queued"
    assert not (place / "done.json").exists()


def test_any_other_refusal_is_the_end(inbox: Inbox) -> None:
    inbox.queue.refusal = lambda request: Fail(say.Extract.address, FORBIDDEN_PATH, "no", request.job)
    place = inbox.put("take-1")
    inbox.watch.look()
    inbox.watch.look()
    assert failed(place) == (FORBIDDEN_PATH, "no")


def test_a_preset_is_filled_in(tmp_path: Path) -> None:
    def fill(pairs: Pairs) -> Pairs:
        if ("preset", "slap") not in pairs:
            raise BadMessage(UNKNOWN_PRESET, "no such preset")
        return (*(pair for pair in pairs if pair[0] != "preset"), ("prompt", "slap bass"))

    inbox = Inbox(tmp_path, fill=fill)
    inbox.put("take-1", {"task": "extract", "preset": "slap"})
    other = inbox.put("take-2", {"task": "extract", "preset": "none"})
    inbox.watch.look()
    assert [request.prompts for request in inbox.queue.submitted] == [("slap bass",)]
    assert failed(other)[0] == UNKNOWN_PRESET


@pytest.mark.parametrize(
    ("request_json", "code"),
    [
        (b"", BAD_ARGS),
        (b"{", BAD_ARGS),
        (b"\xff\xfe\x00", BAD_ARGS),
        (b"[]", BAD_ARGS),
        (b"null", BAD_ARGS),
        (b"[" * 60_000, BAD_ARGS),  # deeper than Python's stack
        (b'{"task":' * 8_000, BAD_ARGS),
        (b" " * (LARGEST_REQUEST + 1), TOO_LARGE),
        (b'{"task": "extract", "prompts": ["bass"], "seed": ' + b"9" * 5000 + b"}", BAD_ARGS),
        (b'{"task": "extract", "prompts": ["bass"], "guidance": NaN}', BAD_ARGS),
        (b'{"task": "extract", "prompts": ["bass"], "guidance": 1e999}', BAD_ARGS),
        ({"prompts": ["bass"]}, BAD_ARGS),
        ({"task": "explode", "prompts": ["bass"]}, BAD_ARGS),
        ({"task": "extract"}, BAD_ARGS),
        ({"task": "extract", "prompts": "bass"}, BAD_ARGS),
        ({"task": "extract", "prompts": [["bass"]]}, BAD_ARGS),
        ({"task": "extract", "prompts": ["bass\u0000"]}, BAD_ARGS),
        ({"task": "extract", "prompts": ["bass"], "colour": "red"}, BAD_ARGS),
        ({"task": "extract", "prompts": ["bass"], "job": "another"}, BAD_ARGS),
        ({"task": "extract", "prompts": ["bass"], "path": "../take/in.wav"}, FORBIDDEN_PATH),
        ({"task": "extract", "prompts": ["bass"], "path": "."}, FORBIDDEN_PATH),
        ({"task": "extract", "prompts": ["bass"], "path": "none.wav"}, NOT_FOUND),
        ({"task": "extract", "prompts": ["bass"], "path": "in\u0000.wav"}, NOT_FOUND),
        ({"task": "extract", "prompts": ["bass"], "path": "a" * 5000}, NOT_FOUND),
    ],
)
def test_a_request_that_cannot_be_used_is_answered_in_done_json(
    inbox: Inbox, request_json: Any, code: str
) -> None:
    (inbox.folder / "take").mkdir()
    (inbox.folder / "take" / "in.wav").write_bytes(SOUND)
    place = inbox.put("bad", request_json)
    inbox.watch.look()
    assert failed(place)[0] == code
    assert failed(place)[1]
    assert inbox.queue.submitted == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_links_and_fifos_are_not_followed(inbox: Inbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(SOUND)
    linked = inbox.put("linked-input", sound=False)
    (linked / "in.wav").symlink_to(secret)
    piped = inbox.put("piped-input", sound=False)
    os.mkfifo(piped / "in.wav")
    request = inbox.put("linked-request")
    (request / "request.json").unlink()
    (request / "request.json").symlink_to(secret)
    pipe = inbox.put("piped-request")
    (pipe / "request.json").unlink()
    os.mkfifo(pipe / "request.json")
    begin = time.monotonic()
    inbox.watch.look()
    assert time.monotonic() - begin < 5  # no FIFO was waited for
    assert inbox.queue.submitted == []
    for place in (linked, piped, request, pipe):
        assert failed(place)[0] == FORBIDDEN_PATH


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_is_no_job_is_left_alone_and_said_once(inbox: Inbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "request.json").write_text('{"task": "extract", "prompts": ["bass"]}')
    (inbox.folder / "link").symlink_to(elsewhere)
    os.mkfifo(inbox.folder / "pipe")
    (inbox.folder / "notes.txt").write_text("hello")
    (inbox.folder / "not an id").mkdir()
    (inbox.folder / ("x" * 65)).mkdir()
    (inbox.folder / ".hidden").mkdir()
    for _ in range(3):
        inbox.watch.look()
    assert len(inbox.notes) == 5
    assert inbox.queue.submitted == []
    assert [path.name for path in elsewhere.iterdir()] == ["request.json"]
    assert list((inbox.folder / "not an id").iterdir()) == []


def test_stems_do_not_leave_by_a_linked_out_folder(inbox: Inbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = inbox.put("take-1")
    (place / "out").symlink_to(elsewhere)
    inbox.watch.look()
    inbox.finish("take-1", "bass.wav")
    assert failed(place)[0] == INTERNAL
    assert list(elsewhere.iterdir()) == []


def test_done_json_replaces_a_link_instead_of_writing_through_it(inbox: Inbox, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept")
    place = inbox.put("take-1")
    inbox.watch.look()
    (place / ".done.json.part").symlink_to(target)
    (place / "status.json").unlink()
    (place / "status.json").symlink_to(target)
    inbox.finish("take-1", "bass.wav")
    assert target.read_text() == "kept"
    assert read(place / "done.json")["state"] == "finished"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_tried_again(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    place.chmod(0o500)
    inbox.watch.look()
    assert len(inbox.notes) == 1
    place.chmod(0o700)
    inbox.watch._watched["take-1"].not_before = 0.0
    inbox.finish("take-1", "bass.wav")
    assert read(place / "done.json")["state"] == "finished"


def test_results_that_are_gone_fail_the_job(inbox: Inbox) -> None:
    place = inbox.put("take-1")
    inbox.watch.look()
    inbox.watch.tell(say.Result("take-1", 0, 1, "bass", str(inbox.spool / "gone.wav"), 1.0))
    inbox.watch.tell(say.Finished("take-1", 1.0))
    inbox.watch.look()
    assert failed(place)[0] == INTERNAL


def test_the_watch_runs_by_itself_and_ends_when_stopped(inbox: Inbox) -> None:
    before = threading.active_count()
    inbox.watch.start()
    try:
        place = inbox.put("take-1")
        until(lambda: bool(inbox.queue.submitted))
        inbox.watch.tell(say.Cancelled("take-1"))
        until((place / "done.json").exists)
    finally:
        inbox.watch.stop()
    assert threading.active_count() == before


def test_a_look_at_thousands_of_finished_folders_opens_none(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2000):
        (inbox.folder / f"job-{number}").mkdir()
        (inbox.folder / f"job-{number}" / "done.json").touch()
    inbox.watch.look()
    monkeypatch.setattr(Path, "lstat", lambda path: pytest.fail(f"{path} is looked at again"))
    inbox.watch.look()
    assert inbox.queue.submitted == []
