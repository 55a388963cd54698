"""The engine on a fake model with known answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine import preserve
from stemwright.engine.audio import Audio, open_audio, write
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import BadInput, BadJob, BadPrompt, Cancelled
from stemwright.engine.feed import Whole
from stemwright.engine.job import Inpainting, Job, Posterior, Progress, Prompt, Render, Result
from stemwright.engine.modelfolder import Model
from stemwright.engine.tracks import Task
from tests.engine.fakes import HOP, RATE, WINDOW, FakeCodec, FakeDenoiser, model

BASS, HAT = Prompt("bass"), Prompt("hat")
CANONICAL, REPAINT = Inpainting.CANONICAL, Inpainting.REPAINT


def tone(pitch: float, seconds: float, rate: int = RATE, channels: int = 1, gain: float = 0.1) -> Array:
    time = np.arange(round(seconds * rate)) / rate
    balance = np.linspace(1, 0.5, channels)[:, None]
    return (gain * balance * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def low_part(latents: Array) -> Array:
    """(C, T) of a wave → what of it lies below 1 kHz"""
    wave = latents.T.ravel()
    spectrum = np.fft.rfft(wave)
    spectrum[round(1000 / RATE * len(wave)) :] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32).reshape(-1, HOP).T


def split(latents: Array, conditions: Array) -> Array:
    """The denoiser knows: "bass" is all below 1 kHz, "hat" all above; anything else is absent."""
    low = low_part(latents[0])
    source = {1: low, 2: latents[0] - low}.get(round(float(conditions[2, 0])) // 2, np.zeros_like(low))
    return np.stack([latents[0], latents[0] - source, source])


def halved(latents: Array, conditions: Array) -> Array:
    """What fits a submix is the submix at half its level; the backing of a source, twice the source."""
    return np.stack([1.5 * latents[1], 2 * latents[2], latents[1] / 2])


def engine(clean: object = split, **changes: object) -> Engine:
    return Engine(model(clean, ("bass", "hat", "sax"), **changes))  # type: ignore[arg-type]


def audio_of(seconds: float = 3.0, rate: int = RATE, channels: int = 1) -> Audio:
    return Audio(tone(200, seconds, rate, channels) + tone(3000, seconds, rate, channels, 0.05), rate)


def extract(*prompts: Prompt, audio: Audio | None = None, **options: object) -> Job:
    return Job(Task.EXTRACT, prompts, audio or audio_of(), **options)  # type: ignore[arg-type]


def stems(result: Result) -> dict[str, Array]:
    return {stem.name: stem.audio.samples for stem in result.stems}


def decibels(error: Array, wanted: Array) -> float:
    return float(20 * np.log10(np.linalg.norm(error) / np.linalg.norm(wanted)))


def fake(work: Engine) -> FakeDenoiser:
    assert isinstance(work.model.denoiser, FakeDenoiser)
    return work.model.denoiser


def codec(work: Engine) -> FakeCodec:
    assert isinstance(work.model.codec, FakeCodec)
    return work.model.codec


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (48000, 1), (96000, 2)])
def test_extract_finds_the_part_and_leaves_stem_plus_rest_equal_to_the_mix(rate: int, channels: int) -> None:
    mixture = audio_of(5.0, rate, channels)
    found = stems(engine().run(extract(BASS, audio=mixture)))
    assert list(found) == ["bass", "rest"]
    assert found["bass"].shape == found["rest"].shape == mixture.samples.shape
    np.testing.assert_allclose(found["bass"] + found["rest"], mixture.samples, atol=1e-7)
    bass = tone(200, 5.0, rate, channels)
    assert decibels(found["bass"] - bass, bass) < -25  # measured −33 to −34, mixture −6


def test_the_stem_is_the_same_however_loud_the_mix() -> None:
    loud = stems(engine().run(extract(BASS)))["bass"]
    quiet = Audio(audio_of().samples * np.float32(0.01), RATE)
    np.testing.assert_allclose(stems(engine().run(extract(BASS, audio=quiet)))["bass"] * 100, loud, atol=2e-3)


def test_two_prompts_share_the_mixture_s_encoding_and_sum_to_it_with_the_rest() -> None:
    work = engine()
    mixture = audio_of(5.0)
    found = stems(work.run(extract(BASS, HAT, audio=mixture)))
    assert list(found) == ["bass", "hat", "rest"]
    np.testing.assert_allclose(sum(found.values()), mixture.samples, atol=1e-7)
    assert decibels(found["hat"] - tone(3000, 5.0, gain=0.05), found["hat"]) < -20  # measured −27
    windows = codec(work).encoded
    assert sum(fake(work).batches) == 2 * windows


def test_the_same_part_asked_for_twice_is_shared_when_joint_and_doubled_when_not() -> None:
    bass = tone(200, 3.0)
    joint = stems(engine().run(extract(BASS, Prompt("bass "), audio=Audio(bass, RATE))))
    assert np.linalg.norm(joint["rest"]) < 0.05 * np.linalg.norm(bass)
    assert np.linalg.norm(joint["bass"]) < 0.8 * np.linalg.norm(bass)
    alone = stems(engine().run(extract(BASS, Prompt("bass "), audio=Audio(bass, RATE), joint=False)))
    assert np.linalg.norm(alone["bass"]) > 0.95 * np.linalg.norm(bass)


def test_a_negated_prompt_gives_the_other_side() -> None:
    plain = stems(engine().run(extract(BASS)))
    negated = stems(engine().run(extract(Prompt("everything but the bass"))))
    np.testing.assert_allclose(negated["everything but the bass"], plain["rest"], atol=1e-6)


def test_an_absent_instrument_leaves_silence_and_a_note() -> None:
    result = engine().run(extract(Prompt("sax")))
    assert decibels(stems(result)["sax"], audio_of().samples) < -30
    assert result.notes == ("no sax heard",)
    assert engine().run(extract(BASS)).notes == ()


@pytest.mark.parametrize("render", Render)
def test_silence_gives_silent_stems(render: Render) -> None:
    silent = Audio(np.zeros((2, 2 * RATE), np.float32), RATE)
    result = engine().run(extract(BASS, HAT, audio=silent, render=render))
    assert all(not stem.audio.samples.any() for stem in result.stems)


def test_a_stretch_of_silence_inside_a_song_does_not_disturb_the_rest() -> None:
    samples = audio_of(12.0).samples.copy()
    samples[:, 4 * RATE : 9 * RATE] = 0
    found = stems(engine().run(extract(BASS, audio=Audio(samples, RATE))))
    bass = tone(200, 12.0)
    bass[:, 4 * RATE : 9 * RATE] = 0
    assert decibels(found["bass"] - bass, bass) < -15
    assert not found["bass"][:, 5 * RATE : 8 * RATE].any()


@pytest.mark.parametrize("seconds", [0.1, 1.0, WINDOW * HOP / RATE, WINDOW * HOP / RATE + 1 / RATE, 7.77])
def test_any_length_comes_back_exact_to_the_frame(seconds: float) -> None:
    mixture = audio_of(seconds, 44100, 2)
    for render in Render:
        result = engine().run(extract(BASS, audio=mixture, render=render))
        assert all(stem.audio.samples.shape == mixture.samples.shape for stem in result.stems)


def test_one_step_without_guidance_is_one_forward_for_every_window() -> None:
    work = engine()
    work.run(extract(BASS))
    assert sum(fake(work).batches) == codec(work).encoded == 2


def test_several_looks_agree_with_one_where_the_model_is_sure_and_cost_a_forward_each() -> None:
    looked = {"defaults": {"extract": {"steps": 1, "overlap": 2, "looks": 4}}}
    once, often = engine(), engine(**looked)
    song = audio_of(seconds=2.0)
    one, four = (stems(work.run(extract(BASS, audio=song))) for work in (once, often))
    assert decibels(four["bass"] - one["bass"], one["bass"]) < -40  # measured -48: the edges of a window
    assert (fake(once).batches, fake(often).batches) == ([1], [1, 1, 1, 1])


def test_looks_that_are_off_in_different_ways_are_off_by_less_together() -> None:
    """A denoiser that doubts the first frames of every latent frame: later looks see them elsewhere."""

    def doubtful(latents: Array, conditions: Array) -> Array:
        clean = split(latents, conditions)
        clean[2, : HOP // 4] *= 0.1
        return clean

    looked = {"defaults": {"extract": {"steps": 1, "overlap": 2, "looks": 4}}}
    song = audio_of(seconds=2.0)
    truth = tone(200, 2.0)
    errors = [
        decibels(stems(work.run(extract(BASS, audio=song)))["bass"] - truth, truth)
        for work in (engine(doubtful), engine(doubtful, **looked))
    ]
    assert errors[1] < errors[0] - 2  # measured -47 and -56


def test_guidance_doubles_the_batch_and_steps_repeat_it() -> None:
    work = engine()
    work.run(extract(BASS, guidance=2.0, steps=3))
    assert fake(work).batches == [4, 4, 4]  # 2 windows, with and without the prompt


def test_batches_of_any_size_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    job = extract(BASS, HAT, audio=audio_of(9.0, 44100, 2), steps=2, seed=5)
    first = engine().run(job)
    monkeypatch.setattr(preserve, "ROWS", 64)
    second = engine().run(job)
    for one, other in zip(first.stems, second.stems, strict=True):
        assert one.audio.samples.tobytes() == other.audio.samples.tobytes()


def noisy(latents: Array, conditions: Array) -> Array:
    """A denoiser that keeps some of the noise it was given: its answer depends on the seed."""
    return np.stack([latents[0], latents[1], latents[2]]) * np.float32(0.1)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    def generated(seed: int) -> bytes:
        job = Job(Task.GENERATE, (BASS,), seconds=5, rate=RATE, steps=2, seed=seed)
        return engine(noisy).run(job).stems[0].audio.samples.tobytes()

    assert generated(3) == generated(3) != generated(4)


@pytest.mark.parametrize("render", Render)
def test_cancelling_after_a_step_stops_before_the_next(render: Render) -> None:
    work, seen = engine(), []

    def cancel(progress: Progress) -> None:
        seen.append(progress)
        if progress.stage == "sample" and len(fake(work).batches) == 3:
            raise Cancelled("stopped on request")

    with pytest.raises(Cancelled):
        work.run(extract(BASS, steps=10, render=render), cancel)
    assert len(fake(work).batches) == 3


@pytest.mark.parametrize("render", Render)
def test_progress_ends_at_its_total_and_knows_the_time_left(render: Render) -> None:
    seen: list[Progress] = []
    engine().run(extract(BASS, HAT, audio=audio_of(9.0), steps=3, render=render), seen.append)
    assert seen[-1].done == seen[-1].total and seen[-1].seconds_left == 0
    assert [one.done for one in seen] == sorted({one.done for one in seen})
    assert {one.stage for one in seen} == {"encode", "sample", "render"}


def test_add_re_encodes_the_sum_for_every_prompt() -> None:
    given = Audio(tone(200, 2.0, channels=2), RATE)
    work = engine(halved)
    found = stems(work.run(Job(Task.ADD, (BASS, HAT), given)))
    mono = given.samples.mean(axis=0)
    assert list(found) == ["bass", "hat"] and codec(work).encoded == 2
    np.testing.assert_allclose(found["bass"], np.tile(mono / 2, (2, 1)), atol=1e-5)
    np.testing.assert_allclose(found["hat"], np.tile(mono * 0.75, (2, 1)), atol=1e-5)


def test_accompany_makes_the_backing_of_a_part() -> None:
    given = audio_of(2.0, 44100)
    found = stems(engine(halved).run(Job(Task.ACCOMPANY, (BASS,), given)))
    assert list(found) == ["bass"]
    assert decibels(found["bass"] - 2 * given.samples, given.samples) < -40  # measured −60: resampling


def test_a_long_part_is_made_in_windows_that_follow_on() -> None:
    starts: list[Array] = []

    def counting(latents: Array, conditions: Array) -> Array:
        starts.append(latents[2, 0, :3].copy())
        return np.full_like(latents, len(starts))

    result = engine(counting).run(Job(Task.GENERATE, (BASS,), seconds=4.0, rate=RATE))
    wave = result.stems[0].audio.samples[0]
    assert len(starts) == 3 and wave.shape == (4 * RATE,)
    levels = wave[:: RATE // 4] / wave[0]
    assert set(np.round(levels, 3)) == {1.0, 2.0, 3.0} and np.all(np.diff(levels) >= 0)


def test_generate_is_louder_than_the_model_but_never_over_full_scale() -> None:
    def loud(latents: Array, conditions: Array) -> Array:
        return np.full_like(latents, 0.7)

    result = engine(loud).run(Job(Task.GENERATE, (BASS,), seconds=1.0, rate=44100))
    assert np.abs(result.stems[0].audio.samples).max() == pytest.approx(0.99, abs=1e-3)
    assert result.stems[0].audio.rate == 44100 and result.stems[0].audio.samples.shape == (1, 44100)


def test_generate_stem_by_stem_gives_each_prompt_the_sum_before_it() -> None:
    seen: list[float] = []

    def building(latents: Array, conditions: Array) -> Array:
        seen.append(float(np.abs(latents[1]).max()))
        return np.full_like(latents, 0.1)

    job = Job(Task.GENERATE, (BASS, HAT, Prompt("sax")), seconds=2.0, rate=RATE, stem_by_stem=True)
    work = engine(building)
    result = work.run(job)
    assert [stem.name for stem in result.stems] == ["bass", "hat", "sax"]
    assert codec(work).encoded == 2  # nothing for the first
    assert seen[1] == pytest.approx(seen[2], rel=1e-3)  # each is given at the level it was trained at


def test_decoded_extraction_returns_both_sides() -> None:
    found = stems(engine().run(extract(BASS, render=Render.DECODE)))
    assert list(found) == ["bass", "rest"]
    bass = tone(200, 3.0)
    assert decibels(found["bass"] - bass, bass) < -20


def test_a_file_is_extracted_in_blocks_exactly_as_in_memory(tmp_path: Path) -> None:
    mixture = audio_of(9.0, 44100, 2)
    write(tmp_path / "song.wav", mixture)
    whole = stems(engine().run(extract(BASS, audio=mixture)))
    with open_audio(tmp_path / "song.wav") as source:
        extraction = engine().extract(extract(BASS), source)
        blocks = list(extraction)
    assert extraction.names == ("bass", "rest") and extraction.notes == ()
    joined = np.concatenate(blocks, axis=2)
    assert joined[0].tobytes() == whole["bass"].tobytes() and joined[1].tobytes() == whole["rest"].tobytes()


def test_a_long_file_comes_out_while_it_is_still_being_read() -> None:
    read = 0

    class Endless(Whole):
        def blocks(self) -> Iterator[Array]:
            nonlocal read
            for block in super().blocks():
                read += block.shape[1]
                yield block

    source = Endless(audio_of(60.0))
    first = next(iter(engine().extract(extract(BASS), source)))
    assert first.shape[2] > 0 and read < source.frames // 3


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (Job(Task.EXTRACT, (BASS,)), "needs audio"),
        (Job(Task.EXTRACT, (), audio_of()), "0 prompts"),
        (Job(Task.EXTRACT, (BASS,) * 33, audio_of()), "1 to 32"),
        (Job(Task.ADD, (BASS,), audio_of(), render=Render.PRESERVE), "render is decode"),
        (Job(Task.ADD, (BASS,), audio_of(), stem_by_stem=True), "way to generate"),
        (Job(Task.ACCOMPANY, (BASS, HAT), audio_of()), "takes one"),
        (Job(Task.GENERATE, (BASS,), audio_of()), "takes no audio"),
        (Job(Task.GENERATE, (BASS,), seconds=float("nan")), "0.1 to 3600"),
        (Job(Task.GENERATE, (BASS,), rate=1), "rate is 1 Hz"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), guidance=float("inf")), "guidance is inf"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), seed=-1), "seed is -1"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), steps=0), "1 to 1000"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), sampler="euler"), "no sampler"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), last=0.6), "0 to 0.5"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), grid="even"), "no grid .even.; choose one of auto, uniform"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), rescale=1.5), "0 .not at all. to 1"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), overlap=2), "0 to 1.536 s"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), overlap=float("nan")), "overlap is nan"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), inpainting=REPAINT, resamples=0), "give 1 to 50"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), resamples=2), "nothing is noised"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), inpainting=CANONICAL, resamples=2), "choose repaint"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), inpainting=REPAINT, sampler="ab2"), "choose ddim"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), track="drums"), "no track .drums.; its tracks are mix, sub"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), about=(("drums", "hat"),)), "no track .drums."),
        (Job(Task.EXTRACT, (BASS,), audio_of(), about=(("mix", "hat"), ("mix", "bass"))), "described twice"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), about=(("source", "hat"),)), "in the prompt itself"),
        (Job(Task.EXTRACT, (BASS,), audio_of(), posterior=Posterior.SAMPLE), "its posterior is mean"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_before_any_work(job: Job, message: str) -> None:
    work = engine()
    with pytest.raises(BadJob, match=message):
        work.run(job)
    assert not fake(work).batches


def test_a_model_without_the_tracks_of_a_task_says_so() -> None:
    with pytest.raises(BadJob, match=r'"fake" has no track .*submix.* and cannot add'):
        engine(tracks=["mix", "source"]).run(Job(Task.ADD, (BASS,), audio_of()))


def test_samples_that_are_no_sound_are_refused() -> None:
    broken = audio_of().samples.copy()
    broken[0, 5] = np.nan
    with pytest.raises(BadInput, match="NaN"):
        engine().run(extract(BASS, audio=Audio(broken, RATE)))
    with pytest.raises(BadInput, match="0 frames"):
        engine().run(extract(BASS, audio=Audio(np.zeros((1, 0), np.float32), RATE)))


def test_a_negated_prompt_makes_nothing() -> None:
    with pytest.raises(BadPrompt, match="what is not wanted"):
        engine(halved).run(Job(Task.ADD, (Prompt("everything but the bass"),), audio_of()))


def test_words_and_a_sound_are_mixed_half_and_half() -> None:
    seen: list[Array] = []

    def looking(latents: Array, conditions: Array) -> Array:
        seen.append(conditions)
        return latents

    reference = Audio(np.full((2, RATE), 5, np.float32), RATE)
    work: Model = model(looking, ("bass",))
    Engine(work).run(extract(Prompt("bass", reference), audio=audio_of(1.0)))
    np.testing.assert_array_equal(
        seen[0][2], np.full(4, 6)
    )  # twice what is between 1, the word, and 5, the sound
    assert not seen[0][:2].any()


def test_a_negative_prompt_without_guidance_is_remarked_upon() -> None:
    job = Job(Task.GENERATE, (Prompt("bass", negative="hat"),), seconds=1.0, guidance=1.0)
    assert "does nothing" in engine(noisy).run(job).notes[0]
