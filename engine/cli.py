"""The command line's door: which command runs, and how it ends.

Everything else is imported when it is needed, so that `--help` answers at once.
"""

import os
import sys
from collections.abc import Sequence

from stemwright.engine.commands.stop import Stop
from stemwright.engine.errors import Cancelled, MissingExtra, StemwrightError

USAGE = 2
FORWARDED = ("train", "evaluate", "export")
BRIDGE = ("serve", "send")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; → the exit code. No exception leaves, not even Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    stop = Stop()
    try:
        with stop.listening(is_program=argv is None):
            return _dispatch(words, stop)
    except KeyboardInterrupt:
        return _stopped()
    except SystemExit as end:  # argparse ends this way
        return end.code if isinstance(end.code, int) else USAGE
    except BrokenPipeError:
        return _quiet_pipe()
    except Exception as error:
        if stop.is_asked:
            return _stopped()
        if isinstance(error, StemwrightError):
            return _end(str(error), error.exit_code)
        if os.environ.get("STEMWRIGHT_DEBUG") == "1":
            raise
        return _unexpected(error)


def _dispatch(words: list[str], stop: Stop) -> int:
    if words and words[0] in FORWARDED:
        return _forward(words[0], words[1:])
    if words and words[0] in BRIDGE:
        from stemwright.bridge.cli import main as bridge

        return bridge(words[0], words[1:], stop)
    if words[:2] == ["models", "import"]:
        return _import(words[2:])
    if words[:2] == ["models", "fetch"]:
        from stemwright.engine.commands.fetch import main as fetch

        return fetch(words[2:], stop)
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
    if flags.command == "doctor":
        from stemwright.engine.commands.doctor import run as run_doctor

        return run_doctor(flags)
    if getattr(flags, "ray", None) is not None:
        from stemwright.bridge.catalogue import run as run_on_cluster

        return run_on_cluster(flags, stop)
    from stemwright.engine.commands.run import run

    return run(flags, stop)


def _forward(command: str, words: list[str]) -> int:
    """train, evaluate and export read their own words, and may need what is not installed."""
    try:
        if command == "train":
            from stemwright.engine.train.cli import main as forwarded
        elif command == "evaluate":
            from stemwright.engine.train.evaluate import main as forwarded
        else:
            from stemwright.export.cli import main as forwarded
        return forwarded(words)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stemwright"):
            raise
        raise MissingExtra(f"{command} needs {error.name}: pip install 'stemwright[{command}]'") from error


def _import(words: list[str]) -> int:
    """A checkpoint to a model folder; torch reads it."""
    try:
        from stemwright.export.import_command import main as import_main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stemwright"):
            raise
        raise MissingExtra(f"models import needs {error.name}: pip install 'stemwright[export]'") from error
    return import_main(words)


def _version() -> int:
    from importlib.metadata import version

    print(version("stemwright"))
    return 0


def _end(message: str, code: int) -> int:
    from stemwright.engine.commands.show import one_line

    sys.stderr.write(f"stemwright: {one_line(message)}\n")
    return code


def _unexpected(error: Exception) -> int:
    from stemwright.engine.commands.show import unexpected

    return _end(unexpected(error), StemwrightError.exit_code)


def _stopped() -> int:
    return _end("stopped; nothing half-written is left", Cancelled.exit_code)


def _quiet_pipe() -> int:
    """Whoever read our output has left."""
    from stemwright.engine.commands.show import silence_stdout

    silence_stdout()
    return 0


if __name__ == "__main__":
    sys.exit(main())
