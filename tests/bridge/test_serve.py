"""The whole server with the default model, as a user starts it."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import Client, Refused
from stemwright.bridge.grammar import (
    BAD_ARGS,
    FORBIDDEN_PATH,
    ID_IN_USE,
    NO_AUDIO,
    NOT_FOUND,
    UNKNOWN_MODEL,
    UNKNOWN_PRESET,
    Message,
)
from stemwright.bridge.wire import decode, encode
from tests.bridge.real import ROOT, Child, server_command

DEMO = ROOT / "engine" / "demo" / "boas.flac"


@dataclass(frozen=True)
class Studio:
    port: int
    http_port: int
    songs: Path
    spool: Path
    server: Child

    def song(self, name: str = "song.wav", seconds: float = 2.0) -> Path:
        path = self.songs / name
        if not path.exists():
            sound, rate = soundfile.read(DEMO, frames=round(seconds * 44100), start=44100, always_2d=True)
            soundfile.write(path, sound, rate, subtype="FLOAT")
        return path


def started(folder: Path, *more: str) -> Child:
    (folder / "songs").mkdir(exist_ok=True)
    return Child([*server_command(folder / "spool", folder / "songs"), *more], {"OMP_NUM_THREADS": "1"})


def ready(server: Child, folder: Path) -> Studio:
    words = server.wait_for(r"listening on \S+ port (\d+) .*OSCQuery http://127.0.0.1:(\d+)")
    server.wait_for("ready on")
    return Studio(int(words[1]), int(words[2]), folder / "songs", folder / "spool", server)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    with started(folder) as server:
        yield ready(server, folder)


@pytest.fixture
def client(studio: Studio) -> Iterator[Client]:
    with Client(port=studio.port) as client:
        yield client


def kinds(events: list[Message]) -> list[str]:
    """The names of the events, progress left out."""
    return [type(event).__name__ for event in events if not isinstance(event, say.Progress)]


def test_a_stem_and_its_rest_sum_to_the_mix_at_its_rate_and_length(studio: Studio, client: Client) -> None:
    song = studio.song()
    client.submit("sum", "extract", [("prompt", "slap bass"), ("path", str(song))])
    events = list(client.follow("sum"))
    assert kinds(events) == ["Result", "Result", "Finished"]
    assert any(isinstance(event, say.Progress) for event in events)
    results = [event for event in events if isinstance(event, say.Result)]
    assert [result.kind for result in results] == ["slap-bass", "rest"]
    stem, rest = (soundfile.read(result.path, always_2d=True) for result in results)
    mix, rate = soundfile.read(song, always_2d=True)
    assert stem[1] == rest[1] == rate
    assert np.abs(stem[0] + rest[0] - mix).max() < 1e-6  # measured 3e-8


def test_the_same_id_and_words_are_one_job_and_other_words_are_refused(
    studio: Studio, client: Client
) -> None:
    options = [("prompt", "drums"), ("path", str(studio.song()))]
    client.submit("once", "extract", options)
    first = list(client.follow("once"))
    client.submit("once", "extract", options)
    again = list(client.follow("once"))
    assert [one for one in again if isinstance(one, say.Result)] == [
        one for one in first if isinstance(one, say.Result)
    ]
    with pytest.raises(Refused) as refused:
        client.submit("once", "extract", [*options, ("seed", 1)])
    assert refused.value.fail.code == ID_IN_USE


def test_a_region_at_another_rate_and_number_of_channels(studio: Studio, client: Client) -> None:
    options = [("prompt", "bass"), ("path", str(studio.song())), ("start", 0.5), ("seconds", 1.0)]
    client.submit("region", "extract", [*options, ("rate", 48000), ("channels", 1), ("rest", 0)])
    results = [event for event in client.follow("region") if isinstance(event, say.Result)]
    assert len(results) == 1
    about = soundfile.info(results[0].path)
    assert (about.samplerate, about.channels, about.frames) == (48000, 1, 48000)


def test_variations_are_one_job_with_a_seed_each(studio: Studio, client: Client) -> None:
    options = [("prompt", "shaker"), ("path", str(studio.song())), ("variations", 2), ("seed", 5)]
    client.submit("varied", "add", [*options, ("steps", 2)])
    results = [event for event in client.follow("varied") if isinstance(event, say.Result)]
    assert [result.seed for result in results] == [5, 6]
    one, two = (soundfile.read(result.path)[0] for result in results)
    assert np.abs(one - two).max() > 1e-3


def test_generate_makes_sound_from_a_preset(client: Client) -> None:
    shelf = [row for row in client.ask(say.AskPresets()) if isinstance(row, say.Preset)]
    assert len(shelf) > 5
    client.submit("made", "generate", [("prompt", "drums"), ("seconds", 1.0), ("steps", 2)])
    results = [event for event in client.follow("made") if isinstance(event, say.Result)]
    sound = soundfile.read(results[0].path)[0]
    assert len(sound) == 44100
    assert np.abs(sound).max() > 0.01


def test_a_long_job_can_be_cancelled_and_leaves_nothing(studio: Studio, client: Client) -> None:
    song = studio.songs / "long.wav"
    sound, rate = soundfile.read(DEMO, always_2d=True)
    soundfile.write(song, np.resize(sound, (rate * 240, sound.shape[1])), rate)
    client.submit("long", "extract", [("prompt", "bass"), ("path", str(song))])
    seen = []
    for event in client.follow("long"):
        if isinstance(event, say.Progress) and not seen:
            client.cancel("long")
        seen.append(event)
    assert kinds(seen) == ["Cancelled"]
    assert not list((studio.spool / "jobs" / "long").rglob("*.wav"))
    assert not list((studio.spool / "jobs" / "long").rglob("*.part"))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], BAD_ARGS),
        ([("prompt", "bass")], BAD_ARGS),
        ([("prompt", "bass"), ("path", "/etc/passwd")], FORBIDDEN_PATH),
        ([("prompt", "bass"), ("path", "../spool/journal.sqlite")], FORBIDDEN_PATH),
        ([("prompt", "bass"), ("path", "absent.wav")], NOT_FOUND),
        ([("prompt", "bass"), ("path", "song.wav"), ("steps", 0)], BAD_ARGS),
        ([("prompt", "bass"), ("path", "song.wav"), ("tempo", 120)], BAD_ARGS),
        ([("prompt", "bass"), ("path", "song.wav"), ("model", "none")], UNKNOWN_MODEL),
        ([("preset", "none"), ("path", "song.wav")], UNKNOWN_PRESET),
        ([("prompt", "bass"), ("upload", "none")], NOT_FOUND),
        ([("prompt", "bass"), ("capture", "none")], NOT_FOUND),
        ([("prompt", "bass"), ("last", 3.0)], NO_AUDIO),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_code(
    studio: Studio, client: Client, options: list[tuple[str, str | int | float]], code: str
) -> None:
    studio.song()
    with pytest.raises(Refused) as refused:
        client.submit("refused", "extract", options)
    assert refused.value.fail.code == code
    assert refused.value.fail.job == "refused"


def test_a_prompt_of_nothing_but_blanks_fails_with_words(studio: Studio, client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.submit("blank", "extract", [("prompt", "  "), ("path", str(studio.song()))])
    assert "prompt" in refused.value.fail.text


def test_audio_goes_up_and_stems_come_down_through_the_socket(
    studio: Studio, client: Client, tmp_path: Path
) -> None:
    song = tmp_path / "far away.wav"
    song.write_bytes(studio.song().read_bytes())
    name = client.upload(song)
    client.submit("far", "extract", [("prompt", "bass"), ("upload", name)])
    results = [event for event in client.follow("far") if isinstance(event, say.Result)]
    here = client.fetch("far", 0, tmp_path / "bass.wav")
    assert Path(here).read_bytes() == Path(results[0].path).read_bytes()


def test_status_version_models_jobs_and_sync(client: Client) -> None:
    (status,) = client.ask(say.AskStatus())
    assert isinstance(status, say.Status)
    assert (status.state, status.model, status.device) == ("ready", "default", "cpu")
    (version,) = client.ask(say.AskVersion())
    assert isinstance(version, say.Version) and version.protocol == say.PROTOCOL
    (model,) = client.ask(say.AskModels())[:1]
    assert isinstance(model, say.Model) and model.tasks == "extract,add,accompany,generate"
    assert client.ask(say.Sync(7)) == [say.Synced(7)]
    assert all(isinstance(row, say.JobState) for row in client.ask(say.AskJobs()))


def test_oscquery_tells_the_namespace_and_the_status(studio: Studio) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{studio.http_port}/stemwright") as answer:
        tree = json.load(answer)
    assert "extract" in tree["CONTENTS"]


def test_events_also_reach_who_listens_on_a_port_of_its_own(studio: Studio, client: Client) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(30)
        other.sendto(encode(say.Notify(1, ear.getsockname()[1])), ("127.0.0.1", studio.port))
        assert decode(ear.recv(2048))[0].address == say.Done.address
        client.submit("heard", "extract", [("prompt", "bass"), ("path", str(studio.song()))])
        heard = []
        while not heard or heard[-1] != say.Finished.address:
            heard.append(decode(ear.recv(2048))[0].address)
        other.sendto(encode(say.Notify(0)), ("127.0.0.1", studio.port))
    assert [one for one in heard if one != say.Progress.address] == [
        kind.address for kind in (say.Accepted, say.Result, say.Result, say.Finished)
    ]


def test_a_second_server_in_the_same_spool_says_so(studio: Studio, tmp_path: Path) -> None:
    with Child(server_command(studio.spool, studio.songs)) as second:
        assert second.ended() == 5
        assert "another server works in it" in second.told()


def test_a_taken_port_says_so(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    command = server_command(tmp_path / "spool", tmp_path / "songs")
    command[command.index("--port") + 1] = str(studio.port)
    with Child(command) as second:
        assert second.ended() == 1
        assert "--port" in second.told()


def test_beyond_this_machine_only_with_token_and_allow_list(tmp_path: Path) -> None:
    with started(tmp_path, "--bind", "0.0.0.0") as server:
        assert server.ended() == 3
        assert "--token-file" in server.told()
    token = tmp_path / "token"
    token.write_text("a secret that is long enough\n")
    token.chmod(0o644)
    with started(
        tmp_path, "--bind", "0.0.0.0", "--allow", "10.0.0.0/8", "--token-file", str(token)
    ) as server:
        assert server.ended() == 3
        assert "chmod 600" in server.told()


def test_it_stops_cleanly_and_goes_on_with_what_was_accepted(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        first = ready(server, tmp_path)
        song = first.song(seconds=4.0)
        with Client(port=first.port) as client:
            for number in range(6):
                options = [("prompt", "bass"), ("path", str(song)), ("seed", number)]
                client.submit(f"job-{number}", "extract", options)
        assert server.stop() == 0
        assert "Traceback" not in server.told()
    with started(tmp_path) as server:
        second = ready(server, tmp_path)
        with Client(port=second.port) as client:
            for number in range(6):
                assert kinds(list(client.follow(f"job-{number}"))) == ["Result", "Result", "Finished"]


def test_the_log_can_be_json(tmp_path: Path) -> None:
    with started(tmp_path, "--json-log", "--no-http") as server:
        server.wait_for('"state": "ready"')
        assert server.stop() == 0
        events = [json.loads(line)["event"] for line in server.lines]
    assert events[0] == "listening"
    assert events[-1] == "stopped"


def test_a_host_without_sockets_uses_the_inbox(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    with started(tmp_path, "--inbox", str(inbox)) as server:
        studio = ready(server, tmp_path)
        part = inbox / "take-1.part"
        part.mkdir(parents=True)
        (part / "in.wav").write_bytes(studio.song().read_bytes())
        request = {"job": "take-1", "task": "extract", "prompts": ["bass"], "path": "in.wav"}
        (part / "request.json").write_text(json.dumps(request))
        part.rename(inbox / "take-1")
        done = inbox / "take-1" / "done.json"
        deadline = time.monotonic() + 60
        while not done.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        content = json.loads(done.read_text())
    assert content["state"] == "finished"
    files = sorted(path.name for path in (inbox / "take-1" / "out").iterdir())
    assert len(files) == 2, files
