import ipaddress

import pytest

from stemwright.bridge.clients import (
    LEASE,
    MOST_LISTENERS,
    TOKEN_LEASE,
    Clients,
    Gate,
    is_here,
    read,
    written,
)
from stemwright.bridge.grammar import BAD_ARGS, BUSY, FORBIDDEN, BadMessage
from stemwright.bridge.server import Peer

HERE = Peer("udp", "127.0.0.1", 50000)
THERE = Peer("udp", "192.168.1.7", 50000)
LAN = (ipaddress.ip_network("192.168.1.0/24"),)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_lease_sends_events_to_the_port_named_and_ends_by_itself() -> None:
    clock = Clock()
    clients = Clients(clock)
    clients.listen(HERE, 9000)
    assert clients.target(HERE) == Peer("udp", "127.0.0.1", 9000)
    assert clients.listeners() == {Peer("udp", "127.0.0.1", 9000)}
    clock.now += LEASE - 1
    assert clients.listeners()
    clock.now += 2
    assert clients.listeners() == set()
    assert clients.target(HERE) == HERE


def test_events_never_go_to_another_host_or_to_a_port_of_the_system() -> None:
    clients = Clients()
    for port in (1, 80, 1023, 65536, -5):
        with pytest.raises(BadMessage) as refused:
            clients.listen(HERE, port)
        assert refused.value.code == BAD_ARGS
    clients.listen(THERE, 9000)
    assert {target.host for target in clients.listeners()} == {THERE.host}


def test_one_listener_too_many_is_told_to_wait_and_renewing_is_not() -> None:
    clients = Clients()
    peers = [Peer("udp", "127.0.0.1", 2000 + number) for number in range(MOST_LISTENERS)]
    for peer in peers:
        clients.listen(peer, 0)
    clients.listen(peers[0], 0)
    with pytest.raises(BadMessage) as refused:
        clients.listen(HERE, 0)
    assert refused.value.code == BUSY
    clients.leave(peers[3])
    clients.listen(HERE, 0)


def test_a_peer_comes_back_from_the_journal_as_it_was() -> None:
    for peer in (HERE, Peer("tcp", "::1", 7000, 12), Peer("local", "midi", 0)):
        assert read(written(peer)) == peer
    for text in ("", "udp", "udp 127.0.0.1 x 0", "udp 127.0.0.1 1 0 more"):
        assert read(text) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_here(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize(
    "host", ["192.168.1.7", "0.0.0.0", "fe80::1%eth0", "example.org", "", "127.0.0.1.evil"]
)
def test_everything_else_is_not(host: str) -> None:
    assert not is_here(host)


def test_beyond_this_machine_only_the_allowed_with_the_token_get_through() -> None:
    clock = Clock()
    gate = Gate(LAN, "correct horse battery", clock)
    gate.check(HERE, is_open=False)
    stranger = Peer("udp", "10.0.0.1", 50000)
    for is_open in (True, False):
        with pytest.raises(BadMessage, match="allow-list"):
            gate.check(stranger, is_open=is_open)
    gate.check(THERE, is_open=True)
    with pytest.raises(BadMessage, match="token"):
        gate.check(THERE, is_open=False)
    with pytest.raises(BadMessage) as refused:
        gate.admit(THERE, "wrong")
    assert refused.value.code == FORBIDDEN
    gate.admit(THERE, "correct horse battery")
    gate.check(THERE, is_open=False)
    with pytest.raises(BadMessage):  # another socket of the same host has not shown it
        gate.check(Peer("udp", THERE.host, 50001), is_open=False)
    clock.now += TOKEN_LEASE + 1
    with pytest.raises(BadMessage):
        gate.check(THERE, is_open=False)


def test_a_gate_without_a_token_admits_nobody_from_beyond() -> None:
    gate = Gate(LAN, "")
    with pytest.raises(BadMessage):
        gate.admit(THERE, "")
