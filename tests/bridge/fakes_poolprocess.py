"""A pool of two workers without an engine, in a process of its own, that speaks as `rayprocess` does.

fakes_poolprocess.py PATH: it does not start while that file exists, and is no longer there when it comes.
"""

import sys
from pathlib import Path

from stemwright.bridge import rayprocess
from stemwright.bridge.local import LocalPool
from stemwright.bridge.rayprocess import Mouth, serve
from stemwright.engine.errors import MissingExtra
from tests.bridge import fakes_worker


class Refusing(LocalPool):
    def start(self, tell):  # type: ignore[no-untyped-def]
        if Path(sys.argv[1]).exists():
            raise MissingExtra("there is no cluster: start one")
        super().start(tell)

    def is_there(self) -> bool:
        return not Path(sys.argv[1]).exists()


rayprocess.LOOK = 0.05
if __name__ == "__main__":
    sys.exit(serve(Refusing(workers=2, command=fakes_worker.command()), 0, Mouth(1)))
