"""extract, add, accompany and generate: every input of the command line in turn, with one loaded model."""

import os
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from math import log10
from typing import Any

from stemwright.engine.commands.deliver import Made, Places, deliver
from stemwright.engine.commands.outputs import folder_for, make_folder
from stemwright.engine.commands.plan import Piece, Plan, plan
from stemwright.engine.commands.show import Screen, unexpected
from stemwright.engine.commands.stop import Stop
from stemwright.engine.engine import Engine
from stemwright.engine.errors import ModelError, StemwrightError
from stemwright.engine.job import Progress


def run(flags: Namespace, stop: Stop) -> int:
    """→ the exit code: that of the first failure, 0 without any."""
    asked = plan(flags)
    engine = Engine.load(flags.model, threads=flags.threads, device=flags.device, profile=flags.profile)
    make_folder(asked.folder)
    return Run(flags, asked, engine, Screen(is_json=flags.json), stop).all()


class Run:
    """A plan under way."""

    def __init__(self, flags: Namespace, asked: Plan, engine: Engine, screen: Screen, stop: Stop) -> None:
        self._flags, self._asked, self._engine, self._screen, self._stop = flags, asked, engine, screen, stop

    def all(self) -> int:
        """Every piece, whatever becomes of the others; → the first failure's exit code."""
        count = len(self._asked.pieces)
        codes = []
        for note in self._asked.notes:
            self._screen.note(note)
        for place, piece in enumerate(self._asked.pieces, start=1):
            codes.append(
                self._one(piece, f"{piece.title} ({place} of {count})" if count > 1 else piece.title)
            )
            self._stop.check()
        return self._summed(codes)

    def _summed(self, codes: Sequence[int]) -> int:
        """Say how many went well; → the first failure's exit code."""
        failed = [code for code in codes if code]
        if len(codes) > 1:
            told = f"{len(codes) - len(failed)} of {len(codes)} done"
            self._screen.note(told + (f", {len(failed)} failed" if failed else ""))
        return failed[0] if failed else 0

    def _one(self, piece: Piece, title: str) -> int:
        """→ its exit code. A model that does not work fails them all, and goes through."""
        begin = time.monotonic()
        try:
            made = self._deliver(piece, title)
        except ModelError:
            raise
        except Exception as error:
            self._stop.check()
            return self._failed(piece, error)
        self._done(piece, made, time.monotonic() - begin)
        return 0

    def _done(self, piece: Piece, made: Made, seconds: float) -> None:
        """Say what has come of a piece."""
        self._screen.result(self._facts(piece, made, seconds), [str(file) for file in piece.results])
        for note in _notes(made):
            self._screen.note(f"{piece.title}: {note}")

    def _deliver(self, piece: Piece, title: str) -> Made:
        def on_progress(at: Progress) -> None:
            self._stop.check()
            self._screen.progress(title, at)

        if piece.found and piece.found.problem:
            raise piece.found.problem
        flags = self._flags
        places = Places(piece.files, piece.picture, flags.subtype, flags.overwrite, piece.project)
        song = piece.found.path if piece.found else None
        with folder_for(piece.files[0]), folder_for(piece.results[-1]):
            return deliver(self._engine, self._asked.job, song, places, on_progress)

    def _failed(self, piece: Piece, error: Exception) -> int:
        if isinstance(error, StemwrightError):
            message, code = str(error), error.exit_code
        elif os.environ.get("STEMWRIGHT_DEBUG") == "1":
            raise error
        else:
            message, code = f"{piece.title}: {unexpected(error)}", StemwrightError.exit_code
        if self._flags.json:
            path = str(piece.found.path) if piece.found else None
            self._screen.result({"input": path, "error": message, "exit_code": code}, [])
        self._screen.note(message)
        return code

    def _facts(self, piece: Piece, made: Made, seconds: float) -> dict[str, Any]:
        job, names = self._asked.job, self._asked.names
        stems = zip(job.prompts, names, piece.files, strict=False)
        return {
            "input": str(piece.found.path) if piece.found else None,
            "task": job.task.value,
            "model": self._flags.model,
            "seed": job.seed,
            "rate": made.rate,
            "channels": made.channels,
            "frames": made.frames,
            "stems": [
                {"prompt": prompt.text, "name": name, "path": str(file)} for prompt, name, file in stems
            ],
            "rest": str(piece.files[-1]) if len(piece.files) > len(names) else None,
            "spectrogram": str(piece.picture) if piece.picture else None,
            "project": str(piece.project.path) if piece.project else None,
            "gain": made.gain,
            "notes": list(made.notes),
            "seconds": round(seconds, 3),
        }


def _notes(made: Made) -> Iterator[str]:
    yield from made.notes
    if made.gain < 1:
        yield (
            f"all files are turned down by {-20 * log10(made.gain):.2f} dB, for a peak is over full scale; "
            "--subtype float keeps the level"
        )
