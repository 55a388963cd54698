"""The client against a server of few words that forgets what it is told to forget."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import ANSWERS, BY_ADDRESS, Client, NoServer, Refused
from stemwright.bridge.grammar import BAD_INPUT, FORBIDDEN, NOT_FOUND, QUEUE_FULL, BadMessage, Message
from stemwright.bridge.messages import Fail
from stemwright.bridge.server import Peer, Server
from stemwright.bridge.uploads import Uploads
from stemwright.bridge.wire import Incoming
from stemwright.engine.errors import BadInput, BadJob, BadOutput

OPTIONS = (("prompt", "bass"), ("path", "/music/song.wav"))


class FakeServer:
    """Sockets and uploads are real; jobs end when `end_job` says so. Loses messages where told to.

    heard    every request that got through
    loses    whether a message (in: True) is to be lost
    """

    def __init__(
        self, folder: Path, port: int = 0, token: str = "", jobs: dict[str, list[Message]] | None = None
    ) -> None:
        self.heard: list[Message] = []
        self.loses: Callable[[Message, bool], bool] = lambda message, is_in: False
        self.jobs = jobs or {}  # what is told about each: JobState, then its results and end
        self.result = folder / "result.wav"
        self.token, self._admitted = token, set[Peer]()
        self._peers: dict[str, Peer] = {}
        self._uploads = Uploads(folder)
        self._server = Server(self._handle, port=port)
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        self._server.stop()

    def tell(self, message: Message) -> None:
        """An event of a job."""
        peer = self._peers[getattr(message, "job", "")]
        if not self.loses(message, False):
            self._server.send(peer, message)

    def end_job(self, job: str, *told: Message) -> None:
        self.jobs[job] = [say.JobState(job, "finished", 1.0, "render"), *told]
        for message in told:
            self.tell(message)

    def _handle(self, incoming: Incoming, peer: Peer) -> None:
        asked = say.BY_ADDRESS[incoming.address].parse(incoming.arguments)
        if self.loses(asked, True):
            return
        self.heard.append(asked)
        if self.token and not isinstance(asked, say.Token) and peer not in self._admitted:
            self._server.send(peer, Fail(asked.address, FORBIDDEN, "show the token first"))
            return
        try:
            answers = list(self._answers(asked, peer))
        except BadMessage as error:
            answers = [Fail(asked.address, error.code, str(error), getattr(asked, "job", ""))]
        for answer in answers:
            if not self.loses(answer, False):
                self._server.send(peer, answer)

    def _answers(self, asked: Message, peer: Peer) -> Iterator[Message]:
        if isinstance(asked, say.JobRequest):
            if asked.job == "refused":
                raise BadMessage(QUEUE_FULL, "no room")
            self._peers[asked.job] = peer
            self.jobs.setdefault(asked.job, [say.JobState(asked.job, "queued", 0.0, "")])
            yield say.Accepted(asked.job, len(self.jobs) - 1)
        elif isinstance(asked, say.AskJob):
            if asked.job not in self.jobs:
                raise BadMessage(NOT_FOUND, "no such job")
            yield from self.jobs[asked.job]
        elif isinstance(asked, say.AskJobs):
            yield from (rows[0] for rows in self.jobs.values())
        elif isinstance(asked, say.Cancel):
            yield say.Done(asked.address, asked.job)
            yield say.Cancelled(asked.job)
        else:
            yield from self._plain(asked, peer)

    def _plain(self, asked: Message, peer: Peer) -> Iterator[Message]:
        if isinstance(asked, say.Ping):
            yield say.Pong(asked.number)
        elif isinstance(asked, say.Sync):
            yield say.Synced(asked.number)
        elif isinstance(asked, say.Token):
            if asked.token != self.token:
                raise BadMessage(FORBIDDEN, "this is not the token")
            self._admitted.add(peer)
            yield say.Done(asked.address)
        elif isinstance(asked, say.AskModels):
            yield from (say.Model(index, 3, f"model-{index}", "extract", "ready") for index in range(3))
        elif isinstance(asked, say.AskPresets):
            yield say.Preset(-1, 0, "", "", "", "")
        else:
            yield from self._audio(asked, peer)

    def _audio(self, asked: Message, peer: Peer) -> Iterator[Message]:
        if isinstance(asked, say.OpenUpload):
            yield self._uploads.open(asked, "me", is_tcp=peer.kind == "tcp")
        elif isinstance(asked, say.Chunk):
            self._uploads.chunk(asked, "me")
        elif isinstance(asked, say.CloseUpload):
            yield from self._uploads.close(asked, "me")
        elif isinstance(asked, say.AskBuffer):
            assert asked.length <= (1200 if peer.kind == "udp" else 65536)
            data = self.result.read_bytes()
            part = data[asked.offset : asked.offset + asked.length]
            yield say.Buffer(asked.job, asked.index, asked.offset, len(data), part)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    one = FakeServer(tmp_path)
    yield one
    one.stop()


@pytest.fixture(params=["udp", "tcp"])
def client(request: pytest.FixtureRequest, server: FakeServer) -> Iterator[Client]:
    with Client(port=server.port, transport=request.param) as one:
        yield one


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """About 0.7 MB of noise, so that nothing of it can be left out unnoticed."""
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (2 * 44100, 2)).astype(np.float32)
    soundfile.write(path, noise, 44100, subtype="FLOAT")
    return path


def later(seconds: float, act: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def result(job: str, index: int = 0, count: int = 1) -> say.Result:
    return say.Result(job, index, count, "bass", f"/spool/{index}.wav", 2.0, 0)


def test_every_request_has_its_answer_and_every_answer_its_class() -> None:
    assert set(ANSWERS) == set(say.REQUESTS) - {say.Chunk}
    assert set(BY_ADDRESS.values()) == {*say.REPLIES, *say.EVENTS}
    assert {kind for kinds in ANSWERS.values() for kind in kinds} == set(say.REPLIES)


def test_an_answer_repeats_what_it_answers_in_fields_of_the_same_type() -> None:
    for asked, kinds in ANSWERS.items():
        types = {field.name: field.type for field in fields(asked)}
        for field in (field for kind in kinds for field in fields(kind)):
            assert types.get(field.name, field.type) == field.type, (asked, field)


def test_an_answer_comes_back_as_its_dataclass(client: Client) -> None:
    assert client.ask(say.Ping(41)) == [say.Pong(41)]


def test_rows_are_waited_for(client: Client, server: FakeServer) -> None:
    assert [row.name for row in client.ask(say.AskModels()) if isinstance(row, say.Model)] == [
        "model-0",
        "model-1",
        "model-2",
    ]
    assert client.ask(say.AskPresets()) == [say.Preset(-1, 0, "", "", "", "")]
    for job in ("a", "b"):
        client.submit(job, "extract", OPTIONS)
    rows = client.ask(say.AskJobs())
    assert [row.job for row in rows if isinstance(row, say.JobState)] == ["a", "b"]


def test_a_refusal_is_an_exception_that_says_why(client: Client) -> None:
    with pytest.raises(Refused, match="no room") as caught:
        client.submit("refused", "extract", OPTIONS)
    assert caught.value.fail == Fail(say.Extract.address, QUEUE_FULL, "no room", "refused")


def test_a_job_is_followed_to_its_end(client: Client, server: FakeServer) -> None:
    assert client.submit("take", "extract", OPTIONS) == say.Accepted("take", 0)
    progress = say.Progress("take", 0.5, "sample", 3.0)
    server.tell(progress)
    server.end_job("take", result("take", 0, 2), result("take", 1, 2), say.Finished("take", 1.5))
    assert list(client.follow("take")) == [
        progress,
        result("take", 0, 2),
        result("take", 1, 2),
        say.Finished("take", 1.5),
    ]


def test_events_of_one_job_wait_while_another_is_followed(client: Client, server: FakeServer) -> None:
    for job in ("one", "two"):
        client.submit(job, "generate", [("prompt", "funk")])
    for job in ("one", "two"):
        server.end_job(job, result(job), say.Finished(job, 1.0))
    for job in ("two", "one"):
        assert list(client.follow(job)) == [result(job), say.Finished(job, 1.0)]


def test_what_nobody_asked_for_can_be_heard(client: Client, server: FakeServer) -> None:
    client.submit("take", "extract", OPTIONS)
    server.tell(say.Cancelled("take"))
    assert client.ask(say.Ping(1)) == [say.Pong(1)]
    assert client.hear(5) == say.Cancelled("take")
    assert client.hear(0) is None


def test_cancelling_ends_the_following(client: Client, server: FakeServer) -> None:
    client.submit("take", "extract", OPTIONS)
    client.cancel("take")
    assert list(client.follow("take")) == [say.Cancelled("take")]


def test_a_failed_job_ends_with_its_failure(client: Client, server: FakeServer) -> None:
    client.submit("take", "extract", OPTIONS)
    fail = Fail(say.Extract.address, BAD_INPUT, "no sound in it", "take")
    server.end_job("take", fail)
    assert list(client.follow("take")) == [fail]


def test_following_a_job_nobody_knows_is_refused(client: Client) -> None:
    with pytest.raises(Refused, match="no such job"):
        list(client.follow("unknown"))


def test_lost_packets_are_sent_again_and_the_job_is_the_same(server: FakeServer) -> None:
    turns = itertools.count()
    server.loses = lambda message, is_in: next(turns) in (0, 2)  # the request, then its answer
    with Client(port=server.port) as client:
        client.submit("take", "extract", OPTIONS)
    assert server.heard == [say.Extract("take", OPTIONS)] * 2


@pytest.mark.parametrize("lost", [say.Result, say.Finished])
def test_lost_events_are_asked_for_again(
    server: FakeServer, lost: type[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemwright.bridge.client.QUIET", 0.1)
    once = [lost]
    server.loses = lambda message, is_in: type(message) in once and not once.clear()
    with Client(port=server.port) as client:
        client.submit("take", "extract", OPTIONS)
        server.end_job("take", result("take"), say.Finished("take", 1.0))
        assert list(client.follow("take")) == [result("take"), say.Finished("take", 1.0)]


def test_progress_is_seen_by_asking_when_events_do_not_come(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemwright.bridge.client.QUIET", 0.1)
    server.loses = lambda message, is_in: isinstance(message, say.Progress)
    with Client(port=server.port) as client:
        client.submit("take", "extract", OPTIONS)
        server.jobs["take"] = [say.JobState("take", "running", 0.25, "sample")]
        events = client.follow("take")
        assert next(events) == say.Progress("take", 0.25, "sample", -1.0)
        server.end_job("take", result("take"), say.Finished("take", 1.0))
        assert list(events) == [result("take"), say.Finished("take", 1.0)]


def test_a_restarted_server_is_waited_for(
    server: FakeServer, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemwright.bridge.client.QUIET", 0.1)
    client.submit("take", "extract", OPTIONS)
    server.stop()
    started: list[FakeServer] = []

    def start() -> None:
        told = [say.JobState("take", "finished", 1.0, ""), result("take"), say.Finished("take", 1.0)]
        started.append(FakeServer(tmp_path, server.port, jobs={"take": told}))

    timer = later(0.5, start)
    try:
        assert list(client.follow("take")) == [result("take"), say.Finished("take", 1.0)]
    finally:
        timer.join()
        started[0].stop()


def test_a_server_that_stays_silent_is_given_up(server: FakeServer, client: Client) -> None:
    server.loses = lambda message, is_in: True
    begin = time.monotonic()
    with pytest.raises(NoServer, match="no answer to /stemwright/ping within"):
        client.ask(say.Ping(1), wait=0.5)
    with pytest.raises(NoServer, match="nothing more about take"):
        list(client.follow("take", patience=0.5))
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_no_server_is_told_at_once_with_the_way_out(transport: str) -> None:
    with socket.socket() as taken:  # a port of our own, where nobody answers
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        begin = time.monotonic()
        with Client(port=port, transport=transport) as client, pytest.raises(NoServer) as caught:
            client.ask(say.Ping(1), wait=60)
    assert time.monotonic() - begin < 30
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "stemwright serve" in str(caught.value)


def test_an_unknown_host_is_no_server() -> None:
    with Client("no-such-host.invalid") as client, pytest.raises(NoServer, match="no host"):
        client.ask(say.Ping(1))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_localhost_is_this_machine(server: FakeServer, transport: str) -> None:
    with Client("localhost", server.port, transport=transport) as client:
        assert client.ask(say.Ping(1)) == [say.Pong(1)]


def test_a_request_too_long_for_a_datagram_goes_over_tcp_only(server: FakeServer) -> None:
    options = [("prompt", "slap bass " * 80)] * 100
    with Client(port=server.port) as client, pytest.raises(BadJob, match="transport tcp"):
        client.submit("take", "extract", options)
    with Client(port=server.port, transport="tcp") as client:
        assert client.submit("take", "extract", options) == say.Accepted("take", 0)


def test_strangers_are_not_listened_to(server: FakeServer) -> None:
    with Client(port=server.port) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        client.ask(say.Ping(1))
        line: Any = client._line
        where = line._socket.getsockname()
        stranger.sendto(b"/stemwright/pong\0\0\0\0,i\0\0\0\0\0\2", where)
        assert client.hear(0.2) is None


def test_what_is_no_message_of_ours_is_passed_over(server: FakeServer) -> None:
    """A server may be newer; what it says besides is no reason to fail."""
    with Client(port=server.port) as client:
        packets = [
            b"/stemwright/new\0,\0\0\0",
            b"/stemwright/pong\0\0\0\0,s\0\0a\0\0\0",
            b"#bundle",
            b"\xff" * 8,
        ]
        line: Any = client._line
        receive, line.receive = line.receive, lambda seconds: packets.pop() if packets else receive(seconds)
        assert client.ask(say.Ping(3)) == [say.Pong(3)]
        assert not packets


def test_a_file_arrives_whole(client: Client, server: FakeServer, song: Path, tmp_path: Path) -> None:
    upload = client.upload(song)
    assert (tmp_path / f"{upload}.wav").read_bytes() == song.read_bytes()


def test_a_file_arrives_whole_though_chunks_get_lost(server: FakeServer, song: Path, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    server.loses = lambda message, is_in: isinstance(message, say.Chunk) and chance.random() < 0.3
    with Client(port=server.port, bulk="udp") as client:
        client.upload(song, "take-1")
    assert (tmp_path / "take-1.wav").read_bytes() == song.read_bytes()
    assert sum(isinstance(asked, say.CloseUpload) for asked in server.heard) > 1


def test_a_file_that_is_no_audio_is_refused(client: Client, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    with pytest.raises(Refused, match="no audio is recognised") as caught:
        client.upload(text)
    assert caught.value.fail.code == BAD_INPUT
    with pytest.raises(BadInput, match="No such file"):
        client.upload(tmp_path / "none.wav")


@pytest.mark.parametrize("bulk", ["tcp", "udp"])
@pytest.mark.parametrize("size", [0, 1, 1200, 65536, 300_001])
def test_a_result_is_fetched_whole(server: FakeServer, tmp_path: Path, bulk: str, size: int) -> None:
    server.result.write_bytes(np.random.default_rng(2).bytes(size))
    with Client(port=server.port, bulk=bulk) as client:
        place = client.fetch("take", 0, tmp_path / "here.wav")
    assert place.read_bytes() == server.result.read_bytes()
    assert not list(tmp_path.glob(".stemwright-*"))


def test_a_result_is_fetched_whole_though_ranges_get_lost(server: FakeServer, tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    server.loses = lambda message, is_in: chance.random() < 0.1
    server.result.write_bytes(chance.bytes(50_000))
    with Client(port=server.port, bulk="udp") as client:
        client.fetch("take", 0, tmp_path / "here.wav")
    assert (tmp_path / "here.wav").read_bytes() == server.result.read_bytes()


def test_fetching_does_not_write_over_a_file(server: FakeServer, tmp_path: Path) -> None:
    server.result.write_bytes(b"new")
    place = tmp_path / "here.wav"
    place.write_bytes(b"old")
    with Client(port=server.port) as client:
        with pytest.raises(BadOutput, match="exists already"):
            client.fetch("take", 0, place)
        assert place.read_bytes() == b"old"
        client.fetch("take", 0, place, overwrite=True)
    assert place.read_bytes() == b"new"
    assert not list(tmp_path.glob(".stemwright-*"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_token_is_shown_first_and_on_every_line(tmp_path: Path, song: Path, transport: str) -> None:
    server = FakeServer(tmp_path, token="secret")
    try:
        with Client(port=server.port, transport=transport, token="secret") as client:
            assert client.ask(say.Ping(1)) == [say.Pong(1)]
            client.upload(song)
            line: Any = client._line
            line.close()  # as when the server was started again
            client._is_admitted = False
            assert client.ask(say.Ping(2)) == [say.Pong(2)]
        stranger = Client(port=server.port, transport=transport, token="wrong")
        with stranger, pytest.raises(Refused, match="not the token"):
            stranger.ask(say.Ping(1))
    finally:
        server.stop()
