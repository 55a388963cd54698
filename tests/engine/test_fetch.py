"""Fetching from a server of our own, with everything a server and a network may do."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from stemwright.engine import arrival, cli, downloads
from stemwright.engine.arrival import Arrival
from stemwright.engine.commands.fetch import chosen, parser, show
from stemwright.engine.downloads import KNOWN, Download
from stemwright.engine.errors import BadInput, BadOutput, ModelDamaged, ModelMissing
from stemwright.engine.fetching import CHUNK, fetch
from stemwright.engine.job import Progress

pytest.importorskip("pooch", reason="needs pooch: the [fetch] extra")

CONTENT = bytes(range(256)) * 12_000  # 3 MB
SUM = hashlib.sha256(CONTENT).hexdigest()
WAIT = 60  # s until a test gives up


@dataclass
class Server:
    """What one server does; each request is noted with its Range."""

    content: bytes = CONTENT
    stamp: str = '"one"'
    has_ranges: bool = True
    has_conditions: bool = True  # heeds If-Range
    tells_size: bool = True
    kind: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)  # bytes after which the next answers end
    redirects: dict[str, str] = field(default_factory=dict)
    stall: threading.Event | None = None  # answers stop after 1.5 MB until this is set
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        server: Server = self.server.about  # type: ignore[attr-defined]
        wanted = self.headers.get("Range", "")
        server.asked.append((self.path, wanted))
        self.close_connection = True
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.send_header("Connection", "close")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif not self.path.startswith("/file"):
            self.send_error(int(self.path.strip("/")))
        else:
            self._send(server, wanted)

    def _send(self, server: Server, wanted: str) -> None:
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.has_ranges else 0
        if server.has_conditions and self.headers.get("If-Range", server.stamp) != server.stamp:
            begin = 0
        if begin and begin >= len(server.content):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", server.kind)
        self.send_header("Connection", "close")
        if server.stamp:
            self.send_header("ETag", server.stamp)
        if begin:
            whole = len(server.content)
            self.send_header("Content-Range", f"bytes {begin}-{whole - 1}/{whole}")
        if server.tells_size:
            self.send_header("Content-Length", str(len(server.content) - begin))
        self.end_headers()
        self._body(server, server.content[begin:])

    def _body(self, server: Server, rest: bytes) -> None:
        cut = server.cuts.pop(0) if server.cuts else len(rest)
        try:
            if server.stall is not None:
                self.wfile.write(rest[:1_500_000])
                self.wfile.flush()
                server.stall.wait(WAIT)
                rest = rest[1_500_000:]
            self.wfile.write(rest[:cut])
            self.wfile.flush()
        except OSError:
            pass  # whoever asked has left


@pytest.fixture
def server() -> Iterator[Server]:
    about = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.about = about  # type: ignore[attr-defined]
        about.url = f"http://127.0.0.1:{listening.server_port}"
        threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield about
        if about.stall is not None:
            about.stall.set()
        listening.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def wanted(server: Server, **about: Any) -> Download:
    return replace(Download(f"{server.url}/file.bin", "file.bin"), **about)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def parts(folder: Path) -> list[int]:
    """Bytes in the part-files."""
    return [path.stat().st_size for path in folder.glob("file.bin.*.part")]


def interrupted(after: int) -> Callable[[int, int | None, float | None], None]:
    """Ctrl-C once so many bytes are here."""

    def stop(here: int, total: int | None, left: float | None) -> None:
        if here >= after:
            raise KeyboardInterrupt

    return stop


def test_a_file_comes_whole_and_nothing_else_stays(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, float | None]] = []
    found = fetch(wanted(server, sha256=SUM), tmp_path / "file.bin", lambda *at: seen.append(at))
    assert (found.path.read_bytes(), found.sha256, found.is_new) == (CONTENT, SUM, True)
    assert names(tmp_path) == ["file.bin"]
    assert seen[-1][:2] == (len(CONTENT), len(CONTENT))
    assert [left for _, _, left in seen if left is not None][-1] == 0


def test_after_ctrl_c_a_part_stays_and_the_rest_alone_is_asked_for(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted(server), tmp_path / "file.bin", interrupted(after=1_000_000))
    (kept,) = parts(tmp_path)
    assert 1_000_000 <= kept < len(CONTENT)
    assert len(names(tmp_path)) == 1
    fetch(wanted(server), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]
    assert server.asked[-1][1] == f"bytes={kept}-"


def test_a_part_that_is_complete_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted(server), tmp_path / "file.bin", interrupted(after=len(CONTENT)))
    assert parts(tmp_path) == [len(CONTENT)]
    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin")
    assert [asked for _, asked in server.asked] == ["", ""]
    assert names(tmp_path) == ["file.bin"]


def test_a_cut_connection_is_taken_up_again_by_itself(server: Server, tmp_path: Path) -> None:
    server.cuts = [20 * CHUNK, 10 * CHUNK]
    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["", f"bytes={20 * CHUNK}-", f"bytes={30 * CHUNK}-"]


def test_a_connection_that_stays_cut_leaves_a_part_and_says_so(server: Server, tmp_path: Path) -> None:
    server.cuts = [20 * CHUNK, 0, 0]
    with pytest.raises(ModelMissing, match=r"cut after 1310720 of 3072000 bytes.*goes on from there"):
        fetch(wanted(server), tmp_path / "file.bin")
    assert parts(tmp_path) == [20 * CHUNK]
    assert len(names(tmp_path)) == 1


def test_another_version_is_never_mixed_with_what_came_before(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(wanted(server), tmp_path / "file.bin", interrupted(after=1_000_000))
    server.stamp, server.content = '"two"', CONTENT[::-1]
    fetch(wanted(server), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1]
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("has_conditions", [True, False])
@pytest.mark.parametrize("length", [len(CONTENT), 21 * CHUNK, 10 * CHUNK])
def test_a_version_that_changes_during_a_cut_is_fetched_anew(
    has_conditions: bool, length: int, server: Server, tmp_path: Path
) -> None:
    server.cuts, server.has_conditions = [20 * CHUNK], has_conditions
    newer = CONTENT[::-1][:length]

    def change(here: int, total: int | None, left: float | None) -> None:
        server.stamp, server.content = '"two"', newer

    fetch(wanted(server), tmp_path / "file.bin", change)
    assert (tmp_path / "file.bin").read_bytes() == newer
    assert names(tmp_path) == ["file.bin"]


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.has_ranges, server.cuts = False, [20 * CHUNK]
    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_that_does_not_tell_the_size_is_good_too(server: Server, tmp_path: Path) -> None:
    server.tells_size, server.stamp = False, ""
    found = fetch(wanted(server), tmp_path / "file.bin")
    assert found.sha256 == SUM


def test_a_server_that_cuts_again_and_again_is_given_up(server: Server, tmp_path: Path) -> None:
    server.cuts = [2 * CHUNK] * 20
    with pytest.raises(ModelMissing, match=r"again and again.*goes on from there"):
        fetch(wanted(server), tmp_path / "file.bin")
    assert parts(tmp_path) == [20 * CHUNK]


def test_a_wrong_sum_is_refused_with_both_and_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelDamaged, match=rf"{SUM}, where {'0' * 64} belongs"):
        fetch(wanted(server, sha256="0" * 64), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_another_size_than_the_published_one_is_refused_before_anything_comes(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(ModelDamaged, match="offers 3072000 bytes where 5 are published"):
        fetch(wanted(server, size=5), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_an_empty_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.content = b""
    with pytest.raises(ModelDamaged, match="is an empty file"):
        fetch(wanted(server), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_progress_is_a_share_with_the_time_left_or_a_plain_amount() -> None:
    lines: list[tuple[str, Progress]] = []
    screen = Mock(progress=lambda title, at: lines.append((title, at)))
    show(screen, "clap", 500_000, 2_000_000_000, 90.0)
    show(screen, "clap", 500_000, None, None)
    assert lines[0] == ("clap (0.5 MB of 2.00 GB)", Progress(500_000, 2_000_000_000, "fetch", 90.0))
    assert lines[1] == ("clap (0.5 MB of an unknown size)", Progress(0, 1, "fetch"))


def test_a_web_page_is_no_file(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(ModelDamaged, match=r"web page, not the file.*Open https://example\.org"):
        fetch(wanted(server, page="https://example.org"), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_what_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    for status in ("404 Not Found", "503 Service Unavailable", "204 No Content"):
        with pytest.raises(ModelMissing, match=status):
            fetch(replace(wanted(server), url=f"{server.url}/{status[:3]}"), tmp_path / "file.bin")
    with pytest.raises(ModelMissing, match="cannot be reached"):
        fetch(replace(wanted(server), url="http://127.0.0.1:9/file"), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_redirects_are_followed_within_limits(server: Server, tmp_path: Path) -> None:
    server.redirects = {"/one": "/two", "/two": f"{server.url}/file.bin", "/round": "/round"}
    server.redirects["/away"] = "ftp://127.0.0.1/file"
    fetch(replace(wanted(server), url=f"{server.url}/one"), tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    with pytest.raises(ModelMissing, match="over 5 times"):
        fetch(replace(wanted(server), url=f"{server.url}/round"), tmp_path / "other.bin")
    assert [path for path, _ in server.asked].count("/round") == 6
    with pytest.raises(BadInput, match=r"ftp://127\.0\.0\.1/file"):
        fetch(replace(wanted(server), url=f"{server.url}/away"), tmp_path / "other.bin")
    assert names(tmp_path) == ["file.bin"]


def test_an_encrypted_address_never_leads_to_an_open_one(tmp_path: Path) -> None:
    address = "https://example.org/file"
    answer = Mock(is_redirect=True, url=address, headers={"location": "http://example.org/file"})
    with pytest.raises(ModelMissing, match="unencrypted"):
        Arrival(Download(address, "file"), tmp_path / "file", None).heard(answer)


@pytest.mark.parametrize("url", ["ftp://example.org/a", "file:///etc/passwd", "https://", "a/b", "http://["])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="https://"):
        fetch(Download(url, "file"), tmp_path / "file")


def test_a_file_that_is_there_is_kept(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"mine")
    for digest in (None, SUM):
        with pytest.raises(BadOutput, match="exists already and is kept"):
            fetch(wanted(server, sha256=digest), path)
    assert path.read_bytes() == b"mine"
    path.write_bytes(CONTENT)
    assert not fetch(wanted(server, sha256=SUM), path).is_new
    assert server.asked == []


def test_a_file_that_appears_meanwhile_is_kept(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    with pytest.raises(BadOutput, match="exists already and is kept"):
        fetch(wanted(server), path, lambda *_: path.write_bytes(b"mine") and None)
    assert path.read_bytes() == b"mine"


def test_lack_of_room_is_told_before_anything_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(arrival.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(BadOutput, match=r"takes 70 MB more, 1 MB are free.*--as PATH"):
        fetch(wanted(server), tmp_path / "file.bin")
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BadOutput, match="No space left on device"):
        fetch(wanted(server), tmp_path / "file.bin", full)
    assert parts(tmp_path)[0] > 0
    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin")
    assert names(tmp_path) == ["file.bin"]


def test_two_at_once_do_not_write_to_one_part(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="needs file locks")
    refused: list[BadOutput] = []

    def second(here: int, total: int | None, left: float | None) -> None:
        if not refused:
            with pytest.raises(BadOutput, match="by another stemwright") as caught:
                fetch(wanted(server), tmp_path / "file.bin")
            refused.append(caught.value)

    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin", second)
    assert refused
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's data folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path / "data" / "stemwright" / "downloads"


def test_the_command_shows_size_licence_and_sum_and_prints_the_path(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = wanted(server, size=len(CONTENT), sha256=SUM, licence="CC0-1.0", page="https://example.org")
    monkeypatch.setitem(downloads.KNOWN, "small", known)
    assert cli.main(["models", "fetch", "small"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{home / 'file.bin'}\n"
    for words in ("3.1 MB", "licence CC0-1.0", "https://example.org", SUM, "as it should be"):
        assert words in told.err
    assert cli.main(["models", "fetch", "small", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["bytes"], facts["sha256"], facts["new"]) == (len(CONTENT), SUM, False)


def test_an_address_is_fetched_under_its_own_name_or_the_given_one(
    server: Server, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{server.url}/file%20one.ckpt?download=1"
    assert cli.main(["models", "fetch", address]) == 0
    assert "none is published" in capsys.readouterr().err
    assert cli.main(["models", "fetch", address, "--as", "mine.ckpt"]) == 0
    assert cli.main(["models", "fetch", address, "--as", str(tmp_path / "sub" / "a.ckpt")]) == 0
    assert names(home) == ["file one.ckpt", "mine.ckpt"]
    assert (tmp_path / "sub" / "a.ckpt").read_bytes() == CONTENT
    assert cli.main(["models", "fetch", address, "--as", "other", "--sha256", "f" * 64]) == 4
    assert names(home) == ["file one.ckpt", "mine.ckpt"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such-name"], 3, "known are mge-ldm"),
        (["clap", "--sha256", "12"], 3, "64 hexadecimal digits"),
        (["clap", "--sha256", "0" * 64], 3, "published one is fae3e9c0"),
        (["https://example.org/"], 3, "tells no file name"),
        (["https://example.org/a", "--as", "a:b"], 3, "no file can be called so"),
        ([], 2, "NAME|URL"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "fetch", *words]) == code
    assert said in capsys.readouterr().err


def test_without_pooch_the_command_that_installs_it_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert cli.main(["models", "fetch", "https://example.org/a"]) == 6
    assert "pip install 'stemwright[fetch]'" in capsys.readouterr().err
    assert not home.exists()


def test_ctrl_c_ends_the_command_with_a_part_that_can_be_gone_on_from(server: Server, tmp_path: Path) -> None:
    server.stall = threading.Event()
    command = [sys.executable, "-m", "stemwright.engine.cli", "models", "fetch"]
    command += [f"{server.url}/file.bin", "--as", str(tmp_path / "file.bin")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        for _ in range(WAIT * 20):
            if sum(parts(tmp_path)):
                break
            threading.Event().wait(0.05)
        else:
            running.kill()
            pytest.fail(f"nothing came within {WAIT} s")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=WAIT)
    assert running.returncode == 130
    assert "the same command goes on from there" in said
    assert "nothing half-written" not in said
    assert names(tmp_path) != []
    server.stall.set()
    server.stall = None
    fetch(wanted(server, sha256=SUM), tmp_path / "file.bin")
    assert server.asked[-1][1].startswith("bytes=")
    assert names(tmp_path) == ["file.bin"]


def test_the_known_files_have_all_that_is_to_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for name, known in KNOWN.items():
        assert chosen(name, None) == known
        assert known.url.startswith("https://")
        assert known.size or known.roughly
        assert known.licence
        assert known.page.startswith("https://")
    assert cli.main(["models", "fetch", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in KNOWN)
    for action in parser()._actions[1:]:
        assert "e.g." in (action.help or "")
