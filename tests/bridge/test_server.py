"""The running server: bundles in time, TCP in both framings, answers from any thread, bad peers."""

import logging
import socket
import struct
import threading
import time
import zlib
from contextlib import suppress

import pytest

from stemwright.bridge import connections, server
from stemwright.bridge.errors import PortTaken
from stemwright.bridge.grammar import BUSY
from stemwright.bridge.limiter import FewLines, Limiter
from stemwright.bridge.messages import LONGEST_REPLY, Buffer, Done, Fail, Pong, Status
from stemwright.bridge.server import Peer, Server
from stemwright.bridge.wire import BadPacket, encode
from tests.bridge.waiting import until
from tests.bridge.wires import (
    FRAMINGS,
    Datagrams,
    Small,
    Stream,
    built,
    bundle,
    serving,
    tag_in,
)

PIECE = Buffer("j", 0, 0, 1 << 30, bytes(range(256)) * 256)  # 64 KiB


def open_stream(
    small: Small, framing: str = "lengths", receive_buffer: int | None = None
) -> tuple[Stream, Peer]:
    """A client that has introduced itself, and the server's name for it."""
    stream = Stream(small.server.port, framing, receive_buffer)
    stream.send(built("/hello"))
    until(lambda: small.heard and small.heard[-1][0] == "/hello")
    return stream, small.heard.pop()[3]


# Bundles


def test_bundles_run_in_the_order_of_their_times_and_never_early() -> None:
    """How late is not asserted: 0.1 to 2 ms here, but more on a busy machine."""
    with serving() as small, Datagrams(small.server.port) as client:
        begin, now = time.monotonic(), tag_in(0)
        delays = [0.15, 0.05, 0.1, 0.05]
        for index, delay in enumerate(delays):
            tag = now + int(delay * 2**32)
            client.send(bundle(built("/a", ("i", index)), built("/b", ("i", index)), tag=tag))
        client.send(bundle(built("/late"), tag=tag_in(-60)))
        client.send(bundle(built("/now")))
        assert client.ping(1) == []
        until(lambda: len(small.heard) == 10)
        order = [(address, *values) for address, values, _, _ in small.heard]
        timed = [(letter, index) for index in (1, 3, 2, 0) for letter in ("/a", "/b")]
        assert order == [("/late",), ("/now",), *timed]
        for address, values, moment, _ in small.heard:
            if values:
                assert moment - begin >= delays[values[0]] - 0.002, address  # the two clocks differ a little


def test_messages_that_wait_have_a_limit_and_one_more_is_refused_as_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MOST_LATER", 10)
    with serving() as small, Datagrams(small.server.port) as client:
        client.send(bundle(*[built("/a")] * 10, tag=tag_in(0.3)))
        client.send(bundle(built("/one-more"), tag=tag_in(0.3)))
        ((_, fail),) = client.ping(1)
        assert fail[1] == BUSY
        until(lambda: len(small.heard) == 10)
        client.send(bundle(built("/now-there-is-room"), tag=tag_in(0.01)))
        until(lambda: len(small.heard) == 11)


# UDP


def test_the_answer_comes_from_the_port_that_was_asked() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        client.send(built("/stemwright/ping", ("i", 3)))
        assert client.socket.recvfrom(2048)[1] == ("127.0.0.1", small.server.port)


def test_the_largest_datagram_is_heard_whole() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        packet = built("/a", ("b", b"x" * 65488))
        assert len(packet) == 65500  # 65507 is no multiple of four
        client.send(packet)
        client.ping(1)
        assert small.heard[0][1] == [b"x" * 65488]


def test_an_answer_goes_to_another_port_of_the_peer_when_told() -> None:
    with serving() as small, Datagrams(small.server.port) as client, Datagrams(small.server.port) as ear:
        port = ear.socket.getsockname()[1]
        small.server.send(Peer("udp", "127.0.0.1", port), Done("/stemwright/notify"))
        assert ear.receive() == (Done.address, ["/stemwright/notify", ""])
        assert client.ping(1) == []


def test_an_answer_too_long_for_a_datagram_is_dropped_and_counted_never_cut() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        peer = Peer("udp", *client.socket.getsockname())
        small.server.send(peer, Buffer("j", 0, 0, 1 << 20, bytes(1 << 20)))
        assert small.server.counts.dropped == 1
        assert client.ping(1) == []


def test_sending_to_nobody_harms_nothing() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        with Datagrams(small.server.port) as gone:
            port = gone.socket.getsockname()[1]
        for _ in range(100):
            small.server.send(Peer("udp", "127.0.0.1", port), Pong(1))
        small.server.send(Peer("tcp", "127.0.0.1", port, number=99), Pong(1))
        small.server.send(Peer("local", "", 0), Pong(1))
        small.server.send(Peer("udp", "127.0.0.1", 70000), Pong(1))
        assert client.ping(1) == []
        assert small.server.counts.dropped == 2


def test_many_threads_send_at_once_and_every_answer_arrives_whole() -> None:
    with serving() as small:
        stream, peer = open_stream(small)
        with stream:

            def speak(voice: int) -> None:
                for number in range(100):
                    small.server.send(peer, Status(f"voice {voice}", number, 0, "m" * 500, 0.5, "cpu"))

            threads = [threading.Thread(target=speak, args=(voice,)) for voice in range(8)]
            for thread in threads:
                thread.start()
            heard: dict[str, list[int]] = {}
            for _ in range(800):
                address, (voice, number, *_) = stream.receive()
                assert address == Status.address
                heard.setdefault(voice, []).append(number)
            for thread in threads:
                thread.join()
        assert heard == {f"voice {voice}": list(range(100)) for voice in range(8)}
        assert small.server.counts.sent == 800


def test_errors_are_answered_up_to_a_limit_for_each_source(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving() as small, Datagrams(small.server.port) as client, Datagrams(small.server.port) as other:
        answers = 0
        for number in range(20):
            for _ in range(50):
                client.send(b"garbage!")
            answers += len(client.ping(number))
        seconds = 60  # more than this test may take
        assert 20 <= answers <= 20 + 10 * seconds < small.server.counts.refused == 1000
        other.send(b"garbage!")
        assert [address for address, _ in other.ping(1)] == [Fail.address]
    assert len(caplog.records) == 20 + 2  # at 100 and 1000


def test_the_handler_of_bad_packets_hears_who_and_why_and_may_raise() -> None:
    told: list[tuple[Peer, BadPacket]] = []

    def on_bad(peer: Peer, bad: BadPacket) -> None:
        told.append((peer, bad))
        raise RuntimeError("on request")

    with serving(on_bad=on_bad) as small, Datagrams(small.server.port) as client:
        client.send(b"/abc\0\0\0\0,Q\0\0")
        assert client.ping(1) == []
        ((peer, bad),) = told
        assert peer == Peer("udp", *client.socket.getsockname()) and bad.address == "/abc"
        assert small.server.counts.errors == 1


# TCP


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_connection_is_answered_in_its_own_framing(framing: str) -> None:
    with serving() as small, Stream(small.server.port, framing) as client:
        client.ping(5)
        client.ping(0xC0DB)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_eight_megabytes_go_both_ways(framing: str) -> None:
    data = struct.pack(">I", 0xC0DBDCDD) * (2 << 20)
    with serving() as small:
        stream, peer = open_stream(small, framing)
        with stream:
            stream.send(built("/blob", ("b", data)))
            until(lambda: small.heard)
            assert zlib.crc32(small.heard[0][1][0]) == zlib.crc32(data)
            answer = Buffer("j", 0, 0, len(data), data)
            small.server.send(peer, answer)
            assert stream.receive_packet() == encode(answer)
            stream.ping(1)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_message_may_come_byte_by_byte(framing: str) -> None:
    with serving() as small, Stream(small.server.port, framing) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.framed(built("/stemwright/ping", ("i", 9))):
            client.socket.sendall(bytes([byte]))
        assert client.receive() == (Pong.address, [9])


def test_two_messages_may_share_one_end() -> None:
    with serving() as small, Stream(small.server.port, "slip") as client:
        frame = client.framed(built("/stemwright/ping", ("i", 1)))
        client.socket.sendall(frame + frame[1:])
        assert [client.receive() for _ in range(2)] == [(Pong.address, [1])] * 2


def test_who_stops_sending_still_gets_the_answers() -> None:
    with serving() as small:
        stream, peer = open_stream(small, receive_buffer=4096)
        with stream:
            for _ in range(64):
                small.server.send(peer, PIECE)
            stream.socket.shutdown(socket.SHUT_WR)
            for _ in range(64):
                assert stream.receive_packet() == encode(PIECE)
            assert stream.is_closed()
        until(lambda: small.server.counts.connections == 0)


def test_a_reader_that_does_not_read_is_dropped_and_the_others_are_served() -> None:
    with (
        serving() as small,
        Datagrams(small.server.port) as client,
        Stream(small.server.port, "slip") as other,
    ):
        slow, peer = open_stream(small, receive_buffer=4096)
        other.ping(1)
        with slow:
            for number in range(1000):
                small.server.send(peer, PIECE)
                if small.server.counts.dropped:
                    break
                if number % 50 == 0:
                    assert client.ping(number) == []
            else:
                pytest.fail("64 MiB were kept for a peer that does not read")
            until(lambda: small.server.counts.connections == 1)
            small.server.send(peer, PIECE)
            assert small.server.counts.dropped == 2
            other.ping(2)
            assert client.ping(2000) == []


def test_a_reader_that_rests_with_answers_waiting_is_dropped_in_time() -> None:
    with serving(patience=0.3) as small:
        slow, peer = open_stream(small, receive_buffer=4096)
        with slow:
            for _ in range(100):
                small.server.send(peer, PIECE)
            until(lambda: small.server.counts.connections == 0)


def test_half_a_frame_that_rests_is_closed_and_a_whole_one_is_not() -> None:
    with (
        serving(patience=0.3) as small,
        Stream(small.server.port) as silent,
        Stream(small.server.port) as half,
        Stream(small.server.port, "slip") as whole,
    ):
        whole.ping(1)
        half.socket.sendall(b"\0\0\0\x40/abc")
        assert half.is_closed() and silent.is_closed()
        whole.ping(2)
        assert small.server.counts.connections == 1


def test_connections_have_a_limit_and_room_again_when_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    with serving() as small, Stream(small.server.port) as first, Stream(small.server.port) as second:
        with Stream(small.server.port) as third:
            for stream in (first, second, third):
                stream.ping(1)
            with Stream(small.server.port) as fourth:
                assert fourth.is_closed()
        until(lambda: small.server.counts.connections == 2)
        with Stream(small.server.port) as again:
            again.ping(1)


def test_half_frames_of_all_connections_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_HELD", 10 << 20)
    header = struct.pack(">I", 8 << 20)
    with serving() as small, Stream(small.server.port) as first, Stream(small.server.port) as second:
        second.ping(1)
        first.socket.sendall(header + bytes(6 << 20))
        until(lambda: small.server._connections._total("held") == (6 << 20) + 4)
        with Stream(small.server.port) as third:
            with suppress(ConnectionError):
                third.socket.sendall(header + bytes(6 << 20))
            assert third.is_closed()
        second.ping(2)
        first.socket.sendall(bytes(2 << 20))  # now it is whole, if no OSC
        assert first.receive()[0] == Fail.address


def test_who_leaves_in_the_middle_is_forgotten() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        for _ in range(50):
            with Stream(small.server.port) as gone:
                gone.socket.sendall(gone.framed(built("/stemwright/ping", ("i", 1))) * 3 + b"\0\0\0\x40/ab")
                gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: small.server.counts.connections == 0)
        assert client.ping(1) == [] and small.server.counts.errors == 0


# Start and stop


def test_a_taken_port_is_said_with_the_way_out() -> None:
    with serving() as small:
        with pytest.raises(PortTaken, match=f"TCP port {small.server.port} .*--port"):
            Server(small.handle, port=small.server.port).start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            with pytest.raises(PortTaken, match="UDP"):
                Server(small.handle, port=other.getsockname()[1]).start()
        for host, port in (("203.0.113.7", 0), ("127.0.0.1", 70000), ("no such host", 0)):
            with pytest.raises(PortTaken):
                Server(small.handle, host=host, port=port).start()


def test_stop_joins_the_thread_and_frees_the_port() -> None:
    before = threading.active_count()
    with serving() as small, Stream(small.server.port) as client:
        client.ping(1)
        client.send(bundle(built("/a"), tag=tag_in(5)))
        client.ping(2)
        small.server.stop()
        small.server.stop()
        assert client.is_closed() and threading.active_count() == before
        small.server.send(Peer("udp", "127.0.0.1", 9), Pong(1))
        small.server.send(Peer("tcp", "127.0.0.1", 9, 1), Pong(1))
        assert small.heard == [] and small.server.counts.dropped == 2
        again = Server(small.handle, port=small.server.port)
        again.start()
        again.stop()


def test_a_bound_server_keeps_what_arrives_until_it_starts_and_may_stop_before() -> None:
    small = Small()
    small.server.bind()
    with Datagrams(small.server.port) as client:
        client.send(built("/early"))
        small.server.start()
        assert client.ping(1) == [] and small.heard[0][0] == "/early"
        small.server.stop()
    never = Small()
    never.server.bind()
    never.server.stop()
    Small().server.stop()


def test_ipv6_is_served_where_there_is_any() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with serving(host="::1") as small, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(built("/stemwright/ping", ("i", 1)), ("::1", small.server.port))
        assert client.recv(2048) == encode(Pong(1))


# Limits


def test_the_limiter_lets_a_burst_through_then_its_rate() -> None:
    limiter = Limiter(rate=10, burst=5)
    assert [limiter.allows("a", now=100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert limiter.allows("b", now=100.0)
    assert [limiter.allows("a", now=100.2) for _ in range(3)] == [True, True, False]
    assert sum(limiter.allows("a", now=1000.0) for _ in range(20)) == 5


def test_the_limiter_remembers_few_keys_and_holds_them_all_together_to_a_limit() -> None:
    limiter = Limiter(rate=10, burst=5, most=100)
    now = time.monotonic() + 1
    assert sum(limiter.allows(key, now=now) for key in range(100_000)) == 5 * 20
    assert len(limiter) == 100


def test_a_log_says_the_first_lines_then_counts(caplog: pytest.LogCaptureFixture) -> None:
    few = FewLines(logging.getLogger("stemwright.test"), first=3)
    for number in range(1, 1235):
        few.say("a", f"line {number}")
    few.say("b", "another kind")
    said = [record.getMessage().split(" (")[0] for record in caplog.records]
    assert said == ["line 1", "line 2", "line 3", "line 10", "line 100", "line 1000", "another kind"]
    assert "1000 so far" in caplog.records[5].getMessage()


def test_no_answer_to_garbage_is_longer_than_a_datagram_should_be() -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        client.send(b"/" + b"\xc3\xa9" * 100 + bytes(3) + b"," + b"\xc3\xa9" * 200 + bytes(3))
        assert 0 < len(client.socket.recv(65536)) <= LONGEST_REPLY
