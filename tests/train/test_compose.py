"""The composer: notes where and what they should be, and enough variety."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.train.classes import CLASSES, PROGRAM_NAMES, class_named, name_of, register_of
from stemwright.engine.train.compose import PARTS, compose
from stemwright.engine.train.groove import Groove, hits, read_grooves
from stemwright.engine.train.score import Song, folded, key_near
from stemwright.engine.train.styles import STYLES

SECONDS = 10.24


@pytest.fixture(scope="module")
def songs() -> list[Song]:
    return [compose(np.random.default_rng((7, number)), seconds=SECONDS) for number in range(150)]


def test_every_note_sounds_inside_the_window(songs: list[Song]) -> None:
    for song in songs:
        for note in (note for part in song.parts for note in part.notes):
            assert note.start < SECONDS
            assert note.start + note.duration > 0
            assert note.duration > 0


def test_every_program_belongs_to_its_class_and_every_key_to_its_program(songs: list[Song]) -> None:
    for part in (part for song in songs for part in song.parts):
        assert part.program in class_named(part.label).programs
        low, high = register_of(part.label, part.program)
        assert all(low <= note.key <= high for note in part.notes if part.label != "drums")
        assert all(1 <= note.velocity <= 127 for note in part.notes)


def test_the_same_seed_composes_the_same_song() -> None:
    assert compose(np.random.default_rng(3)) == compose(np.random.default_rng(3))
    assert compose(np.random.default_rng(3)) != compose(np.random.default_rng(4))


def test_styles_classes_and_programs_all_occur(songs: list[Song]) -> None:
    parts = [part for song in songs for part in song.parts]
    assert len({song.style for song in songs}) >= 15  # 17 exist
    assert {part.label for part in parts} == {each.label for each in CLASSES} - {"vocals"}
    assert len({(part.label, part.program) for part in parts}) > 80
    assert len({song.key for song in songs}) == 12


def test_songs_have_two_to_seven_parts_and_rarely_fewer_that_sound(songs: list[Song]) -> None:
    counts = Counter(len(song.parts) for song in songs)
    assert max(counts) <= PARTS[1] + 1
    assert sum(number for parts, number in counts.items() if parts < 2) <= 3


def test_parts_enter_late_or_rest_in_some_songs_but_mostly_play(songs: list[Song]) -> None:
    parts = [part for song in songs for part in song.parts]
    late = sum(part.notes[0].start > SECONDS / 4 for part in parts) / len(parts)
    assert 0.03 < late < 0.3  # measured 0.1


def test_a_singer_is_added_when_asked_for() -> None:
    songs = [compose(np.random.default_rng(number), sings=True) for number in range(10)]
    assert sum(song.parts[-1].label == "vocals" for song in songs) >= 7


def test_a_recorded_groove_is_the_drum_part_and_sets_the_tempo() -> None:
    beats = np.array([(quarter / 2, 42, 90) for quarter in range(32)], np.float64)
    song = compose(np.random.default_rng(1), groove=Groove("rock", 120.0, beats))
    drums = next(part for part in song.parts if part.label == "drums")
    gaps = np.diff([note.start for note in drums.notes])
    assert 120 * 0.92 <= song.tempo <= 120 * 1.08
    assert np.median(gaps) == pytest.approx(30 / song.tempo, abs=1e-9)


def test_nearest_key_is_at_most_six_semitones_away_and_folding_keeps_the_pitch_class() -> None:
    for key in range(30, 90):
        assert abs(key_near((1,), key) - key) <= 6
        assert key_near((1,), key) % 12 == 1
        assert folded(key, 48, 60) % 12 == key % 12


def test_every_program_has_a_name_of_its_own_class() -> None:
    assert len(PROGRAM_NAMES) == 128
    assert name_of("drums", 25) == "808 drum machine"
    assert name_of("bass", 36) == "slap bass"
    assert "saxophone" in name_of("reed", 66)


def test_a_midi_file_gives_its_hits_in_quarters() -> None:
    track = bytes(
        [0, 0xFF, 0x51, 3, 7, 0xA1, 0x20, 0, 0x99, 36, 100, 0x81, 0x70, 36, 0]
    )  # tempo, kick, off after 240
    track += bytes([0, 22, 70, 0x83, 0x60, 0x99, 38, 90, 0, 0xB9, 4, 60, 0, 0xFF, 0x2F, 0])
    data = (
        b"MThd"
        + (6).to_bytes(4, "big")
        + bytes([0, 0, 0, 1, 1, 0xE0])
        + b"MTrk"
        + len(track).to_bytes(4, "big")
    )
    assert hits(data + track).tolist() == [[0.0, 36, 100], [0.5, 42, 70], [1.5, 38, 90]]


def test_the_shared_grooves_are_read_with_their_styles(shared: Path) -> None:
    folder = shared / "data" / "midi"
    if not folder.is_dir():
        pytest.skip("needs data/midi among the shared fixtures")
    grooves = read_grooves(folder / "groove-midi.tar.xz", folder / "groove-info.csv")
    assert len(grooves) > 800  # measured 953
    assert {groove.style for groove in grooves} <= {style.name for style in STYLES}
    assert all((groove.beats[:, 0] >= 0).all() and groove.beats[:, 1].max() < 90 for groove in grooves)
