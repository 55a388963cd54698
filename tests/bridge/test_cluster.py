"""The pool of Ray actors, on a real local Ray cluster; one actor is killed while it works."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge import rayprocess
from stemwright.bridge.cluster import RayPool
from stemwright.bridge.grammar import Message
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.poolprocess import PoolProcess
from stemwright.bridge.queue import Queue, Row
from stemwright.bridge.raylink import ActorHandle
from stemwright.bridge.request import Request, make
from stemwright.bridge.spool import Spool, read_done
from stemwright.engine.errors import ModelMissing
from stemwright.engine.runtimes.profiles import PROFILES
from tests.bridge.conftest import RAY_CPUS
from tests.bridge.waiting import until
from tests.engine import command_line

pytestmark = pytest.mark.slow  # a cluster takes some seconds to start


def step_by_step(
    engine: Any,
    batch: list[Request],
    folders: list[Path],
    tell: Callable[[WorkEvent], None],
    is_cancelled: Callable[[str], bool],
) -> None:
    """Stands for the engine: so many steps of 50 ms, then the prompt as a result. "fail" and "die" do so."""
    import os
    import time
    from pathlib import Path

    from stemwright.bridge.pool import MadeFile, WorkEvent
    from stemwright.bridge.spool import Done, write_done
    from stemwright.engine.job import Progress

    for request, folder in zip(batch, folders, strict=True):
        job, steps = request.job, request.steps or 1
        if request.prompts[0] == "die":
            os._exit(1)
        if request.prompts[0] == "fail":
            raise RuntimeError("it was to fail")
        for done in range(steps):
            if is_cancelled(job):
                tell(WorkEvent("cancelled", job))
                break
            tell(WorkEvent("progress", job, Progress(done, steps, "sample")))
            time.sleep(0.05)
        else:
            (folder / "out").mkdir(exist_ok=True)
            path = folder / "out" / "bass.wav"
            source = b"" if request.path is None else Path(request.path).read_bytes()
            path.write_bytes(source + " ".join(request.prompts).encode())
            results = (MadeFile("bass", path, 1.0, request.seed),)
            write_done(folder, Done(request, results, 0.5))
            tell(WorkEvent("done", job, results=results, seconds=0.5))


def no_engine(model: str | None) -> Any:
    """Loads nothing."""
    return None


def broken_engine(model: str | None) -> Any:

    raise ModelMissing("no such model folder")


@pytest.fixture(scope="module")
def by_value(ray_cluster: Any) -> Iterator[None]:
    """Actors get what is defined here by value, since they cannot import it."""
    pickle = sys.modules["ray"].cloudpickle
    pickle.register_pickle_by_value(sys.modules[__name__])
    yield
    pickle.unregister_pickle_by_value(sys.modules[__name__])


class Worked:
    """A pool that has been started, with its events."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.spool = Spool(folder / "spool")
        self.events: list[WorkEvent] = []
        self._change = threading.Condition()
        self.pool = RayPool("auto", **{"threads": 1, "work": step_by_step, "load": no_engine, **options})
        self.pool.start(self._heard)

    def _heard(self, event: WorkEvent) -> None:
        with self._change:
            self.events.append(event)
            self._change.notify_all()

    def give(self, job: str, prompt: str = "bass", **options: Any) -> Path:
        task = "extract" if "path" in options else "generate"
        request = make(job, task, [("prompt", prompt), *options.items()])
        folder = self.spool.open(request, is_new=True)
        self.pool.give((request,), (folder,))
        return folder

    def wait(self, is_it: Callable[[WorkEvent], bool], seconds: float = 60.0) -> WorkEvent:
        """The first such event."""
        until = time.monotonic() + seconds
        with self._change:
            while not (found := [event for event in self.events if is_it(event)]):
                assert self._change.wait(until - time.monotonic()), f"it does not come; {self.events}"
        return found[0]

    def end(self, job: str) -> WorkEvent:
        return self.wait(lambda event: event.job == job and event.kind in ENDS)

    def progress(self, job: str) -> WorkEvent:
        return self.wait(lambda event: event.job == job and event.kind == "progress")

    def wait_for_free(self, count: int) -> None:
        until = time.monotonic() + 60
        while self.pool.free() < count:
            assert time.monotonic() < until, "no actor gets ready"
            time.sleep(0.02)


@pytest.fixture
def start(by_value: None, tmp_path: Path) -> Iterator[Callable[..., Worked]]:
    """Starts pools; they are stopped at the end."""
    started: list[Worked] = []

    def begin(**options: Any) -> Worked:
        started.append(Worked(tmp_path, **options))
        return started[-1]

    yield begin
    for one in started:
        one.pool.stop(0.0)


def test_there_are_as_many_actors_as_the_cluster_has_room_for(start: Callable[..., Worked]) -> None:
    worked = start()
    worked.wait_for_free(RAY_CPUS)
    assert len(set(worked.pool.processes)) == RAY_CPUS
    assert {event.text for event in worked.events if event.kind == "ready"} == {"default cpu"}


def test_a_job_is_done_in_its_folder_and_tells_its_progress(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    folder = worked.give("take", steps=5, seed=7)
    assert worked.pool.free() == 0
    done = worked.end("take")
    assert (done.kind, done.seconds) == ("done", 0.5)
    assert [(made.kind, made.path, made.seed) for made in done.results] == [
        ("bass", folder / "out" / "bass.wav", 7)
    ]
    assert (folder / "out" / "bass.wav").read_bytes() == b"bass"
    assert worked.progress("take").progress is not None
    worked.wait_for_free(1)
    assert sorted(path.name for path in (worked.spool.jobs).iterdir()) == ["take"]  # no probe is left


def test_without_a_shared_folder_input_and_results_go_through_the_object_store(
    start: Callable[..., Worked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActorHandle, "sees", lambda self, folder, files: False)
    worked = start(workers=1)
    song = tmp_path / "song.wav"
    song.write_bytes(b"a song and ")
    worked.wait_for_free(1)
    folder = worked.give("take", path=str(song), seed=3)
    done = worked.end("take")
    assert [(made.kind, made.path, made.seed) for made in done.results] == [
        ("bass", folder / "out" / "bass.wav", 3)
    ]
    assert (folder / "out" / "bass.wav").read_bytes() == b"a song and bass"
    kept = read_done(folder)
    assert kept is not None and kept.request.path == str(song)  # as it was asked, for the journal
    assert [path.name for path in (folder / "out").iterdir()] == ["bass.wav"]


def test_an_input_that_is_gone_fails_its_job_alone(
    start: Callable[..., Worked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActorHandle, "sees", lambda self, folder, files: False)
    worked = start(workers=1)
    worked.wait_for_free(1)
    worked.give("take", path=str(tmp_path / "none.wav"))
    assert worked.end("take").code == "bad_input"
    worked.wait_for_free(1)
    worked.give("next")
    assert worked.end("next").kind == "done"


def test_a_running_job_is_cancelled(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    worked.give("take", steps=1000)
    worked.progress("take")
    worked.pool.cancel("take")
    assert worked.end("take").kind == "cancelled"
    worked.wait_for_free(1)
    worked.give("next")
    assert worked.end("next").kind == "done"


def test_a_batch_is_done_together(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    batch = [make(job, "generate", [("prompt", job)]) for job in ("one", "two", "three")]
    folders = [worked.spool.open(request, is_new=True) for request in batch]
    worked.pool.give(tuple(batch), tuple(folders))
    for request, folder in zip(batch, folders, strict=True):
        assert worked.end(request.job).kind == "done"
        assert (folder / "out" / "bass.wav").read_bytes() == request.job.encode()
    worked.wait_for_free(1)


def test_a_killed_actor_s_job_is_told_as_lost_and_done_by_another(start: Callable[..., Worked]) -> None:
    worked = start()
    worked.wait_for_free(RAY_CPUS)
    before = set(worked.pool.processes)
    worked.give("take", steps=1000)
    worked.progress("take")
    busy = next(member for member in worked.pool._members if member.batch is not None)
    assert busy.actor is not None
    killed = busy.actor.process()
    os.kill(killed, signal.SIGKILL)
    assert worked.end("take").kind == "lost"
    worked.events.clear()
    folder = worked.give("take", steps=2)  # what the queue does then
    assert worked.end("take").kind == "done"
    assert (folder / "out" / "bass.wav").read_bytes() == b"bass"
    worked.wait_for_free(RAY_CPUS)  # a new actor has come in its place
    after = set(worked.pool.processes)
    assert len(after) == RAY_CPUS and killed not in after and after & before


def test_the_queue_s_job_ends_finished_though_its_actor_is_killed(by_value: None, tmp_path: Path) -> None:
    heard: list[Message] = []
    has_ended, is_running = threading.Event(), threading.Event()

    def on_event(row: Row, message: Message) -> None:
        heard.append(message)
        is_running.set()
        if not isinstance(message, say.Progress | say.Result):
            has_ended.set()

    pool = RayPool(threads=1, work=step_by_step, load=no_engine)
    queue = Queue(Spool(tmp_path), pool, settle=lambda request: request, on_event=on_event)
    queue.start()
    try:
        queue.submit(make("take", "generate", [("prompt", "bass"), ("steps", 40)]), "me", heard.append)
        assert is_running.wait(60)
        busy = next(member for member in pool._members if member.batch is not None)
        assert busy.actor is not None
        os.kill(busy.actor.process(), signal.SIGKILL)
        assert has_ended.wait(60)
    finally:
        queue.close(0.0)
    told = [message for message in heard if not isinstance(message, say.Progress)]
    assert [type(message) for message in told] == [say.Accepted, say.Result, say.Finished]
    assert isinstance(told[1], say.Result)
    assert Path(told[1].path).read_bytes() == b"bass"
    row = queue.row("take")
    assert row is not None and row.attempts == 2


def test_an_actor_that_dies_between_jobs_is_not_the_next_job_s_fault(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    (process,) = worked.pool.processes
    os.kill(process, signal.SIGKILL)
    until = time.monotonic() + 30
    while Path(f"/proc/{process}/exe").exists() and time.monotonic() < until:
        time.sleep(0.02)
    worked.give("take")
    assert worked.end("take").kind == "done"
    assert "lost" not in {event.kind for event in worked.events}


def test_a_job_that_kills_every_actor_is_told_as_lost_each_time(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    worked.give("take", "die")
    assert worked.end("take").kind == "lost"
    worked.wait_for_free(1)
    worked.give("next")
    assert worked.end("next").kind == "done"


def test_a_lost_node_s_job_is_told_as_lost_and_the_others_go_on(
    start: Callable[..., Worked], ray_cluster: Any
) -> None:
    node = ray_cluster.add_node(num_cpus=1, object_store_memory=80_000_000, include_dashboard=False)
    try:
        worked = start(workers=RAY_CPUS + 1)
        worked.wait_for_free(RAY_CPUS + 1)
        jobs = [f"job-{number}" for number in range(RAY_CPUS + 1)]
        for job in jobs:
            worked.give(job, steps=1000)
        for job in jobs:
            worked.progress(job)
    finally:
        ray_cluster.remove_node(node, allow_graceful=False)
    lost = worked.wait(lambda event: event.kind == "lost").job
    for job in set(jobs) - {lost}:
        worked.pool.cancel(job)
        assert worked.end(job).kind == "cancelled"
    worked.wait_for_free(RAY_CPUS)
    worked.events.clear()
    worked.give(lost)
    assert worked.end(lost).kind == "done"


class Apart:
    """A cluster of one node, and a pool in a process of its own, as the server has it, with one actor."""

    def __init__(self, root: Path) -> None:
        from ray.cluster_utils import Cluster

        self.node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.node)
        command = rayprocess.command(
            self.cluster.address, "default", threads=1, device="cpu", profile="best", workers=1
        )
        self.pool = PoolProcess(command, rayprocess.LOSS)
        self.events: list[WorkEvent] = []
        self.song, self.spool = command_line.write_song(root / "song.wav"), Spool(root / "spool")

    def start(self) -> None:
        self.pool.start(self.events.append)
        until(self.pool.free, "an actor is ready")

    def does_a_job(self) -> bool:
        request = make("take", "extract", [("prompt", "bass"), ("path", str(self.song))])
        self.pool.give((request,), (self.spool.open(request, is_new=True),))
        (end,) = until(lambda: [one for one in self.events if one.kind in ENDS])
        return end.kind == "done" and read_done(self.spool.folder("take")) is not None

    def told(self) -> list[str]:
        return [one.text for one in self.events if one.kind == "broken"]


@pytest.fixture
def apart(ray_cluster: Any, tmp_path: Path) -> Iterator[Apart]:
    found = Apart(tmp_path)
    try:
        yield found
    finally:
        found.pool.stop(0.0)
        found.cluster.shutdown()


def test_the_pool_and_its_actors_outlive_the_cluster_s_head(apart: Apart) -> None:
    """Ray itself ends a process that has not found the head for 60 s."""
    apart.start()
    process = apart.pool.process
    apart.cluster.head_node.kill_gcs_server(False)
    time.sleep(65)
    assert apart.does_a_job()
    assert apart.pool.process is process and apart.told() == []


def test_without_this_machine_s_node_the_pool_says_so_and_works_on_when_there_is_one(apart: Apart) -> None:
    """The head's word that a node is dead takes some 20 s."""
    apart.start()
    apart.cluster.head_node.kill_raylet(False)
    until(lambda: rayprocess.GONE in apart.told(), "the loss is told", 180)
    assert apart.pool.free() == 0
    apart.cluster.add_node(**apart.node)
    until(apart.pool.free, "an actor of the new node is ready", 180)
    assert apart.does_a_job()


def test_an_error_in_the_actor_fails_the_job_and_keeps_the_actor(start: Callable[..., Worked]) -> None:
    worked = start(workers=1)
    worked.wait_for_free(1)
    before = worked.pool.processes
    worked.give("take", "fail")
    failed = worked.end("take")
    assert (failed.kind, failed.code) == ("failed", "internal")
    assert "it was to fail" in failed.text
    worked.wait_for_free(1)
    assert worked.pool.processes == before


def test_an_engine_that_does_not_start_is_told_and_fails_jobs(start: Callable[..., Worked]) -> None:
    worked = start(workers=1, load=broken_engine)
    assert worked.wait(lambda event: event.kind == "broken").text == "no such model folder"
    worked.wait_for_free(1)
    worked.give("take")
    failed = worked.end("take")
    assert (failed.kind, failed.code) == ("failed", "model")
    assert "no such model folder" in failed.text


def test_stopping_ends_what_runs_and_tells_nothing_of_it(start: Callable[..., Worked]) -> None:
    threads = threading.active_count()
    worked = start(workers=1)
    worked.wait_for_free(1)
    worked.give("take", steps=1000)
    worked.progress("take")
    begin = time.monotonic()
    worked.pool.stop(0.2)
    assert time.monotonic() - begin < 4  # no thread had to be waited out
    assert not [event for event in worked.events if event.kind in ENDS]
    assert threading.active_count() == threads


@pytest.mark.parametrize("profile", PROFILES)
def test_the_default_model_s_stems_are_those_of_a_process_of_ours(
    start: Callable[..., Worked], tmp_path: Path, profile: str
) -> None:
    from stemwright.bridge.work import do
    from stemwright.engine.engine import Engine

    song = command_line.write_song(tmp_path / "song.wav")
    worked = start(workers=1, work=None, load=None, profile=profile)
    worked.wait_for_free(1)
    folder = worked.give("take", path=str(song))
    assert worked.end("take").kind == "done", worked.events
    request = make("local", "extract", [("prompt", "bass"), ("path", str(song))])
    local = worked.spool.open(request, is_new=True)
    engine = Engine.load(threads=1, device="cpu", profile=profile)
    do(engine, [request], [local], lambda event: None, lambda job: False)
    for name in ("bass.wav", "rest.wav"):
        assert (folder / "out" / name).read_bytes() == (local / "out" / name).read_bytes()
    assert soundfile.info(folder / "out" / "bass.wav").frames == 3 * 44100
