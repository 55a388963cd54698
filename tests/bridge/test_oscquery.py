"""The OSCQuery port: the proposal's JSON for this machine, nothing for web pages; it cannot be held up."""

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stemwright.bridge import advertise, oscquery
from stemwright.bridge import messages as say
from stemwright.bridge.advertise import Advertisement, is_beyond_this_machine
from stemwright.bridge.errors import PortTaken
from stemwright.bridge.grammar import shape
from stemwright.bridge.namespace import RANGES, find, linked, meaning, namespace
from stemwright.bridge.options import OPTIONS
from stemwright.bridge.oscquery import LONGEST_HEAD, MOST_WORKERS, OscQuery
from stemwright.engine.errors import BadJob, MissingExtra

STATUS = ["ready", 0, 0, "default", 0.0, "cpu"]


@pytest.fixture
def server() -> Iterator[OscQuery]:
    made = OscQuery(
        port=0, osc_port=7836, values=lambda: {"/stemwright/status.reply": STATUS}, names=["Studio"]
    )
    made.start()
    yield made
    made.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "oscquery"]


def get(
    server: OscQuery, target: str, *, verb: str = "GET", host: str | None = None, body: bytes | None = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        headers = {} if host is None else {"Host": host}
        connection.request(verb, target, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, answer.headers
    finally:
        connection.close()


def raw(server: OscQuery, data: bytes) -> bytes:
    """What comes back for these bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(data)
        found = b""
        while more := connection.recv(65536):
            found += more
        return found


def test_every_message_has_its_place_with_type_access_and_description(server: OscQuery) -> None:
    status, tree, headers = get(server, "/")
    assert status == 200 and headers["Content-Type"] == "application/json"
    for kinds, access in ((say.REQUESTS, 2), (say.REPLIES, 1), (say.EVENTS, 1)):
        for kind in kinds:
            node = find(tree, kind.address)
            assert node is not None and node["FULL_PATH"] == kind.address
            assert node["ACCESS"] == access
            assert node["DESCRIPTION"].startswith(linked(meaning(kind)))
            letters = "".join(letter for _, letter, _ in shape(kind) if letter != "*")
            assert node.get("TYPE", "") == letters
            assert len(node.get("RANGE", [])) == len(letters)


def test_optional_arguments_are_overloads_and_the_tail_of_a_job_is_listed() -> None:
    root = namespace()
    notify = find(root, "/stemwright/notify")
    assert notify is not None
    assert notify["TYPE"] == "ii" and [each["TYPE"] for each in notify["OVERLOADS"]] == ["i"]
    assert notify["RANGE"][0] == {"VALS": [0, 1]}
    extract = find(root, "/stemwright/extract")
    assert extract is not None and extract["TYPE"] == "s"
    assert list(extract["OPTIONS"]) == [option.name for option in OPTIONS]
    assert extract["OPTIONS"]["steps"]["RANGE"] == [{"MIN": 1, "MAX": 1000}]
    assert extract["OPTIONS"]["format"]["RANGE"] == [{"VALS": ["wav", "flac"]}]


def test_ranges_are_of_arguments_that_exist() -> None:
    for kind, ranges in RANGES.items():
        assert set(ranges) <= {name for name, _, _ in shape(kind)}, kind


def test_a_value_is_read_when_asked_and_only_where_there_is_one(server: OscQuery) -> None:
    assert get(server, "/stemwright/status.reply?VALUE")[:2] == (200, {"VALUE": STATUS})
    assert get(server, "/stemwright/status.reply")[1]["VALUE"] == STATUS
    tree = get(server, "/stemwright")[1]
    assert tree["CONTENTS"]["status.reply"]["VALUE"] == STATUS
    assert "VALUE" not in tree["CONTENTS"]["pong"]
    assert get(server, "/stemwright/pong?VALUE")[:2] == (204, None)
    assert "VALUE" not in json.dumps(namespace())  # the copy alone was filled


def test_host_info_names_the_osc_port(server: OscQuery) -> None:
    for path in ("/?HOST_INFO", "/stemwright?HOST_INFO"):
        status, found, _ = get(server, path)
        assert status == 200
        assert found["OSC_PORT"] == 7836 and found["OSC_TRANSPORT"] == "UDP" and found["NAME"] == "Stemwright"
        assert found["EXTENSIONS"]["VALUE"] and not found["EXTENSIONS"]["LISTEN"]


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/stemwright/extract?TYPE", 200, {"TYPE": "s"}),
        ("/stemwright/extract/?ACCESS", 200, {"ACCESS": 2}),
        ("/stemwright/%65xtract?TYPE", 200, {"TYPE": "s"}),
        ("/stemwright/status?TYPE", 204, None),
        ("/stemwright?FULL_PATH", 200, {"FULL_PATH": "/stemwright"}),
        ("/stemwright/upload/open?UNIT", 204, None),
    ],
)
def test_one_attribute_at_a_time(server: OscQuery, target: str, status: int, body: Any) -> None:
    assert get(server, target)[:2] == (status, body)


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/nowhere", 404, "nothing is at '/nowhere'"),
        ("/stemwright/extract/more", 404, "nothing is at"),
        ("/stemwright//extract", 404, "nothing is at"),
        ("/../../etc/passwd", 404, "nothing is at"),
        ("/%00", 404, "nothing is at"),
        ("http://localhost/stemwright", 404, "nothing is at"),
        ("/?LISTEN", 400, "no attribute 'LISTEN'; one at a time of ACCESS"),
        ("/stemwright/extract?TYPE&ACCESS", 400, "no attribute"),
        ("/?" + "x" * 3000, 400, "no attribute"),
    ],
)
def test_what_is_not_there_is_refused_in_words(server: OscQuery, target: str, status: int, said: str) -> None:
    found, body, _ = get(server, target)
    assert found == status and said in body["error"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:7837", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:7837", "studio", "Studio:1"],
)
def test_this_machines_names_are_answered(server: OscQuery, host: str) -> None:
    assert get(server, "/?HOST_INFO", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:7837", "localhost.evil.example", "127.0.0.1.evil.example",
        "localhost:x", "localhost:7837:1", "user@localhost", "127.0.0.1, evil.example", "", "[::2]",
        "0.0.0.0", "localhost evil", "192.168.1.1", "localhost:", "localhost:123456",
    ],
)  # fmt: skip
def test_any_other_host_is_forbidden_whatever_it_asks(server: OscQuery, host: str) -> None:
    for target in ("/", "/?HOST_INFO", "/nowhere"):
        status, body, headers = get(server, target, host=host)
        assert status == 403 and "Host is" in body["error"]
        assert "OSC_PORT" not in json.dumps(body)
        assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    ],
)
def test_no_host_or_two_are_forbidden(server: OscQuery, head: bytes) -> None:
    assert raw(server, head).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET /\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
        b"\x00\x00\x00\x14/stemwright/ping\0\0\0\0\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(server: OscQuery, head: bytes) -> None:
    assert raw(server, head).startswith(b"HTTP/1.1 400 ")
    assert get(server, "/?HOST_INFO")[0] == 200


def test_nothing_can_be_changed(server: OscQuery) -> None:
    for verb in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "get"):
        status, body, headers = get(server, "/stemwright/cancel", verb=verb, body=b"x" * 50_000)
        assert status == 405 and headers["Allow"] == "GET, HEAD" and "GET and HEAD" in body["error"]


def test_head_is_get_without_its_body(server: OscQuery) -> None:
    status, body, headers = get(server, "/", verb="HEAD")
    assert status == 200 and body is None
    assert int(headers["Content-Length"]) > 1000


def test_browsers_get_no_leave_to_read(server: OscQuery) -> None:
    _, _, headers = get(server, "/")
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_an_endless_head_is_cut_off(server: OscQuery) -> None:
    answer = raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (LONGEST_HEAD + 4096))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_slow_request_ends_in_time(server: OscQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oscquery, "LONGEST_WAIT", 0.1)
    began = time.monotonic()
    assert raw(server, b"GET / HTTP/1.1\r\n").startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 4  # 0.1 s to wait, 0.3 s to linger; the rest is a slow machine


def test_too_many_at_once_are_told_so_and_the_place_comes_back(server: OscQuery) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(MOST_WORKERS)]
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as late:
            assert late.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        for connection in idle:
            connection.close()
    until = time.monotonic() + 5
    while (found := asked_once(server)) != 200 and time.monotonic() < until:
        time.sleep(0.005)
    assert found == 200


def asked_once(server: OscQuery) -> int:
    try:
        return get(server, "/?HOST_INFO")[0]
    except (ConnectionError, http.client.HTTPException):
        return 0  # turned away before the request was read


def test_stopping_does_not_wait_for_those_who_say_nothing() -> None:
    server = OscQuery(port=0)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        until = time.monotonic() + 5
        while not [t for t in threading.enumerate() if t.name == "oscquery"][1:] and time.monotonic() < until:
            time.sleep(0.005)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3  # waiting would take 5 s
    server.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_taken_port_is_told_with_the_way_out(server: OscQuery) -> None:
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1 port {server.port} .*--http-port"):
        OscQuery(port=server.port).start()


def test_values_that_fail_do_not_end_the_server() -> None:
    broken: list[Any] = [KeyError("state"), {"/stemwright/status.reply": [float("nan")]}]

    def values() -> Any:
        now = broken.pop() if broken else {}
        if isinstance(now, Exception):
            raise now
        return now

    server = OscQuery(port=0, values=values)
    server.start()
    try:
        assert [get(server, "/")[0] for _ in range(3)] == [500, 500, 200]
    finally:
        server.stop()


def test_who_is_not_allowed_is_not_answered() -> None:
    server = OscQuery(port=0, allows=lambda host: False)
    server.start()
    try:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(server, "/")
    finally:
        server.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_the_ipv6_loopback_is_served_too() -> None:
    server = OscQuery("::1", port=0)
    try:
        server.start()
    except PortTaken as error:
        pytest.skip(f"no IPv6 loopback: {error}")
    try:
        connection = http.client.HTTPConnection("::1", server.port, timeout=5)
        connection.request("GET", "/?HOST_INFO")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("host", "is_beyond"),
    [("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("localhost", False), ("0.0.0.0", True),
     ("::", True), ("192.168.1.5", True), ("studio.local", True)],
)  # fmt: skip
def test_what_lies_beyond_this_machine(host: str, is_beyond: bool) -> None:
    assert is_beyond_this_machine(host) == is_beyond


def test_loopback_is_never_advertised() -> None:
    with pytest.raises(BadJob, match="nobody else can reach"):
        Advertisement("127.0.0.1", 7836, 7837).start()


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'stemwright\[zeroconf\]'"):
        Advertisement("0.0.0.0", 7836, 7837).start()


def test_a_server_on_every_address_tells_those_that_others_can_reach() -> None:
    pytest.importorskip("ifaddr", reason="needs zeroconf: pip install 'stemwright[zeroconf]'")
    assert not [one for one in advertise._addresses("0.0.0.0") if one.startswith("127.")]
    assert advertise._addresses("192.0.2.7") == ["192.0.2.7"]


def test_an_advertisement_is_found_and_taken_back() -> None:
    zeroconf = pytest.importorskip("zeroconf", reason="needs zeroconf: pip install 'stemwright[zeroconf]'")
    advertisement = Advertisement("192.0.2.5", 7836, 7837, name="Test", interfaces=["127.0.0.1"])
    try:
        advertisement.start()
        browser = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    except OSError as error:
        advertisement.stop()
        pytest.skip(f"no multicast on the loopback interface: {error}")
    try:
        for kind, port in (("_oscjson._tcp.local.", 7837), ("_osc._udp.local.", 7836)):
            found = browser.get_service_info(kind, f"{advertisement.name}.{kind}", timeout=5000)
            assert found is not None, kind
            assert found.port == port and found.parsed_addresses() == ["192.0.2.5"]
        advertisement.stop()
        advertisement.stop()
    finally:
        browser.close()
