"""What the model that comes along does, through the command line, on the demo song."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.audio import Audio, read, resample, write
from stemwright.engine.cli import main
from stemwright.engine.spectral import stft
from tests.engine.command_line import ROOT, samples

DEMO = ROOT / "engine" / "demo" / "boas.flac"
pytestmark = pytest.mark.usefixtures("default_model")


@pytest.fixture(scope="module")
def demo_at(tmp_path_factory: pytest.TempPathFactory) -> "dict[tuple[int, int], Path]":
    """The demo song at other rates and channel counts, float32."""
    folder = tmp_path_factory.mktemp("demo")
    song = read(DEMO)
    found = {(44100, 2): DEMO}
    for rate, channels in ((48000, 1), (96000, 2)):
        audio = resample(Audio(song.samples[:channels], song.rate), rate)
        found[rate, channels] = folder / f"boas-{rate}-{channels}.wav"
        soundfile.write(found[rate, channels], audio.samples.T, rate, subtype="FLOAT")
    return found


@pytest.mark.parametrize("kind", [(44100, 2), (48000, 1), (96000, 2)])
def test_bass_and_rest_of_the_demo_sum_to_it(
    demo_at: "dict[tuple[int, int], Path]", kind: tuple[int, int], tmp_path: Path
) -> None:
    song = demo_at[kind]
    assert main(["extract", str(song), "bass", "--output", str(tmp_path), "--threads", "1"]) == 0
    stem, rest = (samples(tmp_path / f"{song.stem}.{name}.wav") for name in ("bass", "rest"))
    mixture = samples(song)
    assert soundfile.info(tmp_path / f"{song.stem}.bass.wav").samplerate == kind[0]
    # Measured: 1.5e-8, and 6e-8 for the resampled ones: a rounding of float32.
    np.testing.assert_allclose(stem + rest, mixture, atol=1e-6, rtol=0)


def test_the_bass_of_the_demo_is_low_and_not_silent(tmp_path: Path) -> None:
    assert main(["extract", str(DEMO), "bass", "--output", str(tmp_path), "--threads", "1"]) == 0

    def share_below_400_hertz(path: Path) -> float:
        power = np.abs(np.fft.rfft(samples(path)[:, 0])) ** 2
        edge = 400 * 20  # bins of a 20 s song
        return float(power[:edge].sum() / power.sum())

    stem = tmp_path / "boas.bass.wav"
    assert np.sqrt(np.mean(samples(stem) ** 2)) > 0.01
    assert share_below_400_hertz(stem) > share_below_400_hertz(DEMO)


def test_no_part_of_a_run_needs_torch(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; from stemwright.engine.cli import main; "
        f"sys.exit(main(['extract', {str(DEMO)!r}, 'bass', '--output', {str(tmp_path)!r}, '--threads', '1']))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "prompt", ["slap bass guitar", "drum kit", "the vocals", "rhodes", "everything but the drums"]
)
def test_free_text_is_understood(tmp_path: Path, prompt: str) -> None:
    assert main(["extract", str(DEMO), prompt, "--output", str(tmp_path), "--threads", "1"]) == 0


def test_all_weights_together_are_at_most_40_megabytes(default_model: Path) -> None:
    files = [path for path in default_model.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40e6


def onsets(wave: np.ndarray) -> np.ndarray:
    """Rises of the log spectrum, summed over bins, 62.5 a second, mean zero."""
    spectrum = np.log(np.abs(stft(wave[None]))[0] + 1e-2)
    rises = np.maximum(np.diff(spectrum, axis=1), 0).sum(axis=0)
    return rises - rises.mean()


@pytest.mark.parametrize(("prompt", "better"), [("drums", 0.05), ("bass", 0.2)])
def test_an_added_part_is_audible_and_keeps_the_songs_time(
    prompt: str, better: float, tmp_path: Path
) -> None:
    """Its onsets fall with the song's: few shifts make them agree better (0.2 % and 7 %)."""
    song = Audio(read(DEMO).samples[:, : 10 * 44100], 44100)
    write(tmp_path / "song.wav", song)
    assert main(["add", str(tmp_path / "song.wav"), prompt, "--output", str(tmp_path), "--threads", "1"]) == 0
    part = read(tmp_path / f"song.{prompt}.wav")
    assert (part.rate, part.samples.shape) == (44100, song.samples.shape)
    assert np.sqrt(np.mean(part.samples**2)) > 0.01  # measured: 0.13 and 0.08
    first, second = (onsets(resample(audio.mono(), 16000, 160_000).samples[0]) for audio in (song, part))
    agreement = np.fft.irfft(np.fft.rfft(first) * np.conj(np.fft.rfft(second)), len(first))
    together = max(agreement[0], agreement[1], agreement[-1])
    assert (agreement > together).mean() < better
