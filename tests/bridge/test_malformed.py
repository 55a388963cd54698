"""Packets that end, hang or mislead other OSC servers: each is refused by name, and a ping is answered."""

import struct

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BAD_ARGS, INTERNAL, TOO_FAR, TOO_LARGE
from tests.bridge.wires import FRAMINGS, Datagrams, Stream, built, bundle, serving, tag_in


def nested(depth: int) -> bytes:
    packet = built("/a")
    for _ in range(depth):
        packet = bundle(packet)
    return packet


MALFORMED = {
    "empty": (b"", BAD_ARGS),
    "random bytes": (bytes.fromhex("8f3a9c1174e6b2d05511a0ff"), BAD_ARGS),
    "zeros": (bytes(64), BAD_ARGS),
    "no NUL": (b"/abcdefghijk", BAD_ARGS),
    "length not a multiple of 4": (built("/a", ("i", 1)) + b"\0", BAD_ARGS),
    "address without slash": (b"abc\0,i\0\0\0\0\0\1", BAD_ARGS),
    "address not UTF-8": (b"/\xff\xfe\0,\0\0\0", BAD_ARGS),
    "address with a line feed": (b"/a\n\0,\0\0\0", BAD_ARGS),
    "address of 256 letters": (b"/" + b"a" * 255 + bytes(4) + b",\0\0\0", BAD_ARGS),
    "type tags without comma": (b"/a\0\0i\0\0\0\0\0\0\1", BAD_ARGS),
    "type tags without end": (b"/a\0\0,iii", BAD_ARGS),
    "unknown type tag": (b"/a\0\0,Q\0\0", BAD_ARGS),
    "impulse": (b"/a\0\0,I\0\0", BAD_ARGS),
    "letter that is none": (b"/a\0\0,c\0\0\xff\xff\xff\xff", BAD_ARGS),
    "257 arguments": (b"/a\0\0," + b"T" * 257 + bytes(2), TOO_LARGE),
    "truncated int": (b"/a\0\0,i\0\0", BAD_ARGS),
    "truncated float": (b"/a\0\0,ff\0\0\0\0\1", BAD_ARGS),
    "truncated double": (b"/a\0\0,d\0\0\0\0\0\1", BAD_ARGS),
    "truncated MIDI": (b"/a\0\0,m\0\0", BAD_ARGS),
    "string without end": (b"/a\0\0,s\0\0abcd", BAD_ARGS),
    "string not UTF-8": (b"/a\0\0,s\0\0\xc3\x28\0\0", BAD_ARGS),
    "blob without size": (b"/a\0\0,b\0\0", BAD_ARGS),
    "blob of 2 GiB": (b"/a\0\0,b\0\0\x7f\xff\xff\xffabcd", BAD_ARGS),
    "blob of negative size": (b"/a\0\0,b\0\0\xff\xff\xff\xfcabcd", BAD_ARGS),
    "blob without padding": (b"/a\0\0,bi\0\0\0\0\3abc\0", BAD_ARGS),
    "trailing bytes": (built("/a", ("i", 1)) + b"junk", BAD_ARGS),
    "open array": (b"/a\0\0,[i\0\0\0\0\1", BAD_ARGS),
    "stray bracket": (b"/a\0\0,]\0\0", BAD_ARGS),
    "arrays 200 deep": (b"/a\0\0," + b"[" * 100 + b"]" * 100 + bytes(3), BAD_ARGS),
    "bundle without time": (b"#bundle\0", BAD_ARGS),
    "bundle with half a time": (b"#bundle\0" + bytes(4), BAD_ARGS),
    "bundle with half a size": (bundle() + b"\0\0", BAD_ARGS),
    "element of size -4": (bundle() + struct.pack(">i", -4), BAD_ARGS),
    "element of size 0": (bundle() + struct.pack(">i", 0), BAD_ARGS),
    "element of size 6": (bundle() + struct.pack(">i", 6) + b"/a\0\0,\0\0\0", BAD_ARGS),
    "element beyond the bundle": (bundle() + struct.pack(">i", 64) + built("/a"), BAD_ARGS),
    "element without slash": (bundle(b"abc\0,\0\0\0"), BAD_ARGS),
    "message that reaches into the next": (bundle(b"/a\0\0,i\0\0", built("/b")), BAD_ARGS),
    "bundles 5 deep": (nested(5), BAD_ARGS),
    "bundles 1200 deep": (nested(1200), BAD_ARGS),
    "bundle of 257 messages": (bundle(*[built("/a")] * 257), TOO_LARGE),
    "bundle for in 30 days": (bundle(built("/a"), tag=tag_in(30 * 86400)), TOO_FAR),
    "bundle for the last of times": (bundle(built("/a"), tag=2**64 - 1), TOO_FAR),
    "a page's POST": (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", BAD_ARGS),
}
assert len(MALFORMED) >= 29

PATTERNS = {
    "pattern of stars": "/" + "/".join(["*" * 20 + "X"] * 5),
    "pattern that is no regular expression": "/[z-a]{(,*?",
    "pattern that fits ping": "/stemwright/p*",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_datagram_is_refused_by_name_and_harms_nothing(case: str) -> None:
    packet, code = MALFORMED[case]
    with serving() as small, Datagrams(small.server.port) as client:
        client.send(packet)
        ((address, fail),) = client.ping(1)
        assert (address, fail[1], fail[3]) == (say.Fail.address, code, "") and fail[2]
        assert client.ping(2) == []
        assert small.heard == [] and small.server.counts.refused == 1 and small.server.counts.errors == 0


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    "case", [case for case, (packet, _) in MALFORMED.items() if len(packet) % 4 == 0 and packet]
)
def test_a_malformed_packet_in_a_good_frame_is_answered_and_the_next_one_too(case: str, framing: str) -> None:
    packet, code = MALFORMED[case]
    with serving() as small, Stream(small.server.port, framing) as client:
        client.send(packet)
        address, fail = client.receive()
        assert (address, fail[1]) == (say.Fail.address, code)
        client.ping(1)
        assert small.heard == [] and small.server.counts.errors == 0


@pytest.mark.parametrize("case", PATTERNS)
def test_an_address_with_pattern_signs_is_only_an_address(case: str) -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        client.send(built(PATTERNS[case], ("i", 5)))
        assert client.ping(1) == []
        assert [(address, values) for address, values, _, _ in small.heard] == [(PATTERNS[case], [5])]


def test_a_handler_that_raises_is_answered_and_the_next_request_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving() as small, Datagrams(small.server.port) as client:
        for _ in range(50):
            client.send(built("/raise"))
        answers = client.ping(1)
        assert [(address, fail[:2]) for address, fail in answers] == [
            (say.Fail.address, ["/raise", INTERNAL])
        ] * 50
        assert small.server.counts.errors == 50
    assert len(caplog.records) == 20


PING = built("/stemwright/ping", ("i", 1))
CLOSED = {
    "POST whose body is OSC": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n\xc0\xc0" + built("/run") + b"\xc0",
    "POST whose body has a length": b"POST / HTTP/1.1\r\n\r\n\0\0\0\x08" + built("/run"),
    "GET": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "a bare message": built("/run"),
    "length of 4 GiB": b"\xff\xff\xff\xff" + built("/run"),
    "length of 16 MiB": struct.pack(">I", (16 << 20) - 4) + built("/run"),
    "length of 0": bytes(4) + built("/run"),
    "length not a multiple of 4": struct.pack(">I", 7) + built("/run"),
    "a length after a good frame": struct.pack(">I", len(PING)) + PING + b"\x7f\xff\xff\xfc" + built("/run"),
    "escape that is none": b"\xc0ab\xdbcd\xc0" + built("/run") + b"\xc0",
}


@pytest.mark.parametrize("case", CLOSED)
def test_a_stream_that_is_not_osc_is_closed_and_nothing_of_it_is_done(case: str) -> None:
    with serving() as small, Stream(small.server.port) as client:
        client.socket.sendall(CLOSED[case])
        assert client.is_closed()
        with Stream(small.server.port) as other:
            other.ping(1)
        assert small.heard == [] and small.server.counts.refused == 1 and small.server.counts.errors == 0
