"""The script in a fake Live, with the real server and the default model: a clip selected, tracks made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

Desks = Callable[..., Any]
Songs = Callable[..., Path]
Studio = tuple[Path, int]
NEAR = 2**-23  # of full scale: rounding of float32


def heard(clip: Any) -> tuple[np.ndarray, int]:
    """(frames, channels) of a clip's file"""
    wave, rate = soundfile.read(clip.file_path, always_2d=True)
    return wave, rate


def part(path: Path, begin: float, end: float) -> np.ndarray:
    wave, rate = soundfile.read(path, always_2d=True)
    return wave[round(begin * rate) : round(end * rate)]


def test_stem_and_rest_of_a_clip_cut_to_its_markers_add_up_to_it(
    studio: Studio, songs: Songs, desks: Desks
) -> None:
    desk = desks(studio[1])
    song = songs(3.0)
    desk.song.add("above")
    source = desk.clip(
        song, track="Gïtarre", name='Loop [the "low" bass; drums]', beats=5.0, loop_start=0.4, loop_end=2.1
    )
    desk.song.add("below")
    desk.song.view.put(selected_track=desk.song.tracks[1])
    before = dict(source.__dict__)
    desk.order("do")
    desk.finish()
    made = ['the "low" bass - Gïtarre', "drums - Gïtarre", "rest - Gïtarre"]
    assert desk.names == ["above", "Gïtarre", *made, "below"]
    waves = []
    for name in made:
        (clip,) = desk.clips_of(name)
        wave, rate = heard(clip)
        assert (clip.start_time, clip.warping, clip.looping, rate) == (5.0, False, False, 44100)
        assert (clip.loop_start, clip.loop_end) == (0.0, pytest.approx(1.7, abs=0.5 / 44100))
        assert (clip.gain, clip.pitch_coarse) == (0.7, 0)
        assert Path(clip.file_path).parent == Path(desk.stems)
        waves.append(wave)
    wanted = part(song, 0.4, 2.1)
    assert [wave.shape for wave in waves] == [wanted.shape] * 3
    assert all(np.abs(wave).max() > 1e-4 for wave in waves)
    np.testing.assert_allclose(sum(waves), wanted, atol=NEAR)
    assert source.__dict__ == before  # the source is as it was
    assert (desk.song.view.selected_track.name, desk.song.view.detail_clip) == ("Gïtarre", source)
    for _ in range(4):  # one step, and one for each track's name: Live counts renaming a track on its own
        desk.song.undo()
    assert desk.names == ["above", "Gïtarre", "below"]
    assert desk.song._undo == []


def test_variations_of_a_session_clip_lie_in_the_row_of_their_source(
    studio: Studio, songs: Songs, desks: Desks
) -> None:
    desk = desks(studio[1], what="prompt = electric guitar\nvariations = 2\nrest = no")
    desk.clip(songs(1.0), place="session")
    desk.order("extract")
    desk.finish()
    assert len(desk.names) == 3
    for name, seed in zip(desk.names[1:], (0, 1), strict=True):
        track = next(one for one in desk.song.tracks if one.name == name)
        assert [slot.has_clip for slot in track.clip_slots] == [False, True, False, False]
        clip = track.clip_slots[1].clip
        assert clip.name == f"electric guitar, take {seed + 1} (seed {seed})"
        assert not clip.warping and heard(clip)[0].shape == (44100, 2)


def test_variations_in_the_arrangement_are_takes_on_lanes(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1], what="variations = 2")
    song = songs(1.0)
    desk.clip(song)
    desk.order("extract bass")
    desk.finish()
    assert desk.names == ["Gtr", "bass - Gtr", "rest - Gtr"]
    stems, rests = desk.clips_of("bass - Gtr"), desk.clips_of("rest - Gtr")
    assert [clip.name for clip in stems] == ["bass, take 1 (seed 0)", "bass, take 2 (seed 1)"]
    for stem, rest in zip(stems, rests, strict=True):
        np.testing.assert_allclose(heard(stem)[0] + heard(rest)[0], part(song, 0, 1), atol=NEAR)  # 5.6e-8


def test_without_take_lanes_variations_get_tracks(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1], what="variations = 2\nrest = no", version=(12, 0, 5))
    desk.clip(songs(0.5))
    desk.order("extract bass")
    desk.finish()
    assert desk.names == ["Gtr", "bass - Gtr", "bass, take 2 (seed 1) - Gtr"]


@pytest.mark.parametrize(("rate", "channels"), [(96000, 2), (44100, 1)])
def test_rate_and_channels_of_the_file_are_kept(
    studio: Studio, songs: Songs, desks: Desks, rate: int, channels: int
) -> None:
    desk = desks(studio[1])
    song = songs(1.0, rate, channels)
    desk.clip(song, loop_start=0.1234567, loop_end=0.9)
    desk.order("extract bass")
    desk.finish()
    (stem, of_stem), (rest, of_rest) = (heard(desk.clips_of(f"{one} - Gtr")[0]) for one in ("bass", "rest"))
    wanted = part(song, 0.1234567, 0.9)
    assert of_stem == of_rest == rate and stem.shape == rest.shape == wanted.shape
    np.testing.assert_allclose(stem + rest, wanted, atol=NEAR)


def test_a_place_far_into_a_long_file_is_found_to_the_sample(
    studio: Studio, desks: Desks, tmp_path: Path
) -> None:
    rate, at = 8000, 3000 * 8000 + 1
    assert (
        abs(float(np.float32(at / rate)) * rate - at) > 0.9
    )  # frames; so it would come to lie with OSC's float
    path = studio[0] / "long.wav"
    noise = np.random.default_rng(3).standard_normal(4000) * 0.1
    with soundfile.SoundFile(path, "w", rate, 1, subtype="PCM_16") as file:
        for _ in range(3001):
            file.write(np.zeros(rate))
        file.seek(at)
        file.write(noise)
    desk = desks(studio[1])
    desk.clip(path, loop_start=at / rate, loop_end=(at + 4000) / rate)
    desk.order("extract bass")
    desk.finish()
    wave = sum(heard(desk.clips_of(f"{one} - Gtr")[0])[0] for one in ("bass", "rest"))
    wanted, _ = soundfile.read(path, start=at, stop=at + 4000, always_2d=True)
    np.testing.assert_allclose(wave, wanted, atol=NEAR)
    path.unlink()


def test_a_warped_clip_at_the_songs_tempo_is_cut_where_its_beats_lie(
    studio: Studio, songs: Songs, desks: Desks
) -> None:
    desk = desks(studio[1])
    song = songs(3.0)
    desk.warped(song, 120.0, beats=-1.0, place="session", looping=True, loop_start=0.0, loop_end=2.0)
    desk.order("extract bass")
    desk.finish()
    wave = sum(heard(desk.clips_of(f"{one} - Gtr")[0])[0] for one in ("bass", "rest"))
    np.testing.assert_allclose(wave, part(song, 0.5, 1.5), atol=NEAR)


def test_only_what_lies_inside_the_loop_brace(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1], what="region = loop")
    song = songs(3.0)
    desk.clip(song, beats=4.0, loop_start=0.25, pitch_coarse=12)  # an octave up: twice as fast
    desk.song.put(loop=True, loop_start=4.5, loop_length=1.0)
    desk.order("extract bass")
    desk.finish()
    (clip,) = desk.clips_of("bass - Gtr")
    assert (clip.start_time, clip.pitch_coarse) == (4.5, 12)
    wave = sum(heard(desk.clips_of(f"{one} - Gtr")[0])[0] for one in ("bass", "rest"))
    np.testing.assert_allclose(wave, part(song, 0.75, 1.75), atol=NEAR)


def test_music_from_words_alone_fills_the_loop(studio: Studio, desks: Desks) -> None:
    desk = desks(studio[1], what="steps = 2")
    desk.song.add("Keys", "midi")
    desk.song.put(loop=True, loop_start=8.0, loop_length=4.0)
    desk.order("generate funk groove")
    desk.finish()
    (clip,) = desk.clips_of("funk groove - new")
    assert (clip.start_time, clip.loop_end) == (8.0, pytest.approx(2.0, abs=1e-4))
    assert desk.names == ["Keys", "funk groove - new"]


def test_a_preset_gives_task_prompt_and_colour(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1])
    desk.clip(songs(0.5))
    desk.until(lambda: "drums" in desk.app.presets, "no presets")
    desk.order("preset drums")
    desk.finish()
    assert desk.names == ["Gtr", "drums - Gtr", "rest - Gtr"]
    assert desk.song.tracks[1].color == 0xE4572E


def test_two_jobs_at_once_and_the_second_time(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1])
    song = songs(1.0)
    desk.clip(song, track="A")
    desk.order("extract bass")
    desk.clip(song, track="B")
    desk.order("extract drums")
    assert len(desk.app.tasks) == 2
    desk.finish()
    assert desk.names == ["A", "bass - A", "rest - A", "B", "drums - B", "rest - B"]
    desk.order("again")
    desk.finish()
    assert desk.names == ["A", "bass - A", "rest - A", "B", "drums - B", "rest - B", "drums - B", "rest - B"]
    rests = ["Loop rest 2.wav", "Loop rest 3.wav", "Loop rest.wav"]
    assert sorted(path.name for path in Path(desk.stems).iterdir())[3:] == rests


def test_cancel_stops_the_job_and_leaves_nothing(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1], what="steps = 1000\nvariations = 16")
    desk.clip(songs(2.0))
    desk.order("extract bass")
    desk.until(lambda: any("%" in line for line in desk.shown), "no progress")
    desk.order("cancel")
    desk.finish()
    assert desk.shown[-1] == "Stemwright: cancelled: bass"
    assert desk.names == ["Gtr"] and not Path(desk.stems).exists() and desk.song._undo == []


def test_the_server_says_what_is_wrong_in_its_own_words(studio: Studio, songs: Songs, desks: Desks) -> None:
    desk = desks(studio[1])
    desk.clip(songs(0.5))
    desk.order("preset no-such-preset")
    desk.finish()
    assert "no preset 'no-such-preset'" in desk.shown[-1]
    assert desk.names == ["Gtr"]


def test_a_file_outside_the_servers_folders_is_told_with_the_way_out(
    studio: Studio, songs: Songs, desks: Desks, tmp_path: Path
) -> None:
    desk = desks(studio[1])
    outside = tmp_path / "outside.wav"
    outside.write_bytes(songs(0.5).read_bytes())
    desk.clip(outside)
    desk.order("extract bass")
    desk.finish()
    assert "--root" in desk.shown[-1]


def test_below_12_0_5_the_files_are_made_and_the_folder_shown(
    studio: Studio, songs: Songs, desks: Desks
) -> None:
    desk = desks(studio[1], version=(12, 0, 4))
    desk.clip(songs(0.5))
    desk.order("extract bass")
    desk.finish()
    assert desk.names == ["Gtr"] and desk.song._undo == []
    assert desk.shown[-1].endswith(
        f"Live 12.0.4 takes no clips from a script; 12.0.5 and later do. Drag the stems from {desk.stems}"
    )
    assert sorted(path.name for path in Path(desk.stems).iterdir()) == ["Loop bass.wav", "Loop rest.wav"]
