"""`stemwright send` against a server whose jobs come to the end that the test wants."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import send
from stemwright.bridge.grammar import (
    BAD_ARGS,
    BAD_INPUT,
    DISK_FULL,
    FORBIDDEN_PATH,
    INTERNAL,
    QUEUE_FULL,
    UNKNOWN_MODEL,
    Message,
)
from stemwright.bridge.messages import Fail
from stemwright.bridge.server import Peer, Server
from stemwright.bridge.wire import Incoming
from stemwright.engine.commands.stop import Stop
from stemwright.engine.errors import BadInput, BadJob, BadOutput, ModelError, StemwrightError

ROOT = Path(__file__).resolve().parents[2]
STEM = b"a stem"


class FakeServer:
    """Does every job at once: one result a prompt, and the rest. `end` may make it end otherwise.

    jobs  (task, options) of those that came
    """

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.jobs: dict[str, tuple[str, dict[str, Any]]] = {}
        self.cancelled: list[str] = []
        self.end: Callable[[str], list[Message]] = self.finished
        self.refusal: tuple[str, str] | None = None
        self.uploaded = bytearray()
        self.is_running = threading.Event()
        self._server = Server(self._handle, port=0)
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def finished(self, job: str) -> list[Message]:
        prompts = self.jobs[job][1].get("prompt", ["music"])
        kinds = [*prompts, "rest"]
        for index, kind in enumerate(kinds):
            (self.spool / f"{index}.wav").write_bytes(STEM + kind.encode())
        return [
            say.Progress(job, 0.5, "sample", 12.0),
            *(
                say.Result(job, index, len(kinds), kind, str(self.spool / f"{index}.wav"), 2.5, 0)
                for index, kind in enumerate(kinds)
            ),
            say.Finished(job, 1.25),
        ]

    def _handle(self, incoming: Incoming, peer: Peer) -> None:
        asked = say.BY_ADDRESS[incoming.address].parse(incoming.arguments)
        for answer in self._answers(asked):
            self._server.send(peer, answer)

    def _answers(self, asked: Message) -> Iterator[Message]:
        if isinstance(asked, say.JobRequest):
            if self.refusal is not None:
                yield Fail(asked.address, *self.refusal, asked.job)
                return
            options: dict[str, Any] = {}
            for name, value in asked.options:
                options.setdefault(name, []).append(value)
            self.jobs[asked.job] = (asked.address.rpartition("/")[2], options)
            yield say.Accepted(asked.job, 2)
            yield from self.end(asked.job)
            self.is_running.set()
        elif isinstance(asked, say.AskJob):
            yield say.JobState(asked.job, "running", 0.5, "sample")
        elif isinstance(asked, say.Cancel):
            self.cancelled.append(asked.job)
            yield say.Done(asked.address, asked.job)
            yield say.Cancelled(asked.job)
        elif isinstance(asked, say.OpenUpload):
            self.uploaded = bytearray(asked.bytes)
            yield say.UploadOpened(asked.upload, 1000)
        elif isinstance(asked, say.Chunk):
            self.uploaded[asked.offset : asked.offset + len(asked.data)] = asked.data
        elif isinstance(asked, say.CloseUpload):
            yield say.UploadDone(asked.upload, len(self.uploaded))
        elif isinstance(asked, say.AskBuffer):
            data = (self.spool / f"{asked.index}.wav").read_bytes()
            yield say.Buffer(asked.job, asked.index, asked.offset, len(data), data[asked.offset :])
        elif isinstance(asked, say.Sync):
            yield say.Synced(asked.number)
        elif isinstance(asked, say.Ping):
            yield say.Pong(asked.number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    (tmp_path / "spool").mkdir()
    one = FakeServer(tmp_path / "spool")
    yield one
    one.stop()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    path.write_bytes(b"the server judges what is in it" * 100)
    return path


def run(server: FakeServer, *words: str) -> int:
    return send.run(send.parser().parse_args([*words, "--port", str(server.port)]), Stop())


def test_a_song_goes_by_its_path_and_the_paths_of_the_stems_come_back(
    server: FakeServer, song: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(song.parent)
    assert run(server, "extract", "song.wav", "bass", "drums", "--option", "seed=7") == 0
    ((task, options),) = server.jobs.values()
    assert task == "extract"
    assert options == {"prompt": ["bass", "drums"], "seed": [7], "path": [str(song)]}
    seen = capsys.readouterr()
    assert seen.out.split() == [str(server.spool / f"{index}.wav") for index in range(3)]
    assert seen.err == ""  # no progress where nobody watches


def test_results_are_copied_under_the_song_s_name(
    server: FakeServer, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, "extract", str(song), "slap bass", "--output", str(tmp_path / "stems")) == 0
    places = [tmp_path / "stems" / "song.slap-bass.wav", tmp_path / "stems" / "song.rest.wav"]
    assert capsys.readouterr().out.split() == [str(place) for place in places]
    assert [place.read_bytes() for place in places] == [STEM + b"slap bass", STEM + b"rest"]
    assert sorted((tmp_path / "stems").iterdir()) == sorted(places)


def test_remote_sends_the_audio_and_fetches_the_stems(server: FakeServer, song: Path, tmp_path: Path) -> None:
    assert run(server, "extract", str(song), "bass", "--remote", "--output", str(tmp_path / "stems")) == 0
    assert bytes(server.uploaded) == song.read_bytes()
    ((_, options),) = server.jobs.values()
    assert "path" not in options and len(options["upload"]) == 1
    assert (tmp_path / "stems" / "song.bass.wav").read_bytes() == STEM + b"bass"


def test_json_tells_it_to_programs(
    server: FakeServer, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, "extract", str(song), "bass", "--json", "--id", "take-1") == 0
    assert json.loads(capsys.readouterr().out) == {
        "job": "take-1",
        "task": "extract",
        "input": str(song),
        "results": [
            {"kind": "bass", "path": str(server.spool / "0.wav"), "seconds": 2.5, "seed": 0},
            {"kind": "rest", "path": str(server.spool / "1.wav"), "seconds": 2.5, "seed": 0},
        ],
        "seconds": 1.25,
    }


def test_flags_may_stand_between_the_words(server: FakeServer, song: Path) -> None:
    assert run(server, "extract", "--json", str(song), "--variations", "2", "bass") == 0
    ((_, options),) = server.jobs.values()
    assert options == {"prompt": ["bass"], "variations": [2], "path": [str(song)]}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("generate", "funk"), {"prompt": ["funk"]}),
        (("generate", "--option", "preset=funk"), {"preset": ["funk"]}),
        (("extract", "bass", "--option", "last=8"), {"prompt": ["bass"], "last": [8.0]}),
        (("extract", "bass", "--option", "capture=take"), {"prompt": ["bass"], "capture": ["take"]}),
    ],
)
def test_where_no_file_is_needed_every_word_is_a_prompt(
    server: FakeServer, words: tuple[str, ...], options: dict[str, Any]
) -> None:
    assert run(server, *words) == 0
    assert [found for _, found in server.jobs.values()] == [options]


def test_a_result_is_not_written_over_a_file(server: FakeServer, song: Path, tmp_path: Path) -> None:
    there = tmp_path / "song.bass.wav"
    there.write_bytes(b"precious")
    with pytest.raises(BadOutput, match="is there already"):
        run(server, "extract", str(song), "bass", "--output", str(tmp_path))
    assert server.jobs == {}  # refused before any work
    assert there.read_bytes() == b"precious"
    assert run(server, "extract", str(song), "bass", "--output", str(tmp_path), "--overwrite") == 0
    assert there.read_bytes() == STEM + b"bass"


def test_names_from_the_server_stay_inside_the_folder(server: FakeServer, song: Path, tmp_path: Path) -> None:
    def end(job: str) -> list[Message]:
        (server.spool / "0.sh").write_bytes(STEM)
        path = str(server.spool / "0.sh")
        return [say.Result(job, 0, 1, "../../evil", path, 1.0, 0), say.Finished(job, 1.0)]

    server.end = end
    assert run(server, "extract", str(song), "bass", "--output", str(tmp_path / "stems")) == 0
    assert [path.name for path in (tmp_path / "stems").iterdir()] == ["song.evil.wav"]


def test_variations_have_their_seeds_in_the_names(server: FakeServer, song: Path, tmp_path: Path) -> None:
    def end(job: str) -> list[Message]:
        (server.spool / "0.wav").write_bytes(STEM)
        path = str(server.spool / "0.wav")
        results = [say.Result(job, index, 2, "bass", path, 1.0, index + 5) for index in range(2)]
        return [*results, say.Finished(job, 1.0)]

    server.end = end
    words = ("add", str(song), "bass", "--variations", "2", "--option", "seed=5", "--output", str(tmp_path))
    assert run(server, *words) == 0
    assert sorted(path.name for path in tmp_path.glob("song.bass*")) == [
        "song.bass.seed-5.wav",
        "song.bass.seed-6.wav",
    ]
    with pytest.raises(BadOutput, match=r"seed-5\.wav' is there already"):
        run(server, *words)


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        (BAD_ARGS, BadJob, 3),
        (FORBIDDEN_PATH, BadJob, 3),
        (BAD_INPUT, BadInput, 3),
        (UNKNOWN_MODEL, ModelError, 4),
        (DISK_FULL, BadOutput, 5),
        (QUEUE_FULL, send.NoRoom, 8),
        (INTERNAL, StemwrightError, 1),
    ],
)
def test_what_the_server_says_becomes_the_exit_code(
    server: FakeServer, song: Path, code: str, kind: type[StemwrightError], exit_code: int
) -> None:
    server.refusal = (code, "because")
    with pytest.raises(kind, match="because") as refused:
        run(server, "extract", str(song), "bass")
    assert refused.value.exit_code == exit_code
    server.refusal = None
    server.end = lambda job: [Fail(say.Extract.address, code, "because", job)]
    with pytest.raises(kind, match="because"):
        run(server, "extract", str(song), "bass")


def test_json_tells_failures_too(server: FakeServer, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.refusal = (BAD_INPUT, "because")
    with pytest.raises(BadInput):
        run(server, "extract", str(song), "bass", "--json", "--id", "take")
    assert json.loads(capsys.readouterr().out) == {"job": "take", "error": "because", "exit_code": 3}


def test_a_job_that_somebody_cancels_is_told(
    server: FakeServer, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.end = lambda job: [say.Cancelled(job)]
    assert run(server, "extract", str(song), "bass", "--id", "take") == 130
    assert capsys.readouterr().err == "stemwright: take: was cancelled\n"


def test_no_server_is_told_with_the_way_out(server: FakeServer, song: Path) -> None:
    server.stop()
    with pytest.raises(StemwrightError, match="stemwright serve") as silent:
        run(server, "extract", str(song), "bass")
    assert silent.value.exit_code == 8


def test_a_song_that_is_not_there_is_told_without_the_server(server: FakeServer, tmp_path: Path) -> None:
    server.stop()
    with pytest.raises(BadInput, match="no such file"):
        run(server, "extract", str(tmp_path / "none.wav"), "bass")
    with pytest.raises(BadInput, match="needs an INPUT"):
        run(server, "extract")


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("colour=red", "no option"),
        ("seed", "no option"),
        ("seed=many", "takes a number"),
        ("seed=-1", "it may be 0 to"),
        ("seed=1.5", "whole number"),
        ("guidance=nan", "number is needed"),
        ("format=mp3", "wav, flac"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_at_once(
    option: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        send.parser().parse_args(["generate", "funk", "--option", option])
    assert end.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job_and_says_so(server: FakeServer, song: Path, number: int) -> None:
    server.end = lambda job: [say.Progress(job, 0.25, "sample", 60.0)]  # and no end
    program = (
        "import sys; from stemwright.bridge import send; from stemwright.engine.commands.stop import Stop\n"
        "stop = Stop()\n"
        "with stop.listening(is_program=True):\n"
        "    sys.exit(send.run(send.parser().parse_args(), stop))"
    )
    words = ["extract", str(song), "bass", "--id", "take", "--port", str(server.port)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as sending:
        assert server.is_running.wait(30)
        sending.send_signal(number)
        _, err = sending.communicate(timeout=30)
    assert sending.returncode == 130
    assert err == "stemwright: stopped; take: the job is cancelled\n"
    assert server.cancelled == ["take"]
