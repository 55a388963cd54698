"""hose.py PORT SECONDS: status requests as fast as they go, from one socket; prints what came back."""

import json
import socket
import sys
import time

from stemwright.bridge.messages import AskStatus
from stemwright.bridge.wire import encode

AT_ONCE = 64


def main() -> int:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        line.connect(("127.0.0.1", port))
        line.settimeout(0.05)
        packet, sent, answered = encode(AskStatus()), 0, 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(AT_ONCE):
                line.send(packet)
            sent += AT_ONCE
            try:
                for _ in range(AT_ONCE):
                    line.recv(2048)
                    answered += 1
            except TimeoutError:
                pass
    print(json.dumps({"sent": sent, "answered": answered}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
