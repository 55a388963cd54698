"""instant_server.py SPOOL ROOT: the server, with instant_worker.py in place of the engine."""

import sys
from pathlib import Path

from stemwright.bridge.log import Log
from stemwright.bridge.serve import Settings, serve

WORKER = Path(__file__).with_name("instant_worker.py")


def main() -> int:
    spool, root = map(Path, sys.argv[1:])
    command = (sys.executable, str(WORKER))
    settings = Settings(port=0, http_port=None, spool=spool, roots=(root,), midi=False, command=command)
    return serve(settings, Log(is_json=True))


if __name__ == "__main__":
    sys.exit(main())
