"""What can go wrong for whoever starts the bridge; what a message may be refused for is in `messages`.

StemwrightError
├── PortTaken     1   another program listens there
├── NoAudio       1   no sound device, or it went away
└── BadSpool      5   the spool cannot be used
    └── SpoolInUse  5   another server works in it
"""

from stemwright.engine.errors import StemwrightError


class PortTaken(StemwrightError):
    """Another program listens on the port."""


class NoAudio(StemwrightError):
    """There is no sound device to listen or to play on."""


class BadSpool(StemwrightError):
    """The spool's folder cannot be made, read or written."""

    exit_code = 5


class SpoolInUse(BadSpool):
    """Another server works in the spool."""
