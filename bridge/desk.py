"""Work that takes milliseconds (files, audio), done in order by its own thread: the sockets never wait."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from stemwright.bridge.grammar import BUSY, BadMessage

MOST = 2000  # errands that wait


class Desk:
    """Errands, one after the other. `on_error` hears what an errand should have handled itself."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._errands: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST)
        self._on_error = on_error
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, errand: Callable[[], None]) -> None:
        """Any thread; BadMessage when too many wait."""
        try:
            self._errands.put_nowait(errand)
        except queue.Full:
            raise BadMessage(BUSY, f"{MOST} requests wait; ask again in a moment") from None

    def stop(self) -> None:
        """Does what waits, then ends."""
        self._errands.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                errand()
            except Exception as error:  # the next errand must not suffer
                self._on_error(error)
