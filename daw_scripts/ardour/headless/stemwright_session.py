#!/usr/bin/env python3
"""Stems of a track of an Ardour session, put into the session, without a window. Close the session before.

    python3 stemwright_session.py song/song.ardour extract bass --track Mix --from 12.5 --to 30
    python3 stemwright_session.py song/song.ardour add "slap bass" --track Drums --option variations=3

Needs Python 3.10, Ardour 7 (ardour7-lua), stemwright and its server: stemwright serve. What the session was
before stands beside it: song.before-stemwright.ardour.
"""

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as Tree
from pathlib import Path
from typing import Any

import sessionfile
import wavfile

HERE = Path(__file__).resolve().parent
WAV_MODULE = HERE.parent / "scripts" / "stemwright" / "wav.lua"
COLOURS = [0x0072B2FF, 0xE69F00FF, 0x009E73FF, 0xCC79A7FF, 0x56B4E9FF, 0xD55E00FF, 0xF0E442FF]
REST_COLOUR = 0x808080FF
LUA_SECONDS = 600  # a script in Ardour's Lua that takes longer hangs


Spot = dict[str, int]  # start, frames: samples; channels, rate
Rows = list[dict[str, Any]]


class Trouble(Exception):
    """What went wrong, and the way out."""


def main() -> int:
    flags = parsed()
    try:
        with tempfile.TemporaryDirectory(prefix="stemwright-") as folder:
            told = work(flags, Path(folder))
    except (Trouble, OSError, ValueError, Tree.ParseError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told, ensure_ascii=False))
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("session", type=Path, help="the .ardour file")
    parser.add_argument("task", choices=("extract", "add", "accompany"))
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help='what to hear, e.g. "slap bass"')
    parser.add_argument("--track", required=True, help="name of the audio track")
    parser.add_argument(
        "--from", type=float, dest="start", metavar="SECONDS", help="(default: where its sound begins)"
    )
    parser.add_argument("--to", type=float, dest="stop", metavar="SECONDS", help="(default: where it ends)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE",
        help="any of stemwright send, e.g. variations=3, preset=slap-bass",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="of the server (default: this machine)")
    parser.add_argument("--port", default="7836", help="of the server (default: 7836)")
    parser.add_argument("--stemwright", default="stemwright", metavar="PROGRAM", help="(default: in PATH)")
    parser.add_argument("--ardour-lua", default="ardour7-lua", metavar="PROGRAM", help="(default: in PATH)")
    return parser.parse_intermixed_args()


def work(flags: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """→ what was made, for people and programs"""
    session = flags.session.resolve()
    if not session.is_file() or session.suffix != ".ardour":
        raise Trouble(f"{session}: no session file. Give the file whose name ends in .ardour.")
    rate = int(Tree.parse(session).getroot().get("sample-rate", "0"))
    spot = read(flags, session, rate, folder)
    results = ask(flags, folder)
    tracks = planned(results, flags, spot)
    before = session.with_name(f"{session.stem}.before-stemwright.ardour")
    shutil.copyfile(session, before)
    made: list[Path] = []
    try:
        put(flags, session, tracks, spot, folder, made)
        check(flags, session, tracks, spot, folder)
    except BaseException:
        os.replace(before, session)
        for path in made:
            path.unlink(missing_ok=True)
        raise
    names = [{"track": one["track"], "takes": [take["title"] for take in one["takes"]]} for one in tracks]
    return {
        "session": str(session), "before": str(before), "start": spot["start"], "frames": spot["frames"],
        "tracks": names,
    }  # fmt: skip


def read(flags: argparse.Namespace, session: Path, rate: int, folder: Path) -> Spot:
    """The track's sound in folder/in.wav → where it was: start and frames in samples, channels, rate"""
    ends = [-1 if seconds is None else round(seconds * rate) for seconds in (flags.start, flags.stop)]
    words = [flags.track, *map(str, ends), str(folder / "in.wav"), str(WAV_MODULE)]
    lines = lua(flags, session, "read.lua", *words, answer=folder / "read")
    if lines[0] != "read":
        raise Trouble(f"{lines[1]}.")
    start, frames, channels, rate = map(int, lines[1:5])
    return {"start": start, "frames": frames, "channels": channels, "rate": rate}


def lua(flags: argparse.Namespace, session: Path, script: str, *words: str, answer: Path) -> list[str]:
    """Run a script of ours in Ardour's Lua → the lines of its answer. Its exit code is no sign."""
    places = [str(session.parent), session.stem, str(answer), *words]
    try:
        done = subprocess.run(
            [flags.ardour_lua, "--", str(HERE / script), *places],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=LUA_SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise Trouble(f"{flags.ardour_lua} is not there: install Ardour 7, or give --ardour-lua.") from error
    if not answer.is_file():
        said = (done.stdout + done.stderr).decode(errors="replace")[-800:]
        raise Trouble(f"Ardour did not do {script}. It said:\n{said}")
    return answer.read_text("utf-8").splitlines()


def ask(flags: argparse.Namespace, folder: Path) -> Rows:
    """Have the server do it → its results. The sound goes through the socket, so no folder must be shared."""
    options = [f"prompt={prompt}" for prompt in flags.prompts] + flags.option
    command = [flags.stemwright, "send", flags.task, str(folder / "in.wav"), "--remote", "--json"]
    command += ["--output", str(folder / "out"), "--host", flags.host, "--port", flags.port]
    for option in options:
        command += ["--option", option]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError as error:
        raise Trouble(
            f"{flags.stemwright} is not there: pip install stemwright, or give --stemwright."
        ) from error
    if done.returncode:
        raise Trouble("the server did not do it (see above). Without a server: stemwright serve")
    told = json.loads(done.stdout.decode().splitlines()[-1])
    return list(told["results"])


def planned(results: Rows, flags: argparse.Namespace, spot: Spot) -> Rows:
    """A track a kind, a take a seed; the rest last."""
    kinds: dict[str, Rows] = {}
    for result in results:
        sound = wavfile.read(Path(result["path"]))
        found = (sound.rate, sound.frames, len(sound.samples))
        if found != (spot["rate"], spot["frames"], spot["channels"]):
            raise Trouble(
                f"the stem {result['kind']} came with rate, frames and channels {found}; nothing was changed."
            )
        kinds.setdefault(result["kind"], []).append({"seed": result["seed"], "sound": sound})
    stems = [kind for kind in kinds if kind != "rest"]
    tracks = []
    for number, kind in enumerate(stems + [kind for kind in kinds if kind == "rest"]):
        words = flags.prompts[number] if kind != "rest" and len(stems) == len(flags.prompts) else kind
        title = re.sub(r"[:/\x00-\x1f]+", "-", f"{words} - {flags.track}")
        for take in kinds[kind]:
            take["title"] = f"{title}, seed {take['seed']}" if len(kinds[kind]) > 1 else title
        colour = REST_COLOUR if kind == "rest" else COLOURS[number % len(COLOURS)]
        tracks.append({"title": title, "colour": colour, "takes": kinds[kind]})
    return tracks


def put(
    flags: argparse.Namespace, session: Path, tracks: Rows, spot: Spot, folder: Path, made: list[Path]
) -> None:
    """Tracks by Ardour, regions by its session file; the audio is copied into the session."""
    words = [str(word) for track in tracks for word in (track["title"], track["colour"])]
    lines = lua(flags, session, "tracks.lua", flags.track, *words, answer=folder / "tracks")
    root = Tree.parse(session).getroot()
    audio = sessionfile.audio_folder(session)
    audio.mkdir(parents=True, exist_ok=True)
    pieces = []
    for track, line in zip(tracks, lines, strict=True):
        playlist, track["track"] = line.split("\t")
        for number, take in enumerate(track["takes"]):
            if number:
                playlist = sessionfile.another_playlist(root, playlist)
            names = write(audio, take["title"], take["sound"], made)
            pieces.append(sessionfile.Piece(playlist, take["title"], names, spot["start"], spot["frames"]))
    sessionfile.insert(root, pieces)
    sessionfile.save(root, session)


def write(audio: Path, title: str, sound: wavfile.Sound, made: list[Path]) -> list[str]:
    """One file a channel, none replaced → their names"""
    stem = re.sub(r'[\\%"*?<>|;]+', "-", title).encode()[:120].decode(errors="ignore") or "stem"
    marks = sessionfile.marks(len(sound.samples))
    while any((audio / f"{stem}{mark}.wav").exists() for mark in marks):
        stem = f"{stem.rpartition('~')[0] or stem}~{secrets.token_hex(3)}"
    for mark, samples in zip(marks, sound.samples, strict=True):
        made.append(audio / f"{stem}{mark}.wav")
        wavfile.write_mono(made[-1], sound.rate, samples)
    return [f"{stem}{mark}.wav" for mark in marks]


def check(flags: argparse.Namespace, session: Path, tracks: Rows, spot: Spot, folder: Path) -> None:
    """Ardour itself opens what came of it and finds every track's region at its sample."""
    lines = lua(flags, session, "check.lua", answer=folder / "check")
    found = {tuple(line.split("\t")) for line in lines}
    for track in tracks:
        numbers = tuple(str(spot[key]) for key in ("start", "frames", "channels"))
        wanted = (*numbers, track["takes"][0]["title"], track["track"])
        if wanted not in found:
            raise Trouble(f"Ardour does not find {track['title']}; the session is as it was before.")


if __name__ == "__main__":
    sys.exit(main())
