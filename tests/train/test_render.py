"""Playing, treating and storing songs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.train import effects, synthesis
from stemwright.engine.train.oneshots import Instrument, grouped, read_oneshots
from stemwright.engine.train.render import FONTS, Instruments, random_song, whole, write_pool
from stemwright.engine.train.score import Note, Part
from stemwright.engine.train.singer import sing
from stemwright.engine.train.soundfont import RATE as FONT_RATE
from stemwright.engine.train.soundfont import SoundFont, events

RATE = 16000


def pitch_of(wave: np.ndarray, low: float = 100.0) -> float:
    """Frequency in Hz of the strongest partial above `low`."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 17))
    spectrum[: int(low * (1 << 17) / RATE)] = 0
    return float(spectrum.argmax() * RATE / (1 << 17))


def onset_of(wave: np.ndarray) -> float:
    """Time in s at which a wave first reaches a tenth of its peak."""
    return float(np.argmax(np.abs(wave) > 0.1 * np.abs(wave).max()) / RATE)


def cents(frequency: float, key: int) -> float:
    return float(1200 * np.log2(frequency / 440.0) - 100 * (key - 69))


@pytest.fixture(scope="module")
def font() -> SoundFont:
    pytest.importorskip("fluidsynth", reason="needs pyfluidsynth and libfluidsynth3")
    if not FONTS["timgm"].exists():
        pytest.skip(f"needs a soundfont: {FONTS['timgm']} (apt install timgm6mb-soundfont)")
    return SoundFont(FONTS["timgm"])


@pytest.mark.parametrize("key", [57, 69, 81])
def test_a_note_sounds_at_its_pitch_and_time(font: SoundFont, key: int) -> None:
    wave = font.play(Part("synth lead", 80, (Note(2.0, key, 100, 1.0),)), 4.0)
    assert wave.shape == (4 * RATE,)
    assert abs(onset_of(wave) - 2.0) < 0.004  # measured 0.0004
    assert abs(cents(pitch_of(wave[int(2.3 * RATE) : int(2.8 * RATE)]), key)) < 8  # measured 5


def test_a_note_begun_before_the_window_sounds_from_its_first_frame(font: SoundFont) -> None:
    wave = font.play(Part("organ", 16, (Note(-3.0, 60, 100, 5.0),)), 4.0)
    assert onset_of(wave) < 0.05
    assert np.abs(wave[int(1.8 * RATE) : int(1.9 * RATE)]).max() > 0.01
    assert np.abs(wave[3 * RATE :]).max() < 0.01


def test_what_was_played_before_does_not_change_a_part(font: SoundFont) -> None:
    drums = Part(
        "drums", 0, tuple(Note(step * 0.2, (36, 38, 42, 49)[step % 4], 100, 0.2) for step in range(15))
    )
    first = font.play(drums, 3.0)
    font.play(Part("piano", 0, tuple(Note(0.1 * place, 40 + place, 100, 3.0) for place in range(30))), 3.0)
    assert np.array_equal(first, font.play(drums, 3.0))


def test_events_are_in_order_and_inside_the_window() -> None:
    part = Part("bass", 33, (Note(-1.0, 40, 90, 1.5), Note(1.0, 41, 90, 9.0), Note(1.0, 42, 90, 0.0)))
    rows = events(part, 2.0)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[0] == (0, 40, 90)
    assert (FONT_RATE // 2, 40, 0) in rows
    assert all(0 <= row[0] < 2 * FONT_RATE for row in rows)


def test_the_same_seed_renders_the_same_bytes(font: SoundFont) -> None:
    instruments = Instruments(font, "timgm", synthesised=0.5, sung=0.5)
    songs = [random_song(instruments, np.random.default_rng(5), seconds=3.0) for _ in range(2)]
    assert np.array_equal(songs[0].stems, songs[1].stems)
    assert songs[0].labels == songs[1].labels
    assert len(songs[0].labels) == len(songs[0].stems) >= 2


def test_no_stem_is_silent_and_their_sum_does_not_clip(font: SoundFont) -> None:
    for seed in range(4):
        song = random_song(Instruments(font, "timgm"), np.random.default_rng(seed), seconds=4.0)
        assert (np.abs(song.stems.astype(int)).max(1) > 100).all()
        assert np.abs(song.stems.astype(int).sum(0)).max() <= 32767


def test_a_pool_shard_reads_back_and_an_existing_one_is_kept(font: SoundFont, tmp_path: Path) -> None:
    write_pool(tmp_path, 2, 9, ["timgm"])
    stems = np.load(tmp_path / "timgm_9_00000.npy", mmap_mode="r")
    songs = json.loads((tmp_path / "timgm_9_00000.json").read_text("utf-8"))
    assert stems.dtype == np.int16 and stems.shape == (sum(map(len, songs)), 163840)
    assert len(songs) == 2
    assert all(len(row) == 4 and row[3] == "timgm" for song in songs for row in song)
    assert not list(tmp_path.glob("*.part"))
    written = (tmp_path / "timgm_9_00000.npy").stat().st_mtime_ns
    write_pool(tmp_path, 2, 9, ["timgm"])
    assert (tmp_path / "timgm_9_00000.npy").stat().st_mtime_ns == written


def sine(key: int, seconds: float = 2.0) -> np.ndarray:
    hertz = 440 * 2 ** ((key - 69) / 12)
    return (20000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def test_a_one_shot_is_moved_to_the_pitch_asked_for() -> None:
    instrument = Instrument("piano", 0, "sines", {60: (sine(60),), 72: (sine(72),)})
    part = Part("piano", 0, (Note(1.0, 65, 100, 0.8),))
    wave = instrument.play(part, 3.0, np.random.default_rng(0))
    assert wave is not None and abs(onset_of(wave) - 1.0) < 0.004
    assert abs(cents(pitch_of(wave[int(1.2 * RATE) : int(1.7 * RATE)]), 65)) < 3


def test_an_instrument_refuses_a_part_out_of_its_reach() -> None:
    instrument = Instrument("piano", 0, "sines", {60: (sine(60),)})
    assert (
        instrument.play(Part("piano", 0, (Note(0.0, 80, 100, 1.0),)), 2.0, np.random.default_rng(0)) is None
    )


def test_one_shots_are_grouped_by_their_file_names(tmp_path: Path) -> None:
    for key, note in ((48, "c3"), (50, "d3"), (52, "e3"), (53, "f3"), (54, "fsharp3")):
        path = tmp_path / "strings" / f"lab__cello-arco-{note}__m{key}.ogg"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sine(key, 0.2), RATE)
    (tmp_path / "drums").mkdir()
    for name in ("kick-deep", "snare-tight", "hat-open", "vocal-loop"):
        soundfile.write(tmp_path / "drums" / f"lab__{name}.ogg", sine(60, 0.2), RATE)
    found = {each.label: each for each in read_oneshots(tmp_path)}
    assert found["strings"].family == "lab__cello-arco"
    assert found["strings"].program == 42
    assert sorted(found["strings"].samples) == [48, 50, 52, 53, 54]
    assert set(found["drums"].samples) == {"kick", "snare", "open hat"}
    assert read_oneshots(tmp_path, without=("lab",)) == ()


def test_the_shared_one_shots_make_instruments_of_every_recorded_class(shared: Path) -> None:
    folder = shared / "data" / "oneshots"
    if not folder.is_dir():
        pytest.skip("needs data/oneshots among the shared fixtures")
    labels = {place[0] for place in grouped(folder)}
    assert labels >= {
        "drums",
        "bass",
        "guitar",
        "piano",
        "strings",
        "brass",
        "reed",
        "pipe",
        "choir",
        "vocals",
    }


@pytest.mark.parametrize("label", ["drums", "bass", "guitar", "choir"])
def test_effects_keep_length_and_stay_finite_even_for_silence(label: str) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        for wave in (np.zeros(RATE, np.float32), rng.standard_normal(RATE).astype(np.float32)):
            out = effects.random_effects(wave, label, rng, RATE)
            assert out.dtype == np.float32 and out.shape == wave.shape and np.isfinite(out).all()


def test_an_equaliser_bell_has_its_gain_at_its_frequency() -> None:
    section = effects.peak_section(1000.0, 6.0, 1.0, RATE)
    point = np.exp(-2j * np.pi * 1000 / RATE)
    response = np.polyval(section[2::-1], point) / np.polyval(section[:2:-1], point)
    assert 20 * np.log10(abs(response)) == pytest.approx(6.0, abs=1e-6)


def test_the_synthesiser_plays_the_right_pitch_without_bends() -> None:
    patch = synthesis.Patch("saw", 6, 1, 1, 1, 0, (1, 0), 0.01, 1, 1, 0.1, (5, 0), 0)
    wave = synthesis.sounded(
        Note(0.0, 57, 100, 1.0), None, patch, np.ones(256), RATE, np.random.default_rng(0)
    )
    assert abs(cents(pitch_of(wave), 57)) < 2


def test_the_singer_holds_the_tune() -> None:
    line = tuple(Note(0.8 * place, key, 100, 0.78) for place, key in enumerate((57, 60, 64, 60)))
    misses = []
    for seed in range(6):
        wave, kind = sing(Part("vocals", 0, line), 3.4, np.random.default_rng(seed))
        assert kind in ("male", "female") and np.isfinite(wave).all()
        middle = wave[int(0.95 * RATE) : int(1.35 * RATE)]
        lags = np.correlate(middle, middle, "full")[len(middle) - 1 :]
        periods = [RATE / (440 * 2 ** ((key - 69) / 12)) for key in (60, 48)]  # a man sings an octave lower
        peak = int(np.argmax(lags[40:200])) + 40
        misses.append(
            min(abs(np.log2(peak * multiple / period)) for period in periods for multiple in (0.5, 1, 2))
        )
    assert np.median(misses) < 1 / 12  # within a semitone; vibrato and drift move it


def test_stems_that_would_clip_share_one_gain() -> None:
    stems = [np.full(100, 0.9, np.float32), np.full(100, 0.3, np.float32)]
    scaled = whole(stems, 100, np.random.default_rng(0)).astype(float)
    assert scaled.sum(0).max() <= 32767
    assert scaled[0, 0] / scaled[1, 0] == pytest.approx(3.0, rel=1e-3)
