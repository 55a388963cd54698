"""A queue with its pool as a program that can be killed. JSON lines.

In: {"job": id, "prompt": words, "seed": number}. Out: {"workers": [process, …]}, {"accepted": id},
{"end": id, "kind": "Finished" | "Cancelled" | "Fail"}. Ends when its standard input does.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import Message
from stemwright.bridge.local import LocalPool
from stemwright.bridge.queue import Limits, Queue
from stemwright.bridge.request import Request
from stemwright.bridge.spool import Spool

WORKER = Path(__file__).with_name("fakes_worker.py")
ENDS = (say.Finished, say.Cancelled, say.Fail)


def main() -> None:
    lock = threading.Lock()

    def write(**words: Any) -> None:
        with lock:
            print(json.dumps(words), flush=True)

    def heard(row: object, message: Message) -> None:
        if isinstance(message, ENDS):
            write(end=message.job, kind=type(message).__name__)

    spool = Spool(sys.argv[1])
    with spool.locked():
        pool = LocalPool(command=(sys.executable, str(WORKER)))
        queue = Queue(spool, pool, settle=lambda asked: asked, on_event=heard, limits=Limits(free_bytes=0))
        queue.start()
        write(workers=pool.processes)
        for line in sys.stdin:
            words = json.loads(line)
            asked = Request(words["job"], "generate", (words["prompt"],), seed=words["seed"])

            def answer(message: Message, job: str = asked.job) -> None:
                if isinstance(message, say.Accepted):
                    write(accepted=job)

            queue.submit(asked, "me", answer)
        queue.close(5.0)


if __name__ == "__main__":
    main()
