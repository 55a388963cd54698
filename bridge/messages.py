"""Every OSC message of the protocol: a frozen dataclass each; field order is wire order, see grammar.py.

Requests stand in asks.py, replies and events in answers.py; both are named through here.
"""

from stemwright.bridge.answers import *  # noqa: F403
from stemwright.bridge.asks import *  # noqa: F403

PREFIX = "/stemwright"
PROTOCOL = 1  # grows when a message changes its meaning
PORT = 7836  # UDP and TCP; S-T-E-M on a phone
HTTP_PORT = 7837  # OSCQuery
LONGEST_REPLY = 1400  # bytes
LONGEST_ID = 64
