"""The server's presets, as it told them last."""

from __future__ import annotations


class Presets(dict):
    """name → (task, colour as 0xrrggbb or None)"""

    def hear(self, arguments):
        """A row of the server's answer; the first begins the list anew. What is malformed is left out."""
        try:
            index, _, name, task, _, colour = arguments
            number = int(colour[1:], 16) if colour.startswith("#") else None
        except (AttributeError, TypeError, ValueError):
            return
        if index == 0:
            self.clear()
        if index >= 0:
            self[name] = (task, number)

    @property
    def tasks(self):
        return {name: task for name, (task, _) in self.items()}

    @property
    def colours(self):
        return {name: colour for name, (_, colour) in self.items() if colour is not None}
