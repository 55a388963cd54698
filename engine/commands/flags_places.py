"""The flags that say from where, to where, by which model and on what machine; those of models and doctor."""

import argparse

from stemwright.engine.commands.flags_values import count, tempo

FORMATS = ("wav", "flac")
SUBTYPES = ("float", "pcm24", "pcm16")
PROFILES = ("best", "fast")


def inputs(command: argparse.ArgumentParser) -> None:
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


def output(command: argparse.ArgumentParser) -> None:
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
        type=tempo,
        metavar="BPM",
        help="the grid of the project, 20 to 666; moves no sound (default: 120), e.g. --tempo 97.5",
    )
    group.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per result (default: the paths written), e.g. --json | jq .stems",
    )


def machine(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("where it runs")
    model(group)
    device(group)
    group.add_argument(
        "--threads", type=count, metavar="N", help="CPU threads (default: one per core), e.g. --threads 1"
    )
    profile(group)


def model(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--model",
        metavar="MODEL",
        default="default",
        help="a name or a model folder (default: default, the one that comes along), "
        "e.g. --model path/to/model",
    )


def device(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="where the denoiser runs: cpu, cuda, tensorrt, or auto for the fastest that is there "
        "(default: auto; `stemwright doctor` says which), e.g. --device cpu",
    )


def profile(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--profile",
        choices=PROFILES,
        default="best",
        help="how the processor computes: best in single precision, fast mostly in 8 bits in half the time "
        "(default: best; docs/quality-and-time.md says what it costs), e.g. --profile fast",
    )


def doctor(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what is looked at")
    model(group)
    device(group)
    profile(group)
    command.add_argument(
        "--json", action="store_true", help="print JSON (default: text for people), e.g. doctor --json"
    )


def models(command: argparse.ArgumentParser) -> None:
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
