"""OSC over TCP as bytes: any cut of the stream gives the same packets, in time linear in its bytes."""

import struct
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc import slip

from stemwright.bridge.framing import BadFrame, Framing, Lengths, Slip, framing_of
from stemwright.bridge.wire import LONGEST_PACKET

packets = st.lists(st.binary(min_size=1, max_size=8).map(lambda part: part * 4), max_size=8)
awkward = st.lists(st.sampled_from([b"\xc0", b"\xdb", b"\xdc", b"\xdd", b"a"]), min_size=4, max_size=12)
cuts = st.lists(st.integers(0, 300), max_size=10)


def pushed(framing: Framing, stream: bytes, at: list[int]) -> list[bytes]:
    """The packets of a stream that comes in pieces, cut at these places."""
    edges = sorted({0, len(stream), *(min(place, len(stream)) for place in at)})
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    return [packet for piece in pieces for packet in framing.push(piece)]


@given(packets, cuts)
def test_lengths_any_cut_gives_the_packets(sent: list[bytes], at: list[int]) -> None:
    framing = Lengths()
    assert pushed(framing, b"".join(framing.wrap(packet) for packet in sent), at) == sent
    assert framing.held == 0


@given(st.lists(awkward.map(b"".join), max_size=8), cuts)
def test_slip_any_cut_gives_the_packets(sent: list[bytes], at: list[int]) -> None:
    framing = Slip()
    assert pushed(framing, b"".join(framing.wrap(packet) for packet in sent), at) == sent
    assert framing.held == 0


def test_a_length_in_halves_is_one_length() -> None:
    assert pushed(Lengths(), b"\0\0\0\4abcd\0\0\0\4efgh", [2, 10]) == [b"abcd", b"efgh"]


def test_slip_frames_may_share_an_end_or_have_several() -> None:
    assert pushed(Slip(), b"\xc0abcd\xc0efgh\xc0\xc0\xc0ijkl\xc0", []) == [b"abcd", b"efgh", b"ijkl"]


def test_slip_is_what_python_osc_speaks() -> None:
    packet = bytes(range(256)) * 4
    assert Slip().wrap(packet) == slip.encode(packet)
    assert list(Slip().push(slip.encode(packet))) == [packet]


@pytest.mark.parametrize("size", [0, 3, 5, LONGEST_PACKET + 4, 16 << 20, 2**31, 2**32 - 4])
def test_a_length_that_cannot_be_is_refused_before_anything_is_kept(size: int) -> None:
    framing = Lengths()
    with pytest.raises(BadFrame, match=str(size)):
        list(framing.push(struct.pack(">I", size)))
    assert framing.held <= 4


@pytest.mark.parametrize("frame", [b"\xdb", b"ab\xdb\xde", b"\xdb\xdb\xdc", b"abc\xdb"])
def test_a_slip_escape_that_is_none_is_refused(frame: bytes) -> None:
    with pytest.raises(BadFrame, match="escape"):
        list(Slip().push(b"\xc0" + frame + b"\xc0"))


def test_packets_before_the_bad_frame_are_handed_out() -> None:
    frames = Slip().push(b"\xc0good\xc0\xdbad\xc0")
    assert next(frames) == b"good"
    with pytest.raises(BadFrame):
        next(frames)


def test_a_slip_frame_has_a_limit_ended_or_not() -> None:
    with pytest.raises(BadFrame, match="at most"):
        list(Slip().push(b"\xc0" + bytes(LONGEST_PACKET + 4) + b"\xc0"))
    framing = Slip()
    with pytest.raises(BadFrame, match="without an end"):
        for _ in range(2 * LONGEST_PACKET // (1 << 20) + 2):
            list(framing.push(bytes(1 << 20)))


@pytest.mark.parametrize("first", [b"P", b"G", b"/", b"#", b"\x16", b"\x01", b"\xff"])
def test_a_stream_that_begins_otherwise_is_not_osc(first: bytes) -> None:
    with pytest.raises(BadFrame, match=f"{first[0]:#04x}"):
        framing_of(first[0])


@pytest.mark.parametrize("framing", [Lengths, Slip])
def test_many_small_pieces_of_a_large_frame_take_linear_time(framing: Callable[[], Framing]) -> None:
    """8 MiB in pieces of 1 KiB: about 20 ms here; looking through all that has come takes seconds."""
    receiver = framing()
    packet = b"\xdb\xc0" + bytes((8 << 20) - 2)
    stream = receiver.wrap(packet)
    begin = time.process_time()
    found = [whole for at in range(0, len(stream), 1024) for whole in receiver.push(stream[at : at + 1024])]
    assert time.process_time() - begin < 1.0
    assert found == [packet] and receiver.held == 0
