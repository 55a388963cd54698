"""What the model that comes along does, through the command line, on the demo song."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.audio import Audio, read, resample
from stemwright.engine.cli import main
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
