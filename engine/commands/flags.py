"""The words of the command line: every command, flag, default and example. Needs nothing but argparse."""

import argparse
from collections.abc import Callable, Sequence

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

FORMATS = ("wav", "flac")
SUBTYPES = ("float", "pcm24", "pcm16")
SAMPLERS = ("ddim", "unipc", "ab2")
PROFILES = ("best", "fast")
GRIDS = ("auto", "uniform", "blended")
INPAINTINGS = ("adaptive", "canonical", "repaint")


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
    _command(
        commands, "extract", EXTRACT, [_inputs, _prompts, _extract, _sampling, _paper, _output, _machine]
    )
    _command(commands, "add", ADD, [_inputs, _prompts, _sampling, _paper, _output, _machine])
    _command(commands, "accompany", ACCOMPANY, [_inputs, _prompts, _sampling, _paper, _output, _machine])
    _command(commands, "generate", GENERATE, [_prompts, _generate, _sampling, _paper, _output, _machine])
    _command(commands, "models", MODELS, [_models])
    _command(commands, "doctor", DOCTOR, [_doctor])
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


def _inputs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input",
        metavar="INPUT",
        help="an audio file (WAV, FLAC, Ogg, MP3, AIFF), a folder of them, or a glob in quotes, "
        "e.g. 'album/*.wav'",
    )
    command.add_argument(
        "--input",
        dest="more_inputs",
        metavar="INPUT",
        action="append",
        default=[],
        help="one more input, may be repeated; none by default, e.g. --input second.wav --input third.wav",
    )


def _prompts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "prompts", metavar="PROMPT", nargs="*", help='what to hear, in words, e.g. bass or "slap bass guitar"'
    )
    command.add_argument(
        "--like",
        metavar="[PROMPT=]CLIP",
        action="append",
        default=[],
        help="a reference sound as one more prompt, alone or half and half with words; may be repeated; "
        "none by default, e.g. --like snare.wav or --like bass=slap.wav",
    )
    command.add_argument(
        "--negative",
        metavar="TEXT",
        default="",
        help="what every prompt is steered away from; acts with --guidance other than 1; nothing by default, "
        'e.g. --negative "synth bass" --guidance 2',
    )


def _paper(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("the paper's inference, to the letter")
    group.add_argument(
        "--track",
        metavar="TRACK",
        help="the track every PROMPT describes: mix, submix or source (default: the task's own), "
        "e.g. --track submix",
    )
    group.add_argument(
        "--about",
        metavar="TRACK=TEXT",
        action="append",
        default=[],
        help="what another track sounds like; once for each (default: nothing is said of them), "
        'e.g. --about mix="a funk song"',
    )
    group.add_argument(
        "--grid",
        choices=GRIDS,
        help="how the steps' noise levels are spaced: evenly (uniform), nearer to each other at both ends "
        "(blended), or whichever is better for so many steps (auto; default: the model's own), "
        "e.g. --steps 20 --grid uniform",
    )
    group.add_argument(
        "--last",
        type=float,
        metavar="LEVEL",
        help="noise level the steps end at, 0 to 0.5 (default: the model's own), e.g. --last 0",
    )
    group.add_argument(
        "--overlap",
        type=float,
        metavar="S",
        help="seconds that neighbouring windows of a long region share (default: the model's own for the "
        "task), e.g. --overlap 5",
    )
    group.add_argument(
        "--inpainting",
        choices=INPAINTINGS,
        default="adaptive",
        help="how given tracks are held: clean at a level of their own, or noised like the rest, at every "
        "step anew, or that several times a step (default: adaptive), e.g. --inpainting repaint --steps 50",
    )
    group.add_argument(
        "--resamples",
        type=count,
        metavar="U",
        help="how often a step is taken where something known is noised: by repaint, and at the beginning "
        "of a window that follows another (default: 1; repaint: 10), e.g. --resamples 4",
    )
    group.add_argument(
        "--null",
        choices=("all", "own"),
        default="all",
        help="what guidance compares with: no prompt on any track, or each track's own taken away "
        "(default: all), e.g. --null own",
    )
    group.add_argument(
        "--rescale",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the spread that guidance adds, how much is taken back, 0 to 1 (default: 0), "
        "e.g. --guidance 6 --rescale 0.7",
    )
    group.add_argument(
        "--posterior",
        choices=("mean", "sample"),
        default="mean",
        help="what given sound becomes where the model's encoder gives a distribution (default: mean), "
        "e.g. --posterior sample",
    )


def _extract(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--no-joint",
        dest="joint",
        action="store_false",
        help="several prompts: judge each on its own instead of sharing the mix out among them "
        "(default: shared), e.g. --no-joint when two prompts mean nearly the same",
    )
    command.add_argument(
        "--no-rest",
        dest="rest",
        action="store_false",
        help="do not write the rest (default: written as song.rest.wav), e.g. bass --no-rest",
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="spread the files over a Ray cluster (default: no; without ADDRESS that of this machine), "
        "e.g. songs/ vocals --ray",
    )


def _generate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--seconds",
        type=above_zero,
        default=10.24,
        metavar="S",
        help="length to make (default: 10.24), e.g. --seconds 20",
    )
    command.add_argument(
        "--rate",
        type=count,
        default=44100,
        metavar="HZ",
        help="output rate (default: 44100), e.g. --rate 48000",
    )
    command.add_argument(
        "--stem-by-stem",
        action="store_true",
        help="make the prompts one after the other, each hearing the ones before "
        "(default: one prompt, one piece), e.g. drums bass --stem-by-stem",
    )
    command.add_argument(
        "--name",
        default="generated",
        help="first part of the file names (default: generated), e.g. --name sketch",
    )


def _sampling(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("how it is made")
    group.add_argument(
        "--steps",
        type=count,
        metavar="N",
        help="sampler steps: more is slower, not always better (default: the model's own for the task), "
        "e.g. --steps 8",
    )
    group.add_argument(
        "--guidance",
        type=float,
        metavar="G",
        help="how hard the prompt pulls; 1 is none and twice as fast (default: the model's own), "
        "e.g. --guidance 2",
    )
    group.add_argument(
        "--sampler",
        choices=SAMPLERS,
        help="the few-step method (default: the model's own), e.g. --sampler ddim",
    )
    group.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="another seed makes another take; the same seed the same bytes (default: 0), e.g. --seed 7",
    )
    group.add_argument(
        "--render",
        choices=("preserve", "decode"),
        help="preserve: a mask on the input, which keeps its phase, stereo and rate; "
        "decode: the model's own sound (default: preserve for extract, decode for the others), "
        "e.g. --render decode",
    )


def _output(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is written")
    group.add_argument(
        "--output",
        metavar="DIR",
        help="folder for the results (default: this one, or the project's), e.g. --output stems",
    )
    group.add_argument("--format", choices=FORMATS, default="wav", help="default: wav, e.g. --format flac")
    group.add_argument(
        "--subtype",
        choices=SUBTYPES,
        help="sample format; 24 and 16 bit are dithered (default: float for wav, pcm24 for flac), "
        "e.g. --subtype pcm16",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace results that are there already (default: refuse before any work), e.g. --overwrite",
    )
    group.add_argument(
        "--spectrogram",
        action="store_true",
        help="also write a picture, song.spectrogram.png, of the input and every result (default: none), "
        "e.g. --spectrogram",
    )
    group.add_argument(
        "--project",
        metavar="PLACE",
        help="also write a project with a track for the input and each result: a .rpp (REAPER), "
        "a .dawproject (Bitwig, Cubase, Studio One …), a .stem.mp4 for DJs, or a folder with a manifest; of "
        "several inputs each gets its own, named after it (default: none), e.g. --project song.rpp or "
        "--project session/",
    )
    group.add_argument(
        "--tempo",
        type=_tempo,
        metavar="BPM",
        help="the grid of the project, 20 to 666; moves no sound (default: 120), e.g. --tempo 97.5",
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per result (default: the paths written), e.g. --json | jq .stems",
    )


def _machine(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("where it runs")
    _model(group)
    _device(group)
    group.add_argument(
        "--threads", type=count, metavar="N", help="CPU threads (default: one per core), e.g. --threads 1"
    )
    _profile(group)


def _device(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="where the denoiser runs: cpu, cuda, tensorrt, or auto for the fastest that is there "
        "(default: auto; `stemwright doctor` says which), e.g. --device cpu",
    )


def _profile(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--profile",
        choices=PROFILES,
        default="best",
        help="how the processor computes: best in single precision, fast mostly in 8 bits in half the time "
        "(default: best; docs/quality-and-time.md says what it costs), e.g. --profile fast",
    )


def _doctor(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is looked at")
    _model(group)
    _device(group)
    _profile(group)
    command.add_argument(
        "--json", action="store_true", help="print JSON (default: text for people), e.g. doctor --json"
    )


def _models(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "action",
        nargs="?",
        choices=("list", "show", "verify"),
        default="list",
        help="list: the models found; show: one model's manifest; verify: its files against their hashes "
        "(default: list), e.g. show",
    )
    command.add_argument(
        "model",
        nargs="?",
        default="default",
        help="a name or a folder (default: default), e.g. path/to/model",
    )
    command.add_argument(
        "--json", action="store_true", help="print JSON (default: text for people), e.g. models show --json"
    )


def _model(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--model",
        metavar="MODEL",
        default="default",
        help="a name or a model folder (default: default, the one that comes along), "
        "e.g. --model path/to/model",
    )


def count(text: str) -> int:
    """Of argparse: 1, 2, …"""
    return whole(text, 1)


def _tempo(text: str) -> float:
    tempo = above_zero(text)
    if not 20 <= tempo <= 666:
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; a tempo is 20 to 666 beats a minute")
    return tempo


def _seed(text: str) -> int:
    return whole(text, 0)


def whole(text: str, least: int) -> int:
    """`least`, `least` + 1, …; argparse shows what was wrong."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; it takes a whole number from {least} up")
    return number


def above_zero(text: str) -> float:
    """Of argparse: any finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; it takes a number above 0, e.g. 20")
    return number
