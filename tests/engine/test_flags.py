import argparse
import os
import re
import subprocess
import sys
from importlib import import_module

import pytest

from stemwright.engine import cli
from stemwright.engine.commands.flags import EXIT_CODES, FORWARDED, parser
from stemwright.engine.errors import StemwrightError


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def flags() -> list[argparse.Action]:
    own = [command for name, command in commands().items() if name not in FORWARDED]
    return [action for command in own for action in command._actions if action.option_strings]


@pytest.mark.parametrize("action", flags(), ids=lambda action: action.option_strings[-1])
def test_every_flag_tells_its_default_and_an_example(action: argparse.Action) -> None:
    if action.option_strings[-1] == "--help":
        return
    words = action.help or ""
    assert "default" in words, words
    assert "e.g." in words, words


def test_every_positional_argument_has_an_example() -> None:
    own = [command for name, command in commands().items() if name not in FORWARDED]
    for action in (a for command in own for a in command._actions if not a.option_strings):
        assert "e.g." in (action.help or ""), action.dest


def test_help_documents_the_exit_code_of_every_error() -> None:
    import_module("stemwright.bridge.client")  # has one of its own

    def tree(kind: type[StemwrightError]) -> list[type[StemwrightError]]:
        return [kind, *(deeper for below in kind.__subclasses__() for deeper in tree(below))]

    told = set(map(int, re.findall(r"^  (\d+) ", EXIT_CODES, re.M)))
    assert told == {0, cli.USAGE} | {kind.exit_code for kind in tree(StemwrightError)}


@pytest.mark.parametrize(
    "words", [["--help"], *([name, "--help"] for name in commands() if name not in FORWARDED)]
)
def test_help_ends_with_code_0(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert "exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["no-such-command"],
        ["extract"],
        ["extract", "a", "b", "--no-such-flag"],
        ["extract", "a", "b", "--steps", "0"],
        ["extract", "a", "b", "--steps", "many"],
        ["extract", "a", "b", "--seed", "-1"],
        ["generate", "a", "--seconds", "nan"],
    ],
)
def test_a_wrong_command_line_ends_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from stemwright.engine.cli import main; main(['extract', '--help']); "
        "sys.exit(bool({'numpy', 'soundfile', 'onnxruntime', 'soxr', 'json'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0
    )


def test_help_answers_in_under_200_milliseconds() -> None:
    """Measured: 0.05 s of CPU, and no waiting. The best of five; a busy machine is not what is tested."""

    def once() -> float:
        child = subprocess.Popen(
            [sys.executable, "-m", "stemwright.engine.cli", "--help"], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_utime + usage.ru_stime

    assert min(once() for _ in range(5)) < 0.2


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)
