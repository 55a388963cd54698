"""What stands in a conditioner's place where a model was imported without one."""

from typing import NoReturn

from stemwright.engine.contracts import Array
from stemwright.engine.errors import ModelMissing


class Wordless:
    """A `Conditioner` that understands nothing, and says how to change that.

    A job that brings its own conditions never asks it.
    """

    def __init__(self, model: str, width: int) -> None:
        self.model, self.width = model, width

    def text(self, prompts: list[str]) -> Array:
        """Refused."""
        self._refuse()

    def audio(self, waves: Array) -> Array:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ModelMissing(
            f"the model {self.model} was imported without CLAP and understands no prompts. Import it again "
            "with it: stemwright models import … --clap FILE --tokenizer FILE --overwrite"
        )
