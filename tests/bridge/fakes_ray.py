"""fakes_ray.py ADDRESS FOLDER: a pool of one actor in a process of its own; a job for each line that comes.

Says "ready", then how each job has ended.
"""

import sys
import threading

from stemwright.bridge.cluster import RayPool
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.request import make
from stemwright.bridge.spool import Spool
from tests.bridge.waiting import until


def main(address: str, folder: str) -> None:
    pool, spool, lock = RayPool(address, threads=1, workers=1), Spool(folder), threading.Lock()

    def tell(event: WorkEvent) -> None:
        if event.kind == "ready" or event.kind in ENDS:
            with lock:
                print(event.kind, event.job, flush=True)

    pool.start(tell)
    for number, path in enumerate(sys.stdin):
        request = make(f"job-{number}", "extract", [("prompt", "bass"), ("path", path.strip())])
        until(pool.free, "an actor is free")
        pool.give((request,), (spool.open(request, is_new=True),))
    pool.stop(0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
