"""The flags that say what is to be heard, and how it is made."""

import argparse

from stemwright.engine.commands.flags_values import above_zero, count, seed

SAMPLERS = ("ddim", "unipc", "ab2")
GRIDS = ("auto", "uniform", "blended")
INPAINTINGS = ("adaptive", "canonical", "repaint")


def prompts(command: argparse.ArgumentParser) -> None:
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


def extract(command: argparse.ArgumentParser) -> None:
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


def generate(command: argparse.ArgumentParser) -> None:
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


def sampling(command: argparse.ArgumentParser) -> None:
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
        type=seed,
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


def paper(command: argparse.ArgumentParser) -> None:
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
