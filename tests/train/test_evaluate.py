"""The evaluation against extractors whose score is known: the truth, the mixture, silence."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadInput, BadOutput
from stemwright.engine.train import evaluation_sets
from stemwright.engine.train.evaluate import Extract, evaluate, main
from stemwright.engine.train.evaluation_report import (
    ALL,
    DSP,
    IDEAL,
    MIXTURE,
    OURS,
    QUIETED,
    ROWS,
    SCALED,
    SILENCE,
    Report,
    Score,
    read_report,
    verdicts,
)
from stemwright.engine.train.evaluation_sets import Case, demo_cases, recordings_cases, soundfont_cases
from stemwright.engine.train.evaluation_tables import markdown, plot

FRAMES = 16000


def noise(seed: int, level: float = 0.1, shape: tuple[int, ...] = (1, FRAMES)) -> Array:
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def tone(hertz: float, frames: int = FRAMES) -> Array:
    return (0.2 * np.sin(2 * np.pi * hertz * np.arange(frames) / 16000)).astype(np.float32)[None]


def small_set() -> list[Case]:
    """Two songs, two stems and one absent class each."""
    cases = []
    for song in range(2):
        drums, bass = noise(song), tone(80 + 10 * song)
        for label, target in (("drums", drums), ("bass", bass), ("vocals", None)):
            prompt = evaluation_sets.canonical(label)
            cases.append(Case("recordings", f"song {song}", label, prompt, 16000, drums + bass, target))
    return cases


def knowing(cases: list[Case], answer: Callable[[Case], Array]) -> Extract:
    """An extractor that recognises the mixture and the prompt."""

    def extract(mixture: Array, rate: int, prompt: str) -> Array:
        return answer(
            next(case for case in cases if case.prompt == prompt and np.array_equal(case.mixture, mixture))
        )

    return extract


def truth(case: Case) -> Array:
    return np.zeros_like(case.mixture) if case.target is None else case.target


@pytest.fixture(scope="module")
def of_truth() -> Report:
    cases = small_set()
    return evaluate(cases, knowing(cases, truth))


def test_the_truth_is_above_the_ceiling_and_an_absent_class_fully_silent(of_truth: Report) -> None:
    ours, ideal = of_truth.cells["recordings", ALL, OURS], of_truth.cells["recordings", ALL, IDEAL]
    assert ours.median > 60
    assert ours.log_mel == 0
    assert 5 < ideal.median < ours.median
    assert ideal.log_mel < of_truth.cells["recordings", ALL, SCALED].log_mel
    assert [each.level for each in of_truth.absences] == [-120, -120]
    assert all(each.holds for each in verdicts(of_truth))


def test_the_mixture_handed_back_gains_nothing_and_no_claim_holds() -> None:
    report = evaluate(small_set(), lambda mixture, rate, prompt: mixture)
    ours, mixture = report.cells["recordings", ALL, OURS], report.cells["recordings", ALL, MIXTURE]
    assert (ours.median, ours.mean, ours.log_mel) == (0, 0, mixture.log_mel)
    assert report.near_silent("recordings") == 0
    assert not any(each.holds for each in verdicts(report))


def test_the_least_l1_gain_is_never_worse_than_the_mixture_or_silence(of_truth: Report) -> None:
    for label in (ALL, "drums", "bass"):
        quieted = of_truth.cells["recordings", label, QUIETED].log_mel
        assert quieted <= of_truth.cells["recordings", label, SCALED].log_mel
        assert quieted <= of_truth.cells["recordings", label, MIXTURE].log_mel
        assert quieted <= of_truth.cells["recordings", label, SILENCE].log_mel


def test_silence_has_no_si_sdr_as_a_row_but_costs_an_extractor_dearly() -> None:
    report = evaluate(small_set(), lambda mixture, rate, prompt: np.zeros_like(mixture))
    assert report.cells["recordings", ALL, SILENCE].median is None
    assert report.cells["recordings", ALL, OURS].median < -40
    assert report.near_silent("recordings") == 1


def test_without_an_extractor_every_other_row_is_there() -> None:
    report = evaluate(small_set())
    assert {row for _, _, row in report.cells} == set(ROWS) - {OURS}
    assert verdicts(report) == []


def test_two_runs_give_the_same_report(of_truth: Report) -> None:
    cases = small_set()
    assert evaluate(cases, knowing(cases, truth)) == of_truth


def test_the_cache_answers_with_the_same_scores_and_is_asked(tmp_path: Path, of_truth: Report) -> None:
    cases = small_set()
    first = evaluate(cases, knowing(cases, truth), cache=tmp_path)
    assert first == of_truth
    kept = sorted(tmp_path.glob("*.json"))
    assert len(kept) == 4
    for path in kept:
        path.write_text(path.read_text().replace('"log_mel": ', '"log_mel": 1000'))
    assert evaluate(cases, cache=tmp_path).cells["recordings", ALL, MIXTURE].log_mel > 1000


def test_a_changed_sample_is_another_case_to_the_cache(tmp_path: Path) -> None:
    case = small_set()[0]
    evaluate([case], cache=tmp_path)
    case.mixture[0, 0] += 1e-6
    evaluate([case], cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_stereo_at_44_1_khz_is_scored_on_both_channels() -> None:
    target, rest = noise(1, shape=(2, 44100)), noise(2, shape=(2, 44100))
    case = Case("demo", "song", "guitar", "the sound of the guitar", 44100, target + rest, target)
    swapped = evaluate([case], lambda mixture, rate, prompt: target[::-1]).cells["demo", ALL, OURS]
    assert swapped.median < -10  # the image is wrong
    assert swapped.log_mel < 1e-4  # the mono sound is right


def scored(row: str, gain: float | None, song: str = "a", label: str = "bass") -> Score:
    return Score("soundfont", song, label, row, gain, 1.0, 0.5, -6.0)


def test_the_best_dsp_is_the_method_with_the_best_median() -> None:
    gains = {"low": (1.0, 1.0, 9.0), "high": (3.0, 3.0, 3.0)}
    scores = [scored(f"{DSP}: {method}", gain) for method, values in gains.items() for gain in values]
    chosen = Report((scored(MIXTURE, 0.0), *scores)).cells["soundfont", "bass", DSP]
    assert (chosen.method, chosen.median, chosen.count) == ("high", 3.0, 3)


def test_shares_and_means_are_of_the_scored_stems_alone() -> None:
    gains = [-4.0, -1.0, 2.0, 5.0, None]
    cell = Report(tuple(scored(MIXTURE, gain) for gain in gains)).cells["soundfont", ALL, MIXTURE]
    assert (cell.count, cell.scored, cell.songs, cell.median, cell.mean) == (5, 4, 1, 0.5, 0.5)
    assert (cell.above_3, cell.below_0, cell.below_minus_3) == (0.25, 0.5, 0.25)


def test_a_rare_class_counts_as_much_as_a_common_one_in_the_class_average() -> None:
    scores = [scored(MIXTURE, 0.0, label="bass")] * 9 + [scored(MIXTURE, 8.0, label="pipe")]
    assert Report(tuple(scores)).class_average("soundfont", MIXTURE) == 4


def test_json_brings_the_report_back(tmp_path: Path, of_truth: Report) -> None:
    path = tmp_path / "report.json"
    path.write_text(of_truth.as_json())
    assert read_report(path) == of_truth
    assert {each["row"] for each in json.loads(path.read_text())["summary"]} == set(ROWS)


def test_the_tables_have_every_row_and_class(of_truth: Report) -> None:
    text = markdown(of_truth)
    assert all(f"| {row} |" in text for row in ROWS)
    assert "| bass (2 / 2) |" in text
    assert "100% at −20 dB or lower" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith(("| bass", "| class"))}
    assert len(widths) == 1


def test_the_plot_is_a_picture(tmp_path: Path, of_truth: Report) -> None:
    pytest.importorskip("matplotlib")
    plot(of_truth, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def write_pool(folder: Path) -> None:
    """One song of two guitars, drums and a bass that hardly sounds."""
    stems = np.concatenate([noise(seed, 0.05) for seed in range(3)] + [noise(3, 1e-4)])
    np.save(folder / "font_1_00000.npy", (stems * 32767).astype(np.int16))
    rows = [["guitar", 24, 120.0, "font"], ["drums", 0, 120.0, "font"], ["guitar", 30, 120.0, "font"]]
    (folder / "font_1_00000.json").write_text(json.dumps([[*rows, ["bass", 33, 120.0, "font"]]]))


def test_rendered_stems_of_one_class_are_one_target_and_hardly_sounding_ones_none(tmp_path: Path) -> None:
    write_pool(tmp_path)
    cases = list(soundfont_cases(tmp_path))
    present = {case.label: case for case in cases if case.target is not None}
    assert set(present) == {"guitar", "drums"}
    assert present["drums"].prompt == "the sound of the drums"
    assert np.abs(present["guitar"].target - noise(0, 0.05) - noise(2, 0.05)).max() < 1e-4  # 16 bit: 6e-5
    absent = [case.label for case in cases if case.target is None]
    assert len(absent) == 2
    assert not {"guitar", "drums", "bass"}.intersection(absent)


def write_song(folder: Path, seconds: float = 52.0) -> None:
    """Drums throughout, vocals from 20 s on, an effect that belongs to the mixture alone."""
    folder.mkdir(parents=True)
    frames = int(seconds * 16000)
    drums, vocals, effect = (noise(seed, 0.1, (frames,)) for seed in range(3))
    vocals[: 20 * 16000] = 0
    parts = {"drums__kick": drums / 2, "drums__hat": drums / 2, "vocals__lead": vocals, "fx__riser": effect}
    for name, wave in parts.items():
        soundfile.write(folder / f"{name}.flac", wave, 16000)


def test_recordings_are_cut_where_two_classes_are_heard(tmp_path: Path) -> None:
    write_song(tmp_path / "song")
    cases = list(recordings_cases(tmp_path))
    present = [case for case in cases if case.target is not None]
    assert [case.label for case in present] == [
        "drums",
        "vocals",
    ] * 4  # five clips fit; the first has no vocals
    assert all(case.mixture.shape == (1, 163840) for case in cases)
    drums, vocals = present[2], present[3]
    rest = drums.mixture - drums.target - vocals.target
    assert np.sqrt(np.mean(rest**2)) == pytest.approx(0.1, rel=0.02)  # the effect stays in the mixture
    absent = {case.label for case in cases if case.target is None}
    assert absent
    assert not absent.intersection({"drums", "vocals"})


def test_the_cases_are_the_same_every_time(tmp_path: Path) -> None:
    write_song(tmp_path / "song")
    one, two = ([(case.label, case.mixture.sum()) for case in recordings_cases(tmp_path)] for _ in range(2))
    assert one == two


@pytest.mark.parametrize("cases", [soundfont_cases, recordings_cases, demo_cases])
def test_a_folder_without_songs_is_refused_by_name(
    cases: Callable[[Path], Iterator[Case]], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=str(tmp_path)):
        next(cases(tmp_path))


def test_the_demo_song_is_asked_whole_in_stereo_and_sums_to_its_mixture(shared: Path) -> None:
    cases = list(demo_cases(shared / "data" / "demo" / "boas"))
    present = [case for case in cases if case.target is not None]
    assert {case.label for case in present} == {"drums", "bass", "guitar", "brass", "clavinet"}
    assert all(case.mixture.shape == (2, 882000) and case.rate == 44100 for case in cases)
    written, _ = soundfile.read(shared / "data" / "demo" / "boas" / "mixture.flac", dtype="float32")
    assert np.abs(present[0].mixture - written.T).max() <= 3 / 32768  # five stems rounded to 16 bit


def test_the_command_prints_tables_and_writes_what_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pool(tmp_path)
    words = [
        "--model",
        "none",
        "--sets",
        "soundfont",
        "--pool",
        str(tmp_path),
        "--json",
        str(tmp_path / "r.json"),
    ]
    assert main([*words, "--cache", str(tmp_path / "cache")]) == 0
    assert "ideal ratio mask" in capsys.readouterr().out
    assert len(read_report(tmp_path / "r.json").scores) > 6


def test_a_limit_of_no_songs_is_refused() -> None:
    with pytest.raises(BadInput, match="--limit 0"):
        main(["--model", "none", "--limit", "0"])


def test_an_output_that_could_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="nowhere"):
        main(["--model", "none", "--json", str(tmp_path / "nowhere" / "report.json")])
