"""What is asked of the engine and what comes back: frozen; the same Job and model give the same stems."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from stemwright.engine.audio import Audio
from stemwright.engine.tracks import Task


class Render(str, Enum):
    """How latents become a stem: a mask on the input (`preserve`), or the decoder's waveform (`decode`)."""

    PRESERVE = "preserve"
    DECODE = "decode"


class Inpainting(str, Enum):
    """How given tracks are held: clean at a noise level of their own (`adaptive`: MGE-LDM), or noised to the
    level of the rest at every step (`canonical`), each step taken several times (`repaint`).
    """

    ADAPTIVE = "adaptive"
    CANONICAL = "canonical"
    REPAINT = "repaint"


class Null(str, Enum):
    """What guidance compares the prompts with: none on any track (`all`: MGE-LDM's code), or every track's
    own prompt taken away in turn while the others stay (`own`).
    """

    ALL = "all"
    OWN = "own"


class Posterior(str, Enum):
    """What of an encoder's distribution given sound becomes: its `mean`, or a `sample` of it."""

    MEAN = "mean"
    SAMPLE = "sample"


@dataclass(frozen=True)
class Prompt:
    """What a track should sound like: words, a reference sound, or both mixed half and half.

    `negative` is steered away from; it acts through guidance, so with guidance above 1 or below it.
    """

    text: str = ""
    audio: Audio | None = None
    negative: str = ""


@dataclass(frozen=True)
class Job:
    """One request.

    Several prompts: extract gives one stem each; add makes one pass each, the submix re-encoded between, and
    so does generate with `stem_by_stem`; the others take one.
    """

    task: Task
    prompts: tuple[Prompt, ...]
    audio: Audio | None = None  # the given track; None only for generate
    seconds: float = 10.24  # generate only: length asked for
    rate: int = 44100  # generate only: output rate in Hz
    steps: int | None = None  # None: the manifest's default for the task
    guidance: float | None = (
        None  # None: the manifest's default for the task; 1 is none and costs one forward
    )
    sampler: str | None = None  # "ddim" | "unipc" | "ab2"; None: the manifest's default
    seed: int = 0
    render: Render | None = None  # None: preserve for extract, decode for the others
    joint: bool = True  # extract with several prompts: share one mask among them
    stem_by_stem: bool = False  # generate only
    track: str | None = None  # which track the prompts describe; None: the task's own
    about: tuple[tuple[str, str], ...] = ()  # further words, each for another track: (("mix", "a waltz"),)
    grid: str | None = None  # "auto" | "uniform" | "blended"; None: the manifest's. The paper's is uniform
    last: float | None = None  # noise level the schedule ends at; None: the manifest's. The paper's is 0
    overlap: float | None = None  # seconds that neighbouring windows share; None: the manifest's
    inpainting: Inpainting = Inpainting.ADAPTIVE
    resamples: int | None = None  # RePaint's U; None: 1, or 10 for `repaint`
    null: Null = Null.ALL
    rescale: float = 0.0  # share of guidance's excess spread that is taken back, 0 to 1
    posterior: Posterior = Posterior.MEAN


@dataclass(frozen=True)
class Progress:
    """Where a running job is. `seconds_left` is None until there is something to judge by."""

    done: int  # units of work done
    total: int
    stage: str  # "encode" | "sample" | "render"
    seconds_left: float | None = None


OnProgress = Callable[[Progress], None]  # raising Cancelled inside it stops the job between two steps


@dataclass(frozen=True)
class Stem:
    """Audio made for a track, under the prompt it answers."""

    name: str  # "slap bass" | "rest" | "mix" …
    audio: Audio


@dataclass(frozen=True)
class Result:
    """The stems of a job, in the order of its prompts, the rest last."""

    stems: tuple[Stem, ...]
    seconds: float  # wall time spent
    notes: tuple[str, ...] = field(default=())  # remarks for the user, e.g. "no bass heard"
