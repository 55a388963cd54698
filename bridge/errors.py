"""What can go wrong with the server itself, beside the engine's errors."""

from stemwright.engine.errors import StemwrightError


class PortTaken(StemwrightError):
    """The port cannot be listened on; the message says why and the way out."""
