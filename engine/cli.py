"""The command line's door: which command runs, and how it ends.

Everything else is imported when it is needed, so that `--help` answers at once.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from stemwright.engine.errors import Cancelled, MissingExtra, StemwrightError

USAGE, UNEXPECTED = 2, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; → the exit code. No exception leaves, not even Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _stoppable():
            return _dispatch(words)
    except StemwrightError as error:
        return _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _end("stopped; nothing half-written is left", Cancelled.exit_code)
    except SystemExit as end:  # argparse ends this way
        return end.code if isinstance(end.code, int) else USAGE
    except BrokenPipeError:
        return _quiet_pipe()
    except Exception as error:
        if os.environ.get("STEMWRIGHT_DEBUG") == "1":
            raise
        return _end(unexpected(error), UNEXPECTED)


def unexpected(error: Exception) -> str:
    """The line for an error that nobody foresaw."""
    return (
        f"unexpected {type(error).__name__}: {error}. This is a bug: please report it with the command line "
        "and what STEMWRIGHT_DEBUG=1 adds to it."
    )


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["train"]:
        return _train(words[1:])
    if words[:1] == ["evaluate"]:
        return _evaluate(words[1:])
    from stemwright.engine.commands.flags import parser

    command_line = parser()
    flags = command_line.parse_args(words)
    if flags.version:
        return _version()
    if flags.command is None:
        command_line.print_help(sys.stderr)
        return USAGE
    if flags.command == "models":
        from stemwright.engine.commands.models import run as run_models

        return run_models(flags)
    from stemwright.engine.commands.run import run

    return run(flags)


def _train(words: list[str]) -> int:
    try:
        from stemwright.engine.train.cli import main as train
    except ModuleNotFoundError as error:
        raise _missing(error, "training", "train") from error
    return train(words)


def _evaluate(words: list[str]) -> int:
    try:
        from stemwright.engine.train.evaluate import main as evaluate
    except ModuleNotFoundError as error:
        raise _missing(error, "evaluation", "evaluate") from error
    return evaluate(words)


def _missing(error: ModuleNotFoundError, what: str, extra: str) -> Exception:
    if (error.name or "").startswith("stemwright"):
        return error
    return MissingExtra(f"{what} needs {error.name}: pip install 'stemwright[{extra}]'")


def _version() -> int:
    from importlib.metadata import version

    print(version("stemwright"))
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """The first SIGINT or SIGTERM raises KeyboardInterrupt; later ones may not disturb the tidying up."""
    ours = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        before = {one: signal.signal(one, stop) for one in ours}
    except ValueError:  # not the main thread: signals are somebody else's
        yield
        return
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(message: str, code: int) -> int:
    from stemwright.engine.commands.show import one_line

    sys.stderr.write(f"stemwright: {one_line(message)}\n")
    return code


def _quiet_pipe() -> int:
    """Whoever read our output has left; Python must not complain about it while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
