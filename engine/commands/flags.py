"""The words of the command line: every command with its examples; flags_*.py: every flag with its default.

Needs nothing but argparse.
"""

import argparse
from collections.abc import Callable, Sequence

from stemwright.engine.commands.flags_job import extract, generate, paper, prompts, sampling
from stemwright.engine.commands.flags_places import doctor, inputs, machine, models, output

Add = Callable[[argparse.ArgumentParser], None]

EXIT_CODES = """\
exit codes:
  0    done
  1    an unexpected error; please report it
  2    the command line itself is wrong
  3    an input, a prompt or a number cannot be used
  4    the model is missing, damaged or too new
  5    the result cannot be written, or would overwrite a file
  6    an optional package is not installed
  7    a graphics card was asked for that is absent, too small, or gone
  8    stemwright send: no server answers, or it lets nobody in now
  130  stopped by Ctrl-C or SIGTERM; nothing half-written is left
Several inputs: the run goes on after one that fails and ends with the code of the first failure.
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="stemwright",
        description="Take a part out of a mix, or make one that fits into it, by text or by a sound.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version and end")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    made = (sampling, paper, output, machine)
    _command(commands, "extract", EXTRACT, [inputs, prompts, extract, *made])
    _command(commands, "add", ADD, [inputs, prompts, *made])
    _command(commands, "accompany", ACCOMPANY, [inputs, prompts, *made])
    _command(commands, "generate", GENERATE, [prompts, generate, *made])
    _command(commands, "models", MODELS, [models])
    _command(commands, "doctor", DOCTOR, [doctor])
    for name, text in FORWARDED.items():
        commands.add_parser(name, help=text, add_help=False)
    return top


EXTRACT = (
    "take a part out of a mix: the part, and the rest beside it",
    """\
examples:
  stemwright extract song.wav bass
  stemwright extract song.flac "the vocals" drums --output stems
  stemwright extract album/ "slap bass guitar" --format flac
  stemwright extract song.wav --like snare-hit.wav
  stemwright extract song.wav "everything but the drums"
  stemwright extract song.wav bass drums --project session/song.rpp
writes song.bass.wav (one per prompt) and song.rest.wav
""",
)
ADD = (
    "make a part that fits into a mix",
    """\
examples:
  stemwright add groove.wav "slap bass guitar"
  stemwright add groove.wav "drum kit" piano --seed 7
writes groove.drum-kit.wav and groove.piano.wav, one pass per prompt, each hearing the ones before
""",
)
ACCOMPANY = (
    "make a backing for a single part",
    """\
examples:
  stemwright accompany voice.wav "acoustic guitar and soft drums"
writes voice.acoustic-guitar-and-soft-drums.wav
""",
)
GENERATE = (
    "make music from words alone",
    """\
examples:
  stemwright generate "funk groove" --seconds 20
  stemwright generate drums bass piano --stem-by-stem --name sketch
writes generated.funk-groove.wav; stem by stem: sketch.drums.wav, sketch.bass.wav, sketch.piano.wav
""",
)
MODELS = (
    "list, show or verify models",
    """\
examples:
  stemwright models
  stemwright models show default
  stemwright models verify path/to/model
  stemwright models fetch mge-ldm        a file of a larger model (flags: stemwright models fetch --help)
""",
)
DOCTOR = (
    "say what there is to run on, what is used and why, and what would make it faster",
    """\
examples:
  stemwright doctor
  stemwright doctor --device tensorrt
""",
)
FORWARDED = {  # these read their own flags
    "serve": "the local server for OSC, MIDI and live audio (flags: stemwright serve --help)",
    "send": "have a running server do a job (flags: stemwright send --help)",
    "evaluate": "measure a model beside baselines (extra [evaluate]; flags: stemwright evaluate --help)",
    "train": "train a model, step by step (extra [train]; flags: stemwright train --help)",
    "export": "networks as files: graphs, plans, models (extra [export]; flags: stemwright export --help)",
}


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: tuple[str, str],
    parts: Sequence[Add],
) -> None:
    one_line, examples = words
    command = commands.add_parser(
        name,
        help=one_line,
        description=one_line[0].upper() + one_line[1:] + ".",
        epilog=examples + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for part in parts:
        part(command)
