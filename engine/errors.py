"""Everything that can go wrong for a user, drawn once.

StemwrightError                exit code 1
├── BadInput                   3   audio that cannot be read or used
├── BadPrompt                  3   a prompt that says nothing usable
├── BadJob                     3   a job whose numbers make no sense
├── ModelError                 4
│   ├── ModelMissing           4   no such model folder
│   ├── ModelDamaged           4   a file is missing, cut short or altered
│   ├── ModelTooNew            4   made by a newer Stemwright
│   └── PlanRefused            4   a TensorRT plan that is absent, not trusted, or of another model or card
├── BadOutput                  5   the result cannot be written
├── MissingExtra               6   an optional package is not installed
├── DeviceLost                 7   a graphics card is absent, out of memory, or gone
└── Cancelled                  130 stopped on request; nothing half-written is left

Every message names the thing, the limit and the way out, in one line.
"""

from typing import ClassVar


class StemwrightError(Exception):
    """What every error of ours is; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class BadInput(StemwrightError):
    """Audio that cannot be read or used."""

    exit_code = 3


class BadPrompt(StemwrightError):
    """A prompt that says nothing usable."""

    exit_code = 3


class BadJob(StemwrightError):
    """A job whose numbers make no sense, or that the model cannot do."""

    exit_code = 3


class ModelError(StemwrightError):
    """A model folder that cannot be used."""

    exit_code = 4


class ModelMissing(ModelError):
    """No model folder there."""


class ModelDamaged(ModelError):
    """A file of the model folder is missing, cut short or altered."""


class ModelTooNew(ModelError):
    """The model folder was made by a newer Stemwright."""


class PlanRefused(ModelError):
    """A TensorRT plan that is absent, altered, not trusted, or built for something else."""


class BadOutput(StemwrightError):
    """The result cannot be written."""

    exit_code = 5


class MissingExtra(StemwrightError):
    """An optional package is not installed; the message holds the command that installs it."""

    exit_code = 6


class DeviceLost(StemwrightError):
    """A graphics card that is absent, has too little memory, or disappeared at work."""

    exit_code = 7


class Cancelled(StemwrightError):
    """Stopped on request."""

    exit_code = 130
