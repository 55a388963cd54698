"""Words of the command line that are numbers: argparse calls these, and shows what they refuse."""

import argparse


def count(text: str) -> int:
    """1, 2, …"""
    return whole(text, 1)


def tempo(text: str) -> float:
    """Beats a minute."""
    number = above_zero(text)
    if not 20 <= number <= 666:
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; a tempo is 20 to 666 beats a minute")
    return number


def seed(text: str) -> int:
    return whole(text, 0)


def whole(text: str, least: int) -> int:
    """`least`, `least` + 1, …"""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; it takes a whole number from {least} up")
    return number


def above_zero(text: str) -> float:
    """Any finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} does not fit; it takes a number above 0, e.g. 20")
    return number
