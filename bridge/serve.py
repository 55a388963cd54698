"""The server put together: every part started in order, and stopped in the reverse order whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemwright.bridge import clients as who
from stemwright.bridge import messages as say
from stemwright.bridge.actions import Actions
from stemwright.bridge.clients import Clients, Gate, Network
from stemwright.bridge.desk import Desk
from stemwright.bridge.folder import FolderWatch
from stemwright.bridge.grammar import BadMessage, Message
from stemwright.bridge.handlers import Handlers, Parts, status
from stemwright.bridge.inputs import Inputs
from stemwright.bridge.limiter import Limiter
from stemwright.bridge.live import Live
from stemwright.bridge.local import LocalPool
from stemwright.bridge.log import Log
from stemwright.bridge.midi import Midi
from stemwright.bridge.midimap import read_map
from stemwright.bridge.oscquery import OscQuery
from stemwright.bridge.playing import play
from stemwright.bridge.pool import Pool
from stemwright.bridge.poolprocess import PoolProcess
from stemwright.bridge.presets import Preset, filled, presets, shipped
from stemwright.bridge.queue import Counts, Limits, Queue, Row
from stemwright.bridge.server import Server
from stemwright.bridge.spool import Spool
from stemwright.bridge.uploads import Uploads
from stemwright.engine.errors import BadJob, StemwrightError

REFRESH = 0.25  # seconds between two looks at the state
GRACE = 10.0  # seconds a running job has to end before it goes back to the journal
REFUSALS = 50.0  # answered a second to one source
Listener = Callable[[Row, Message], None]


@dataclass(frozen=True)
class Settings:
    """What `stemwright serve` was told. None: off, or the default of what it configures."""

    host: str = "127.0.0.1"
    port: int = say.PORT
    http_port: int | None = say.HTTP_PORT
    spool: Path = Path("spool")
    roots: tuple[Path, ...] = ()
    inbox: Path | None = None
    model: str = "default"
    threads: int | None = None
    device: str = "auto"
    profile: str = "best"
    workers: int | None = None  # one, or as many as the cluster has room for
    command: tuple[str, ...] | None = None  # what runs in place of an engine; for tests and benchmarks
    ray: str | None = None
    presets: tuple[Path, ...] = ()
    input: str | None = None
    output: str | None = None
    remember: float = 120.0  # seconds of live input
    latency: float | None = None  # seconds from the input to the output; None: as the devices say
    midi: bool = True
    midi_map: Path | None = None
    allow: tuple[Network, ...] = ()
    token: str = ""
    advertise: bool = False
    is_json: bool = False
    limits: Limits = field(default_factory=Limits)


def serve(settings: Settings, log: Log) -> int:
    """Until Ctrl-C or SIGTERM; → the exit code. Errors at the start are StemwrightErrors."""
    check_reach(settings)
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        stack.enter_context(log.taking("stemwright"))
        running = start(settings, log, stack)
        stack.callback(log.note, "stopped")
        try:
            watch(running, log)
        finally:
            now = running.queue.counts()
            log.note("stopping", running=now.running, queued=now.queued)
    return 0


def check_reach(settings: Settings) -> None:
    """Beyond this machine only with a token and an allow-list."""
    if who.is_here(settings.host):
        return
    if not settings.token or not settings.allow:
        raise BadJob(
            f"--bind {settings.host} reaches beyond this machine: it needs --token-file FILE and "
            "--allow ADDRESS (both), for OSC itself knows no login; or leave --bind away."
        )


@dataclass(frozen=True)
class Running:
    """The parts that the watching loop and tests look at."""

    queue: Queue
    server: Server
    host: str
    http_port: int | None
    live: Live | None
    midi: Midi | None


def start(settings: Settings, log: Log, stack: ExitStack) -> Running:
    """Everything started; what was started is stopped when the stack unwinds, the newest first."""
    spool = Spool(settings.spool)
    stack.enter_context(spool.locked())
    known = presets((shipped(), *settings.presets), on_problem=lambda text: log.note("note", text=text))
    live = started_live(settings, stack, log)
    uploads = Uploads(spool.uploads)
    roots = (*settings.roots, *filter(None, [settings.inbox]), spool.uploads, spool.captures)
    inputs = Inputs(roots, uploads, spool.captures, live)
    listeners: list[Listener] = [journalist(log)]
    queue = Queue(
        spool,
        make_pool(settings),
        settle=inputs.settle,
        on_event=lambda row, message: tell_all(listeners, row, message),
        limits=settings.limits,
    )
    desk = Desk(lambda error: log.note("note", text=f"an error of ours: {type(error).__name__}: {error}"))
    listeners.append(player(inputs, desk, live, log))
    midi = made_midi(settings, Actions(queue, inputs, known, live, log.note), inputs, log)
    if midi is not None:
        listeners.append(midi.feedback)
    gate = Gate(settings.allow, settings.token)
    parts = Parts(queue, uploads, inputs, Clients(), gate, desk, known, log.note, live, midi)
    handlers = Handlers(parts, may_answer=Limiter(REFUSALS, REFUSALS).allows)
    server = Server(handlers.handle, host=settings.host, port=settings.port, on_bad=handlers.bad)
    handlers.send = server.send
    listeners.append(handlers.told)
    server.bind()
    stack.callback(server.stop)
    desk.start()
    stack.callback(desk.stop)
    stack.callback(queue.close, GRACE)
    queue.start()
    server.start()
    http = started_http(settings, server, queue, gate, stack)
    started_inbox(settings, queue, known, listeners, stack, log)
    if midi is not None:
        midi.start()
        stack.callback(midi.stop)
    advertise(settings, server.port, http, stack, log)
    query = "off" if http is None else f"http://{settings.host}:{http}"
    log.note("listening", host=settings.host, port=server.port, query=query, spool=str(spool.root))
    return Running(queue, server, settings.host, http, live, midi)


def tell_all(listeners: list[Listener], row: Row, message: Message) -> None:
    for listener in listeners:
        listener(row, message)


def make_pool(settings: Settings) -> Pool:
    if settings.ray is not None:
        from stemwright.bridge import rayprocess

        command = rayprocess.command(
            settings.ray,
            settings.model,
            threads=settings.threads,
            device=settings.device,
            profile=settings.profile,
            workers=settings.workers,
        )
        return PoolProcess(command, rayprocess.LOSS)
    return LocalPool(
        settings.model,
        threads=settings.threads,
        device=settings.device,
        profile=settings.profile,
        workers=settings.workers or 1,
        command=settings.command,
    )


def started_live(settings: Settings, stack: ExitStack, log: Log) -> Live | None:
    """The devices asked for are there, or NoAudio; without any, None."""
    if settings.input is None and settings.output is None:
        return None
    live = Live(
        input=settings.input,
        output=settings.output,
        seconds=settings.remember,
        latency=settings.latency,
        tell=lambda text: log.note("audio", text=text),
    )
    live.start()
    stack.callback(live.stop)
    return live


def made_midi(settings: Settings, actions: Actions, inputs: Inputs, log: Log) -> Midi | None:
    if not settings.midi:
        return None
    midi = Midi(read_map(settings.midi_map), actions.do, on_state=lambda text: log.note("midi", text=text))
    actions.follow, actions.feedback = midi.follow, midi.feedback
    inputs.clock = midi.clock
    return midi


def started_http(
    settings: Settings, server: Server, queue: Queue, gate: Gate, stack: ExitStack
) -> int | None:
    """→ the port of OSCQuery"""
    if settings.http_port is None:
        return None

    def values() -> dict[str, list[Any]]:
        return {say.Status.address: list(status(queue).arguments())}

    def allows(host: str) -> bool:
        return who.is_here(host) or gate.is_allowed(host)

    query = OscQuery(settings.host, settings.http_port, server.port, values, allows=allows)
    query.start()
    stack.callback(query.stop)
    return query.port


def started_inbox(
    settings: Settings, queue: Queue, known: Mapping[str, Preset], listeners: list[Listener],
    stack: ExitStack, log: Log,
) -> None:  # fmt: skip
    if settings.inbox is None:
        return
    watch = FolderWatch(
        settings.inbox,
        lambda request, answer: queue.submit(request, "local inbox 0 0", answer),
        queue.cancel,
        fill=lambda pairs: filled(pairs, known),
        note=lambda text: log.note("note", text=text),
        card=lambda: {"presets": [card_of(preset) for preset in known.values()]},
    )
    listeners.append(lambda row, message: watch.tell(message))
    watch.start()
    stack.callback(watch.stop)


def card_of(preset: Preset) -> dict[str, str]:
    """A preset for hosts that choose among them."""
    return {
        "name": preset.name, "task": preset.task, "prompt": ", ".join(preset.prompts), "colour": preset.colour
    }  # fmt: skip


def advertise(settings: Settings, port: int, http: int | None, stack: ExitStack, log: Log) -> None:
    """On the network, if asked for; without it the server goes on."""
    if not settings.advertise:
        return
    from stemwright.bridge.advertise import Advertisement

    told = Advertisement(settings.host, port, http)
    stack.callback(told.stop)
    try:
        told.start()
    except (StemwrightError, OSError) as error:
        log.note("note", text=f"not advertised: {error}")


def journalist(log: Log) -> Listener:
    """The ends of jobs, in the log."""

    def hear(row: Row, message: Message) -> None:
        job = row.request.job
        if isinstance(message, say.Finished):
            folder = str(Path(row.results[0].path).parent) if row.results else ""
            count = f"{len(row.results)} file" + ("" if len(row.results) == 1 else "s")
            log.note("finished", job=job, seconds=message.seconds, results=count, folder=folder)
        elif isinstance(message, say.Cancelled):
            log.note("cancelled", job=job)
        elif isinstance(message, say.Fail):
            log.note("failed", job=job, code=message.code, text=message.text)

    return hear


def player(inputs: Inputs, desk: Desk, live: Live | None, log: Log) -> Listener:
    """Plays what asked for it."""

    def start(row: Row) -> None:
        try:
            if text := play(live, row, 0, 1, inputs.region(row.request.job)):
                log.note("audio", text=f"{row.request.job}: {text}")
        except (BadMessage, StemwrightError) as error:
            log.note("audio", text=f"{row.request.job}: {error}")

    def hear(row: Row, message: Message) -> None:
        if isinstance(message, say.Finished) and row.request.play:
            with suppress(BadMessage):  # a desk too full
                desk.put(lambda: start(row))

    return hear


def watch(running: Running, log: Log) -> None:
    """The status line, and changes of state, until a signal."""
    state = ""
    while True:
        now = running.queue.counts()
        if now.state != state:
            state = now.state
            log.note("state", state=state, model=now.model, device=now.device, text=standing(now, running))
        log.status(status_line(now, running))
        time.sleep(REFRESH)


def standing(now: Counts, running: Running) -> str:
    """A change of state, for people."""
    if now.state != "ready":
        return now.state
    return f"ready on {running.host} port {running.server.port}: {now.model} {now.device}; stop with Ctrl-C"


def status_line(now: Counts, running: Running) -> str:
    """ "working  1 running 42 %  3 queued  MIDI on  audio on" """
    words = [now.state, f"{now.running} running"]
    words += [f"{100 * now.progress:.0f} %"] if now.running else []
    words.append(f"{now.queued} queued")
    words += [f"MIDI {running.midi.state}"] if running.midi else []
    words += [f"audio {running.live.state}"] if running.live else []
    return "  ".join(words)
