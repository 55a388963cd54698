"""What can go wrong for whoever starts the bridge; what a message may be refused for is in `messages`.

StemwrightError
├── PortTaken     1   another program listens there
├── NoAudio       1   no sound device can be used
└── BadSpool      5   the spool cannot be used
    └── SpoolInUse  5   another server works in it
"""

from stemwright.engine.errors import StemwrightError


class PortTaken(StemwrightError):
    """Another program listens on the port."""


class NoAudio(StemwrightError):
    """No sound device can be used; the message says what to install or to choose."""


class BadSpool(StemwrightError):
    """The spool's folder cannot be made, read or written."""

    exit_code = 5


class SpoolInUse(BadSpool):
    """Another server works in the spool."""
