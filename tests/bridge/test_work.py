"""Requests become files: the region, the rate, the names, the end; batches give what each job gives alone."""

import errno
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge import asking, work
from stemwright.bridge.asking import span
from stemwright.bridge.local import LocalPool
from stemwright.bridge.order import batch_key
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.request import Request, make
from stemwright.bridge.spool import OUT, Spool, held, read_done
from stemwright.engine.audio import Audio, AudioFile, AudioWriter, read, resample
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.job import Job, Prompt
from stemwright.engine.tracks import Task
from tests.bridge.fakes_pool import Running, small_disk
from tests.bridge.waiting import until
from tests.engine.command_line import fake_engine, write_song

PARTS = ".stemwright-*"
DEMO = Path(__file__).resolve().parents[2] / "engine" / "demo" / "boas.flac"


class Desk:
    """A worker's place: an engine, a spool, and what was told."""

    def __init__(self, root: Path, engine: Engine) -> None:
        self.engine, self.spool = engine, Spool(root / "spool")
        self.song = write_song(root / "song.wav")  # 3 s, 44.1 kHz, stereo
        self.events: list[WorkEvent] = []
        self.cancelled: set[str] = set()

    def request(self, job: str, *prompts: str, task: str = "extract", **options: object) -> Request:
        source = [] if task == "generate" or "path" in options else [("path", str(self.song))]
        pairs = [("prompt", prompt) for prompt in prompts]
        return make(job, task, [*pairs, *source, *options.items()])

    def do(self, *batch: Request, is_new: bool = True) -> list[WorkEvent]:
        """→ the end of each"""
        folders = [self.spool.open(one, is_new=is_new) for one in batch]
        self.events.clear()
        work.do(self.engine, batch, folders, self.events.append, self.cancelled.__contains__)
        ends = {event.job: event for event in self.events if event.kind in ENDS}
        assert len(ends) == len([event for event in self.events if event.kind in ENDS]) == len(batch)
        assert not list(self.spool.root.rglob(PARTS))
        return [ends[one.job] for one in batch]

    def made(self, job: str, *prompts: str, **options: object) -> dict[str, Audio]:
        """The results of one request by their file names."""
        (end,) = self.do(self.request(job, *prompts, **options))  # type: ignore[arg-type]
        assert end.kind == "done", end
        for one in end.results:
            info = soundfile.info(one.path)
            assert one.seconds == info.frames / info.samplerate
        return {one.path.name: read(one.path) for one in end.results}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, fake_engine())


def same(one: Array, other: Array, within: float = 0.0) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= within)


# What comes out


def test_a_stem_and_the_rest_are_what_the_engine_makes_of_the_input(desk: Desk) -> None:
    made = desk.made("a", "bass", seed=7)
    stems = desk.engine.run(Job(Task.EXTRACT, (Prompt("bass"),), read(desk.song), seed=7)).stems
    assert list(made) == ["bass.wav", "rest.wav"]
    for stem, sound in zip(stems, made.values(), strict=True):
        assert same(sound.samples, stem.audio.samples) and sound.rate == 44100
    assert same(sum(one.samples for one in made.values()), read(desk.song).samples, 2e-7)  # measured 3e-8


def test_a_region_is_cut_before_anything_is_heard(desk: Desk) -> None:
    made = desk.made("a", "bass", start=0.5, seconds=1.25)
    whole = read(desk.song)
    cut = Audio(np.ascontiguousarray(whole.samples[:, 22050 : 22050 + 55125]), 44100)
    alone = desk.engine.run(Job(Task.EXTRACT, (Prompt("bass"),), cut)).stems[0].audio
    assert same(made["bass.wav"].samples, alone.samples)
    assert made["rest.wav"].frames == 55125
    assert desk.made("b", "bass", start=2.0)["bass.wav"].frames == 44100


@pytest.mark.parametrize("rate", [8000, 44100, 48000, 96000])
def test_results_have_the_rate_and_exactly_the_length_asked_for(desk: Desk, rate: int) -> None:
    begin, frames = 4800, 96001  # of a session at 48 kHz; what is sent are 32-bit numbers
    start, seconds = float(np.float32(begin / 48000)), float(np.float32(frames / 48000))
    made = desk.made("a", "bass", start=start, seconds=seconds, rate=rate)
    exact = {8000: 16000, 44100: 88201, 48000: 96001, 96000: 192002}[rate]
    assert [(one.rate, one.frames) for one in made.values()] == [(rate, exact)] * 2
    if rate > 16000:
        whole = resample(read(desk.song), rate).samples[:, round(start * rate) :][:, :exact]
        both = sum(one.samples for one in made.values())
        inner = slice(rate // 10, -rate // 10)
        assert same(both[:, inner], whole[:, inner], 1e-4)  # measured 2e-7


def test_lengths_hold_for_any_region_that_32_bits_can_say() -> None:
    chance = np.random.default_rng(0)
    for rate in (44100, 48000, 96000):
        for _ in range(2000):
            begin, frames = int(chance.integers(0, 3600 * rate)), int(chance.integers(1, 60 * rate))
            start, seconds = float(np.float32(begin / rate)), float(np.float32(frames / rate))
            assert span(start, seconds, rate)[1] == frames, (begin, frames, rate)
            assert abs(span(start, seconds, rate)[0] - begin) <= 2**-24 * begin + 1


def test_neighbouring_regions_share_an_edge() -> None:
    edges = [0.0, 0.3333, 0.70701, 1.1, 2.0]
    spans = [span(low, high - low, 44100) for low, high in itertools.pairwise(edges)]
    assert [begin + frames for begin, frames in spans[:-1]] == [begin for begin, _ in spans[1:]]


@pytest.mark.parametrize(("channels", "asked"), [(1, 2), (2, 1), (2, 2), (1, 6)])
def test_results_have_the_channels_asked_for(desk: Desk, tmp_path: Path, channels: int, asked: int) -> None:
    song = write_song(tmp_path / "other.wav", channels=channels)
    plain = desk.made("a", "bass", path=str(song))["bass.wav"].samples
    made = desk.made("b", "bass", path=str(song), channels=asked)["bass.wav"].samples
    expected = plain.mean(axis=0, keepdims=True) if asked < channels else plain
    assert same(made, np.broadcast_to(expected, made.shape)) and made.shape[0] == asked


def test_channels_that_cannot_be_made_are_refused(desk: Desk) -> None:
    (end,) = desk.do(desk.request("a", "bass", channels=3))
    assert (end.kind, end.code) == ("failed", "bad_job") and "3" in end.text and "2" in end.text


def test_flac_is_whole_turned_down_by_one_gain_and_says_so(desk: Desk, tmp_path: Path) -> None:
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, 8.0 * soundfile.read(desk.song)[0], 44100, subtype="FLOAT")
    made = desk.made("a", "bass", path=str(loud), format="flac")
    assert list(made) == ["bass.flac", "rest.flac"]
    done = read_done(desk.spool.folder("a"))
    assert done is not None and 0 < done.gain < 1
    total = sum(one.samples for one in made.values())
    assert same(total / np.float32(done.gain), read(loud).samples, 1e-5)  # measured 1e-6: two dithers


def test_every_prompt_has_a_file_of_its_own_and_the_rest_is_kept_or_not(desk: Desk) -> None:
    made = desk.made("a", "bass", "the Drum kit", "bass", "rest")
    assert list(made) == ["bass.wav", "drum-kit.wav", "bass-2.wav", "rest-2.wav", "rest.wav"]
    assert list(desk.made("b", "bass", "drums", rest=0)) == ["bass.wav", "drums.wav"]
    assert list(desk.made("c", "bass", "drums", render="decode")) == ["bass.wav", "drums.wav"]
    assert list(desk.made("d", "bass", render="decode")) == ["bass.wav", "rest.wav"]


def test_kinds_and_seeds_are_told_with_the_files(desk: Desk) -> None:
    (end,) = desk.do(desk.request("a", "slap bass", seed=7, variations=2))
    told = [(one.kind, one.path.name, one.seed) for one in end.results]
    assert told == [
        ("slap-bass", "slap-bass.seed-7.wav", 7), ("rest", "rest.seed-7.wav", 7),
        ("slap-bass", "slap-bass.seed-8.wav", 8), ("rest", "rest.seed-8.wav", 8),
    ]  # fmt: skip
    assert all(one.path.parent == desk.spool.folder("a") / OUT for one in end.results)


def test_seeds_beyond_what_a_message_can_hold_are_refused(desk: Desk) -> None:
    (end,) = desk.do(desk.request("a", "bass", seed=2**31 - 1, variations=2))
    assert end.code == "bad_job" and "smaller seed" in end.text


@pytest.mark.parametrize("task", ["add", "accompany"])
def test_parts_are_made_at_the_length_of_the_region(desk: Desk, task: str) -> None:
    (name,) = desk.made("a", "bass", task=task, seconds=1.5, rate=48000)
    (end,) = [event for event in desk.events if event.kind == "done"]
    assert name == "bass.wav" and end.results[0].seconds == 1.5
    assert soundfile.info(end.results[0].path).channels == 2


def test_music_is_generated_at_the_length_rate_and_channels_asked_for(desk: Desk) -> None:
    made = desk.made("a", "bass", task="generate", seconds=1.5, rate=22050, channels=2, variations=2)
    assert list(made) == ["bass.seed-0.wav", "bass.seed-1.wav"]
    assert {(one.rate, one.frames, one.channels) for one in made.values()} == {(22050, 33075, 2)}


def test_a_reference_sound_stands_alone_or_beside_one_prompt(desk: Desk) -> None:
    clip = str(desk.song)
    assert list(desk.made("a", like=clip)) == ["song.wav", "rest.wav"]
    assert list(desk.made("b", "bass", like=clip)) == ["bass.wav", "rest.wav"]
    (prompt,) = asking.prompts(desk.request("b", "bass", like=clip))
    assert prompt.text == "bass" and prompt.audio is not None and prompt.audio.frames == 3 * 44100
    (end,) = desk.do(desk.request("c", "bass", "drums", like=clip))
    assert end.code == "bad_job" and "one prompt" in end.text


def test_options_of_a_request_are_those_of_the_engine() -> None:
    asked = make(
        "a", "extract",
        [("prompt", "bass"), ("negative", "hum"), ("path", "x.wav"), ("steps", 5), ("guidance", 2.5),
         ("sampler", "ab2"), ("render", "preserve"), ("joint", 0)],
    )  # fmt: skip
    job = asking.job(asked, asking.prompts(asked), 9, is_joint=asked.joint)
    assert (job.steps, job.guidance, job.sampler, job.seed, job.joint) == (5, 2.5, "ab2", 9, False)
    assert job.render == "preserve" and job.prompts == (Prompt("bass", negative="hum"),)


def test_long_inputs_stream(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> Audio:
        raise AssertionError("the whole input was read")

    monkeypatch.setattr(AudioFile, "read", never)
    options = {"start": 0.5, "seconds": 2.0, "rate": 48000, "format": "flac"}
    (end,) = desk.do(desk.request("a", "bass", **options))
    assert end.kind == "done", end


# How it ends


def test_done_json_is_the_last_thing_and_holds_request_and_results(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[list[str]] = []
    write = work.write_done

    def watched(folder: Path, done: object) -> None:
        there.append(sorted(path.name for path in (folder / OUT).iterdir()))
        write(folder, done)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "write_done", watched)
    asked = desk.request("a", "bass", "sax", variations=2, rest=0)
    (end,) = desk.do(asked)
    assert there == [["bass.seed-0.wav", "bass.seed-1.wav", "sax.seed-0.wav", "sax.seed-1.wav"]]
    done = read_done(desk.spool.folder("a"), asked)
    assert done is not None and done.results == end.results and done.request == asked
    assert json.loads((desk.spool.folder("a") / "done.json").read_text())["state"] == "finished"


def test_a_job_that_is_finished_on_disk_is_not_done_again(desk: Desk) -> None:
    asked = desk.request("a", "bass")
    (first,) = desk.do(asked)
    before = first.results[0].path.stat().st_mtime_ns
    (again,) = desk.do(asked, is_new=False)
    assert again.results == first.results and first.results[0].path.stat().st_mtime_ns == before
    assert len(desk.events) == 1


def test_what_another_process_left_half_done_is_cleared_away(desk: Desk) -> None:
    asked = desk.request("a", "bass")
    out = desk.spool.open(asked, is_new=True) / OUT
    out.mkdir()
    (out / ".stemwright-1.part").write_bytes(b"half")
    (out / "sax.wav").write_bytes(b"of another")
    desk.do(asked, is_new=False)
    assert sorted(path.name for path in out.iterdir()) == ["bass.wav", "rest.wav"]


def test_two_processes_never_work_in_one_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PATIENCE", 0.05)
    asked = desk.request("a", "bass")
    with held(desk.spool.open(asked, is_new=True), 1.0):
        (end,) = desk.do(asked)
    assert end.kind == "failed" and "another process" in end.text


def test_progress_rises_to_the_whole_over_all_variations(desk: Desk) -> None:
    desk.do(desk.request("a", "bass", variations=3))
    told = [event.progress for event in desk.events if event.progress is not None]
    shares = [one.done / one.total for one in told]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len({one.total for one in told}) == 1
    assert {one.stage for one in told} == {"encode", "sample", "render"}
    assert told[-1].seconds_left == 0.0


@pytest.mark.parametrize("after", [0, 1, 5])
def test_cancelling_is_seen_at_the_next_step_and_leaves_nothing(desk: Desk, after: int) -> None:
    asked = desk.request("a", "bass", variations=2, steps=10)
    told = desk.events.append

    def tell(event: WorkEvent) -> None:
        told(event)
        if len(desk.events) > after:
            desk.cancelled.add("a")

    folder = desk.spool.open(asked, is_new=True)
    if not after:
        desk.cancelled.add("a")
    work.do(desk.engine, [asked], [folder], tell, desk.cancelled.__contains__)
    assert [event.kind for event in desk.events] == ["progress"] * (after + bool(after)) + ["cancelled"]
    assert sorted(path.name for path in folder.iterdir()) == ["request.json"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"start": 2.5, "seconds": 1.0}, "bad_input", "which is 3 s long"),
        ({"start": 5.0}, "bad_input", "which is 3 s long"),
        ({"path": "/nowhere/song.wav"}, "bad_input", "no such file"),
        ({"prompt": " "}, "bad_job", "the prompt is empty"),
    ],
)
def test_what_cannot_be_done_has_a_code_and_leaves_nothing(
    desk: Desk, options: dict[str, object], code: str, words: str
) -> None:
    prompts = ["bass"] if "prompt" not in options else ["bass", str(options.pop("prompt"))]
    (end,) = desk.do(desk.request("a", *prompts, **options))  # type: ignore[arg-type]
    assert (end.kind, end.code) == ("failed", code) and words in end.text
    assert sorted(path.name for path in desk.spool.folder("a").iterdir()) == ["request.json"]


def test_a_region_may_reach_beyond_the_input_by_a_rounding(desk: Desk) -> None:
    assert desk.made("a", "bass", start=1.0, seconds=2.005)["bass.wav"].frames == 88200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EIO, "Input/output error"), "internal"),
        (MemoryError(), "too_large"),
        (ZeroDivisionError("a bug"), "internal"),
    ],
)
def test_errors_on_the_way_have_codes_and_leave_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(AudioWriter, "_header", fails)
    (end,) = desk.do(desk.request("a", "bass"))
    assert (end.kind, end.code) == ("failed", code)
    assert sorted(path.name for path in desk.spool.folder("a").iterdir()) == ["request.json"]


def test_on_a_full_disk_a_job_fails_clearly_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 3 << 20) as disk:  # the song and one stem of 1 MB, and not two
        desk = Desk(disk, fake_engine())
        before = Spool(disk / "spool").free()
        (end,) = desk.do(desk.request("a", "bass"))
        assert (end.kind, end.code) == ("failed", "disk_full") and "Free some space" in end.text
        assert sorted(path.name for path in desk.spool.folder("a").iterdir()) == ["request.json"]
        assert Spool(disk / "spool").free() >= before - 65536
        assert list(desk.made("b", "bass", seconds=0.5))


# Together


def together(desk: Desk, requests: Sequence[Request]) -> dict[str, dict[str, Array]]:
    ends = desk.do(*requests)
    assert [end.kind for end in ends] == ["done"] * len(requests)
    return {end.job: {one.path.name: read(one.path).samples for one in end.results} for end in ends}


def compare(desk: Desk, requests: Sequence[Request], within: float) -> None:
    """Each alone, then all together: the same files, the same sound."""
    assert len({batch_key(one) for one in requests}) == 1 and batch_key(requests[0]) is not None
    alone = {job: files for one in requests for job, files in together(desk, [one]).items()}
    for job, files in together(desk, requests).items():
        assert list(files) == list(alone[job])
        for name, samples in files.items():
            assert same(samples, alone[job][name], within), (job, name)


def test_jobs_done_together_give_what_each_gives_alone(desk: Desk) -> None:
    options = {"seed": 3, "start": 0.25, "seconds": 2.0, "rate": 48000, "variations": 2}
    requests = [
        desk.request("a", "bass", **options),
        desk.request("b", "sax", **options, rest=0),
        desk.request("c", "bass", "sax", **options, joint=0),
        desk.request("d", "everything but the bass", **options, priority="live"),
    ]
    compare(desk, requests, 1e-6)  # measured 6e-8


def test_the_engine_passes_once_for_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    extract = Engine.extract

    def counted(engine: Engine, job: Job, *others: object) -> object:
        passes.append(len(job.prompts))
        return extract(engine, job, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "extract", counted)
    desk.do(desk.request("a", "bass"), desk.request("b", "sax"), desk.request("c", "drums"))
    assert passes == [3]


def test_one_of_several_is_cancelled_and_the_others_finish(desk: Desk) -> None:
    requests = [desk.request(job, prompt, steps=8) for job, prompt in (("a", "bass"), ("b", "sax"))]
    alone = together(desk, requests[:1])["a"]
    folders = [desk.spool.open(one, is_new=True) for one in requests]
    events: list[WorkEvent] = []

    def tell(event: WorkEvent) -> None:
        events.append(event)
        if len(events) == 4:
            desk.cancelled.add("b")

    work.do(desk.engine, requests, folders, tell, desk.cancelled.__contains__)
    ends = [(event.job, event.kind) for event in events if event.kind in ENDS]
    assert ends == [("b", "cancelled"), ("a", "done")]
    assert sorted(path.name for path in folders[1].iterdir()) == ["request.json"]
    assert all(same(read(one.path).samples, alone[one.path.name], 1e-6) for one in events[-1].results)
    assert {event.job for event in events[5:]} == {"a"}


def test_a_prompt_that_cannot_be_used_is_the_end_of_its_own_job_only(desk: Desk) -> None:
    empty = replace(desk.request("b", "x"), prompts=("...", " "), joint=False)
    ends = desk.do(desk.request("a", "bass"), empty, desk.request("c", "sax"))
    assert [end.kind for end in ends] == ["done", "failed", "done"]
    assert ends[1].code == "bad_job"


def test_remarks_go_to_the_job_they_are_about(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemwright.engine.preserve import Preserve

    notes = ("no bass heard", "no sax heard", "the input is odd")
    monkeypatch.setattr(Preserve, "notes", property(lambda self: notes))
    desk.do(desk.request("a", "bass"), desk.request("b", "sax"))
    found = [read_done(desk.spool.folder(job)) for job in "ab"]
    assert [done and done.notes for done in found] == [notes[::2], notes[1:]]


# With the model that comes along


@pytest.fixture(scope="module")
def model() -> Engine:
    return Engine.load(threads=1)


def test_with_a_real_model_jobs_done_together_give_what_each_gives_alone(
    tmp_path: Path, model: Engine
) -> None:
    desk = Desk(tmp_path, model)
    options = {"path": str(DEMO), "start": 3.0, "seconds": 2.0, "steps": 2}
    requests = [desk.request(job, prompt, **options) for job, prompt in (("a", "bass"), ("b", "saxophone"))]
    compare(desk, requests, 1e-5)  # measured 6e-8


@pytest.mark.slow
def test_a_running_extraction_is_cancelled_within_a_step(tmp_path: Path) -> None:
    asked = make("a", "extract", [("prompt", "bass"), ("path", str(DEMO)), ("steps", 200)])
    pool = LocalPool(threads=1)
    with Running(tmp_path / "spool", pool) as running:
        running.submit(asked)
        until(lambda: len(running.heard.of("a")) > 2)
        count = len(running.heard.of("a"))
        running.cancel("a")
        until(lambda: running.heard.ends("a"))
        assert running.state("a") == "cancelled"
        assert len(running.heard.of("a")) <= count + 3  # a step that was under way, one in the pipe, the end
        assert not running.spool.folder("a").exists()


def test_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """`until` fails when its time is over: what the tests here rely on."""
    never: Callable[[], bool] = lambda: False  # noqa: E731
    with pytest.raises(AssertionError, match="not within"):
        until(never, seconds=0.01)
