"""A catalogue spread over a real local Ray cluster comes to what the command line alone makes of it."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stemwright.bridge import catalogue
from stemwright.bridge.catalogue import TRIES, Hand
from stemwright.bridge.nodes import Word
from stemwright.bridge.raylink import ActorHandle, Cluster
from stemwright.engine.commands import run as local
from stemwright.engine.commands.flags import parser
from stemwright.engine.commands.stop import Stop
from stemwright.engine.engine import Engine
from stemwright.engine.errors import BadOutput, ModelMissing, StemwrightError
from tests.engine import command_line
from tests.engine.command_line import write_song

pytestmark = pytest.mark.slow  # a cluster takes some seconds to start
LENGTHS = {"a": 2.0, "b": 3.0, "c": 1.0}  # seconds of the songs


def fake_engine(model: str | None) -> Any:
    """Of the tests' own model, in an actor."""
    import sys

    if ROOT not in sys.path:
        sys.path.insert(0, ROOT)
    from tests.engine.command_line import fake_engine

    return fake_engine()


ROOT = str(command_line.ROOT)


@pytest.fixture(scope="module", autouse=True)
def by_value(ray_cluster: Any) -> Iterator[None]:
    """Actors get what is defined here by value, since they cannot import it."""
    pickle = sys.modules["ray"].cloudpickle
    pickle.register_pickle_by_value(sys.modules[__name__])
    yield
    pickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture(autouse=True)
def fake_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Actors have the fake model; `Hand._arguments` is what they are made with."""
    original = Hand._arguments
    monkeypatch.setattr(Hand, "_arguments", lambda hand: (*original(hand), None, fake_engine))
    monkeypatch.setattr(Engine, "load", lambda *names, **options: command_line.fake_engine())


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    folder.mkdir()
    for name, seconds in LENGTHS.items():
        write_song(folder / f"{name}.wav", seconds=seconds)
    return folder


def flags(*words: str) -> Any:
    found = parser().parse_args(["extract", *words])
    found.ray = "auto"
    return found


def run(*words: str, stop: Stop | None = None) -> int:
    return catalogue.run(flags(*words), stop or Stop())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def watched(
    monkeypatch: pytest.MonkeyPatch, see: Callable[[ActorHandle, tuple[Any, ...], Word], None]
) -> None:
    """`see` is called with each word of an actor about a piece, and what it was asked."""
    original = ActorHandle.work

    def work(handle: ActorHandle, method: str, *asked: Any, **more: Any) -> Iterator[Word]:
        for word in original(handle, method, *asked, **more):
            see(handle, asked, word)
            yield word

    monkeypatch.setattr(ActorHandle, "work", work)


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_catalogue_comes_to_the_same_files_as_without_ray(
    songs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_shared: bool,
) -> None:
    if not is_shared:
        monkeypatch.setattr(ActorHandle, "sees", lambda self, folder, files: False)
    words = (str(songs), "bass", "drums", "--spectrogram", "--subtype", "pcm16", "--output")
    assert run(*words, str(tmp_path / "ray")) == 0
    told = capsys.readouterr()
    assert local.run(flags(*words, str(tmp_path / "local")), Stop()) == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert len(contents(tmp_path / "ray")) == 4 * len(LENGTHS)
    expected = capsys.readouterr()
    assert sorted(told.out.split()) == sorted(expected.out.replace("/local/", "/ray/").split())
    assert told.err == expected.err == "stemwright: 3 of 3 done\n"


def test_json_tells_the_same_facts(songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (str(songs / "a.wav"), "bass", "--json", "--output", str(tmp_path / "out"), "--overwrite")
    assert run(*words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert local.run(flags(*words), Stop()) == 0
    expected = json.loads(capsys.readouterr().out)
    assert facts.pop("seconds") > 0 and expected.pop("seconds") > 0
    assert facts == expected


@pytest.mark.parametrize("is_shared", [True, False])
def test_one_bad_file_does_not_stop_the_others(
    songs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_shared: bool,
) -> None:
    if not is_shared:
        monkeypatch.setattr(ActorHandle, "sees", lambda self, folder, files: False)
    (songs / "bad.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)
    words = ("songs", "bass", "--input", "nothing/", "--output")
    assert run(*words, "ray") == 3
    told = capsys.readouterr()
    assert local.run(flags(*words, "local"), Stop()) == 3
    expected = capsys.readouterr()
    assert sorted(told.err.splitlines()) == sorted(expected.err.splitlines())
    assert "'songs/bad.wav': no audio is recognised" in told.err
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_the_file_of_a_killed_worker_is_done_by_another(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    def kill_first(handle: ActorHandle, asked: tuple[Any, ...], word: Word) -> None:
        if not killed and word[0] == "progress":
            killed.append(handle.process())
            os.kill(killed[0], signal.SIGKILL)

    watched(monkeypatch, kill_first)
    assert run(str(songs), "bass", "--output", str(tmp_path / "out")) == 0
    assert killed
    assert sorted(contents(tmp_path / "out")) == sorted(
        f"{name}.{part}.wav" for name in LENGTHS for part in ("bass", "rest")
    )
    told = capsys.readouterr()
    assert told.err == "stemwright: 3 of 3 done\n"  # and nothing of Ray's
    assert len(told.out.split()) == 6


def test_a_file_that_kills_every_worker_is_given_up(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []

    def kill(handle: ActorHandle, asked: tuple[Any, ...], word: Word) -> None:
        if asked[1] == str(songs / "b.wav") and word[0] == "progress":
            process = handle.process()
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    watched(monkeypatch, kill)
    assert run(str(songs), "bass", "--output", str(tmp_path / "out")) == 1
    assert len(killed) == TRIES
    assert sorted(contents(tmp_path / "out")) == ["a.bass.wav", "a.rest.wav", "c.bass.wav", "c.rest.wav"]
    told = capsys.readouterr().err
    assert f"b.wav': {TRIES} workers died of it" in told
    assert told.endswith("stemwright: 2 of 3 done, 1 failed\n")


def test_the_end_of_this_machine_s_ray_node_ends_it_all_with_a_word(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for ever."""
    killed: list[int] = []

    def kill(handle: ActorHandle, asked: tuple[Any, ...], word: Word) -> None:
        if word[0] == "progress":
            killed.append(handle.process())
            os.kill(killed[-1], signal.SIGKILL)

    watched(monkeypatch, kill)
    monkeypatch.setattr(catalogue, "NODE", 0.0)
    monkeypatch.setattr(Cluster, "is_there", lambda cluster: not killed)
    with pytest.raises(StemwrightError, match="Ray node has ended") as caught:
        run(str(songs), "bass", "--output", str(tmp_path / "out"))
    assert killed and caught.value.exit_code == 1
    assert not list((tmp_path / "out").iterdir())


def test_ctrl_c_leaves_nothing_half_written(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()
    seen: list[int] = []

    def ask(handle: ActorHandle, asked: tuple[Any, ...], word: Word) -> None:
        if word[0] == "progress":
            seen.append(handle.process())
            stop.is_asked = True

    watched(monkeypatch, ask)
    with pytest.raises(KeyboardInterrupt):
        run(str(songs), "bass", "--output", str(tmp_path / "out"), stop=stop)
    assert seen
    assert not list((tmp_path / "out").glob(".stemwright-*"))


def test_what_is_there_already_is_refused_before_any_worker(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "Cluster", lambda address: pytest.fail("the cluster is asked"))
    (tmp_path / "b.bass.wav").touch()
    with pytest.raises(BadOutput, match="is there already"):
        run(str(songs), "bass", "--output", str(tmp_path))


def test_a_file_that_appears_meanwhile_is_kept(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def appear(handle: ActorHandle, asked: tuple[Any, ...], word: Word) -> None:
        if asked[1] == str(songs / "b.wav") and word[0] == "progress":
            (out / "b.rest.wav").write_bytes(b"precious")

    watched(monkeypatch, appear)
    assert run(str(songs), "bass", "--output", str(out)) == 5
    assert (out / "b.rest.wav").read_bytes() == b"precious"
    assert not (out / "b.bass.wav").exists()  # all of a song's stems, or none
    assert len(contents(out)) == 5


def test_a_model_that_is_not_there_ends_it_all(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hand, "_arguments", lambda hand: (str(tmp_path / "none"), 1, "cpu"))
    with pytest.raises(Exception, match="none") as caught:
        run(str(songs), "bass", "--output", str(tmp_path / "out"))
    assert getattr(caught.value, "exit_code", 0) == ModelMissing.exit_code
