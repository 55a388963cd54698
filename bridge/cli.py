"""`stemwright serve` and `stemwright send`: their flags, and what they begin."""

from __future__ import annotations

import argparse
import ipaddress
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stemwright.bridge.messages import HTTP_PORT, PORT
from stemwright.engine.commands.flags_values import above_zero, count, whole
from stemwright.engine.commands.stop import Stop
from stemwright.engine.errors import BadInput
from stemwright.engine.places import own_folder
from stemwright.engine.writing import quoted

if TYPE_CHECKING:
    from stemwright.bridge.serve import Settings

SHORTEST_TOKEN = 16  # characters


def main(command: str, words: Sequence[str], stop: Stop) -> int:
    """→ the exit code"""
    if command == "send":
        from stemwright.bridge import send

        return send.run(send.parser().parse_args(words), stop)
    flags = serve_parser().parse_args(words)
    if flags.list_audio:
        return list_audio()
    from stemwright.bridge.log import Log
    from stemwright.bridge.serve import serve

    return serve(settings_of(flags), Log(is_json=flags.json_log))


def serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stemwright serve",
        description="The local server for OSC, MIDI and live audio that DAWs and live coders talk to.",
        epilog="Beyond this machine: --bind, --token-file and --allow together; see docs/bridge-security.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _network(parser.add_argument_group("network"))
    _files(parser.add_argument_group("files"))
    _engine(parser.add_argument_group("engine"))
    _devices(parser.add_argument_group("MIDI and live audio"))
    parser.add_argument(
        "--json-log", action="store_true", help="log as JSON, one object a line (default: text for people)"
    )
    return parser


def _network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--port",
        type=_port,
        default=PORT,
        metavar="N",
        help=f"UDP and TCP (default: {PORT}; 0: any free one)",
    )
    group.add_argument(
        "--http-port", type=_port, default=HTTP_PORT, metavar="N",
        help=f"OSCQuery (default: {HTTP_PORT}; 0: any free one)",
    )  # fmt: skip
    group.add_argument("--no-http", action="store_true", help="no OSCQuery (default: on, this machine only)")
    group.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine only), e.g. --bind 192.168.1.20",
    )  # fmt: skip
    group.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"a file with the secret others must show, {SHORTEST_TOKEN} characters or more (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--allow", action="append", default=[], type=_network_address, metavar="NETWORK",
        help="who may reach it from beyond this machine (default: nobody), e.g. --allow 192.168.1.0/24",
    )  # fmt: skip
    group.add_argument(
        "--advertise", action="store_true",
        help="tell the network by zeroconf, with --bind (default: off; extra [zeroconf])",
    )  # fmt: skip


def _files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--spool", type=Path, default=default_spool(), metavar="DIR",
        help=f"jobs, their results and the journal (default: {default_spool()})",
    )  # fmt: skip
    group.add_argument(
        "--root", action="append", default=[], type=Path, metavar="DIR",
        help="a folder audio may be read from (default: home and temporary folder), e.g. --root Music",
    )  # fmt: skip
    group.add_argument(
        "--inbox", type=Path, metavar="DIR",
        help="watch this folder for jobs of hosts without sockets (default: inbox in the spool)",
    )  # fmt: skip
    group.add_argument(
        "--presets", action="append", default=[], type=Path, metavar="DIR",
        help="more presets (default: your own folder of them, after the shipped ones)",
    )  # fmt: skip
    group.add_argument(
        "--keep-days", type=above_zero, default=7.0, metavar="N",
        help="how long results are kept (default: 7), e.g. --keep-days 30",
    )  # fmt: skip
    group.add_argument(
        "--keep-gigabytes", type=above_zero, default=20.0, metavar="N",
        help="how much the spool may hold; the oldest results go first (default: 20)",
    )  # fmt: skip


def _engine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model", default="default", help="name or folder (default: default, the one shipped)"
    )
    group.add_argument("--threads", type=count, metavar="N", help="of each engine (default: one a core)")
    group.add_argument("--device", default="auto", help="auto or cpu (default: auto)")
    group.add_argument(
        "--profile", choices=("best", "fast"), default="best",
        help="of the processor: best, or fast in half the time, mostly in 8 bits (default: best)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=count, metavar="N", help="engines at once (default: 1; Ray: all that fit)"
    )
    group.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS",
        help="run the engines on a Ray cluster (default: no; without ADDRESS the cluster of this machine)",
    )  # fmt: skip


def _devices(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-midi", action="store_true", help="leave MIDI alone (default: on where there is any)"
    )
    group.add_argument(
        "--midi-map",
        type=Path,
        metavar="FILE",
        help="what pads and knobs do (default: your own map, or the shipped)",
    )
    group.add_argument(
        "--input", metavar="DEVICE", help='live input: "default", a name or a part of one (default: none)'
    )
    group.add_argument("--output", metavar="DEVICE", help="where results are played (default: none)")
    group.add_argument(
        "--remember", type=above_zero, default=120.0, metavar="SECONDS",
        help="how much of the live input is kept (default: 120)",
    )  # fmt: skip
    group.add_argument(
        "--latency", type=_seconds, metavar="SECONDS",
        help="from the input's sound to the output's (default: what the devices say), e.g. --latency 0.02",
    )  # fmt: skip
    group.add_argument("--list-audio", action="store_true", help="list the audio devices and end")


def settings_of(flags: argparse.Namespace) -> Settings:
    from stemwright.bridge.presets import user_folder
    from stemwright.bridge.queue import Limits
    from stemwright.bridge.serve import Settings

    return Settings(
        host=flags.bind,
        port=flags.port,
        http_port=None if flags.no_http else flags.http_port,
        spool=flags.spool,
        roots=tuple(folder(root) for root in flags.root) or (Path.home(), Path(tempfile.gettempdir())),
        inbox=flags.inbox or flags.spool / "inbox",
        model=flags.model,
        threads=flags.threads,
        device=flags.device,
        profile=flags.profile,
        workers=flags.workers,
        ray=flags.ray,
        presets=tuple(flags.presets) or (user_folder(),),
        input=flags.input,
        output=flags.output,
        remember=flags.remember,
        latency=flags.latency,
        midi=not flags.no_midi,
        midi_map=flags.midi_map,
        allow=tuple(flags.allow),
        token=read_token(flags.token_file) if flags.token_file else "",
        advertise=flags.advertise,
        limits=Limits(keep_seconds=flags.keep_days * 86400, spool_bytes=int(flags.keep_gigabytes * 2**30)),
    )


def default_spool() -> Path:
    """$STEMWRIGHT_SPOOL, or beside the platform's other application data."""
    named = os.environ.get("STEMWRIGHT_SPOOL")
    return Path(named) if named else own_folder("state")


def read_token(path: Path) -> str:
    """The file's first line; it must be the owner's alone and long enough."""
    try:
        token = path.read_text("utf-8").partition("\n")[0].strip()
        others = path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) if os.name == "posix" else 0
    except (OSError, ValueError) as error:
        raise BadInput(f"{quoted(path)}: the token cannot be read ({error})") from error
    if others:
        raise BadInput(f"{quoted(path)}: others may read the token; chmod 600 it")
    if len(token) < SHORTEST_TOKEN:
        raise BadInput(
            f"{quoted(path)}: the token has {len(token)} characters; it takes {SHORTEST_TOKEN} or more, "
            "as openssl rand -hex 16 makes"
        )
    return token


def folder(path: Path) -> Path:
    if not path.is_dir():
        raise BadInput(f"{quoted(path)}: is no folder, so nothing can be read from it; check --root")
    return path.resolve()


def list_audio() -> int:
    from stemwright.bridge.live import devices
    from stemwright.engine.commands.show import put

    for device in devices():
        marks = " (default input)" * device.is_default_input + " (default output)" * device.is_default_output
        put(f"{device.name}: {device.inputs} in, {device.outputs} out, {device.rate} Hz{marks}")
    return 0


def _port(text: str) -> int:
    number = whole(text, 0)
    if number >= 2**16:
        raise argparse.ArgumentTypeError(f"{number} is no port; it takes 0 to 65535")
    return number


def _seconds(text: str) -> float:
    return 0.0 if text == "0" else above_zero(text)


def _network_address(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address or network, as in 192.168.1.0/24"
        ) from error
