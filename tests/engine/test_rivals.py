"""Rivals: who competes with a prompt, and what that does to its stem."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine import preserve
from stemwright.engine.asked import ask
from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import ModelDamaged
from stemwright.engine.job import Job, Progress, Prompt
from stemwright.engine.modelfolder import Model, open_model
from stemwright.engine.rivals import Rivals, competition, rivals_of
from stemwright.engine.tracks import TASKS, Task
from stemwright.engine.train.prompt_bank import items_known, words_for
from tests.engine.fakes import RATE, WIDTH, FakeCodec, FakeDenoiser, manifest, model
from tests.engine.test_engine import audio_of, low_part, stems

RIVALS = {"prompts": {"bass": ["low end"], "hat": ["cymbal"], "oboe": ["reed"]}, "weight": 1, "margin": 0.1}


POINTS = {
    "bass": (1, 0, 0, 0),
    "low end": (1, 0, 0, 0),
    "hat": (0, 1, 0, 0),
    "cymbal": (0, 1, 0, 0),
    "sax": (0, 0, 1, 0),
    "reed": (0, 0, 1, 0),
    "oboe": (0, 0, 0, 1),
    "bass and hat": (0.7, 0.7, 0, 0.1),
}


class Meanings:
    """Points of words; that of a sound is the bass's where it begins above zero, else the sax's."""

    width = WIDTH

    def text(self, prompts: list[str]) -> Array:
        return np.array([POINTS[prompt] for prompt in prompts], np.float32)

    def audio(self, waves: Array) -> Array:
        return self.text(["bass" if waves[0, 0] > 0 else "sax"])


def greedy(latents: Array, conditions: Array) -> Array:
    """Bass is what lies below 1 kHz, hat what lies above; a sax is not there, but claims half of the hat."""
    low = low_part(latents[0])
    high = latents[0] - low
    parts = zip((low, high, high / 2), conditions[2], strict=False)
    source = sum((part for part, weight in parts if weight > 1), np.zeros_like(low))
    return np.stack([latents[0], latents[0] - source, source])


def engine(**changes: object) -> Engine:
    changes = {"rivals": RIVALS, **changes}
    fake = dataclasses.replace(model(greedy, **changes), conditioner=Meanings())  # type: ignore[arg-type]
    return Engine(fake)


def extract(*names: str, seconds: float = 3.0, **options: object) -> Job:
    prompts = tuple(Prompt(name) for name in names)
    return Job(Task.EXTRACT, prompts, audio_of(seconds), **options)  # type: ignore[arg-type]


def batches(work: Engine) -> list[int]:
    assert isinstance(work.model.denoiser, FakeDenoiser)
    return work.model.denoiser.batches


def encoded(work: Engine) -> int:
    assert isinstance(work.model.codec, FakeCodec)
    return work.model.codec.encoded


def norm(samples: Array) -> float:
    return float(np.linalg.norm(samples))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 0)], [True, False, False]),  # the nearest, always
        ([(0.9, 0.43)], [True, False, False]),
        ([(0.8, 0.6)], [True, True, False]),  # .8 and .76 are within the margin
        ([(1, 0), (-1, 0.1)], [True, False, True]),  # near any of several
        ([(0, 1)], [False, True, False]),  # by a word of its own
        ([(0, 0)], [True, True, True]),  # says nothing: nobody competes
    ],
)
def test_the_nearest_rival_and_those_within_the_margin_stay_out(
    points: list[tuple[float, float]], expected: list[bool]
) -> None:
    words = np.array([(1, 0), (0.28, 0.96), (0, 1), (-1, 0)], np.float32)
    rivals = Rivals(("a", "b", "c"), words[[0, 1, 3]], words, np.array([0, 1, 1, 2]), 0.1, 1.0, 1.0)
    assert rivals.near(np.array(points, np.float32)).tolist() == expected
    assert rivals.near(np.array(points, np.float32), blur=2).all()


def test_an_absent_instrument_gets_less_of_what_a_rival_claims() -> None:
    contested, alone = (stems(work.run(extract("sax")))["sax"] for work in (engine(), engine(rivals={})))
    assert norm(contested) / norm(alone) == pytest.approx(0.8, abs=1e-3)  # ½ against 1: cut by (1 + 1½) / 2
    none = stems(engine(rivals={**RIVALS, "weight": 0}).run(extract("sax")))["sax"]
    assert none.tobytes() == alone.tobytes()


def test_more_weight_leaves_less() -> None:
    found = [
        norm(stems(engine(rivals={**RIVALS, "weight": weight}).run(extract("sax")))["sax"])
        for weight in (0.5, 1, 2)
    ]
    assert found[0] > found[1] > found[2] > 0


def test_rivals_count_less_against_a_loud_stem() -> None:
    """What is left of the sax lies 11 dB under the mixture: the weight is between the two."""
    equal, gentle = (
        norm(stems(engine(rivals={**RIVALS, "loud": loud}).run(extract("sax")))["sax"]) for loud in (1, 0.1)
    )
    assert gentle > 1.1 * equal
    assert gentle < norm(stems(engine(rivals={}).run(extract("sax")))["sax"])


@pytest.mark.parametrize("name", ["bass", "low end", "hat", "bass and hat"])
def test_nothing_competes_with_itself(name: str) -> None:
    with_rivals = stems(engine().run(extract(name)))[name]
    without = stems(engine(rivals={}).run(extract(name)))[name]
    # The other takes next to nothing of it; of itself it would be a third.
    assert norm(with_rivals - without) < 0.02 * norm(without)  # measured 5e-3, 5e-3, 9e-3, 0


def test_an_inverted_prompt_gets_what_the_contested_stem_leaves() -> None:
    mixture = audio_of().samples
    positive = stems(engine().run(extract("sax")))["sax"]
    inverted = stems(engine().run(extract("everything but the sax")))["everything but the sax"]
    np.testing.assert_allclose(inverted, mixture - positive, atol=1e-6)


def test_a_sound_is_told_from_the_rivals_by_its_condition() -> None:
    def cut(value: float) -> float:
        """What rivals leave of the stem of a reference."""
        reference = Prompt("", Audio(np.full((1, RATE), value, np.float32), RATE))
        job = Job(Task.EXTRACT, (reference,), audio_of())
        contested, alone = (
            norm(work.run(job).stems[0].audio.samples) for work in (engine(), engine(rivals={}))
        )
        return contested / alone

    assert cut(0.1) == pytest.approx(1, abs=0.01)  # a bass: the bass does not compete
    assert cut(-0.1) < 0.85  # a sax


def test_a_stem_is_the_same_alone_and_beside_others_unless_they_are_joint() -> None:
    beside = stems(engine().run(extract("sax", "hat", "bass", joint=False)))
    for name in ("sax", "hat", "bass"):
        # Measured: 4e-9, a rounding of float32.
        np.testing.assert_allclose(stems(engine().run(extract(name)))[name], beside[name], atol=1e-7)


def test_a_rival_near_one_joint_prompt_competes_with_none_of_them() -> None:
    work = engine()
    found = stems(work.run(extract("sax", "hat", "bass", seconds=1.0)))
    assert batches(work) == [3]  # the sax keeps the oboe out, and the others are asked for aloud
    np.testing.assert_allclose(sum(found.values()), audio_of(1.0).samples, atol=1e-7)
    apart = engine()
    apart.run(extract("sax", "hat", "bass", seconds=1.0, joint=False))
    assert sum(batches(apart)) == 3 + 3


def test_joint_stems_lose_what_a_rival_claims_and_still_sum_to_the_mix_with_the_rest() -> None:
    contested, alone = (stems(work.run(extract("sax", "bass"))) for work in (engine(), engine(rivals={})))
    assert norm(contested["sax"]) < 0.8 * norm(alone["sax"])
    assert norm(contested["bass"]) > 0.95 * norm(alone["bass"])
    np.testing.assert_allclose(sum(contested.values()), audio_of().samples, atol=1e-7)


def test_rivals_are_asked_once_in_one_step_and_share_the_encoding() -> None:
    looked = {"defaults": {"extract": {"steps": 3, "overlap": 2, "looks": 4, "guidance": 2.0}}}
    work = engine(**looked)
    work.run(extract("sax", seconds=1.0))
    assert batches(work) == [2] * 12 + [1, 1]  # the sax, four looks of three guided steps; then bass, hat
    assert encoded(work) == 4


def test_rivals_hear_the_same_noise_as_the_first_look() -> None:
    heard: list[bytes] = []

    def listening(latents: Array, conditions: Array) -> Array:
        heard.append(latents[2].tobytes())
        return latents

    fake = model(listening, rivals=RIVALS, defaults={"extract": {"steps": 1, "overlap": 2, "looks": 2}})
    Engine(dataclasses.replace(fake, conditioner=Meanings())).run(extract("sax", seconds=1.0))
    first, second, *rivals = heard
    assert rivals == [first, first] and second != first


def test_rivals_never_make_a_batch_larger() -> None:
    for names in (("sax",), ("sax", "hat"), ("sax", "hat", "bass")):
        rows = [
            max(batches(work))
            for work in (engine(), engine(rivals={}))
            if work.run(extract(*names, seconds=9.0, joint=False))
        ]
        assert rows[0] == rows[1]


@pytest.mark.parametrize("names", [("sax",), ("sax", "bass"), ("bass", "hat", "sax")])
def test_progress_ends_at_its_total(names: tuple[str, ...]) -> None:
    for seconds, is_joint in ((9.0, False), (5.0, True)):
        seen: list[Progress] = []
        engine().run(extract(*names, seconds=seconds, steps=2, joint=is_joint), seen.append)
        assert [one.done for one in seen] == list(range(1, seen[-1].total + 1))


def test_batches_of_any_size_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    job = extract("sax", "bass", seconds=9.0, joint=False)
    first = engine().run(job)
    assert stems(first)["sax"].tobytes() == stems(engine().run(job))["sax"].tobytes()
    monkeypatch.setattr(preserve, "ROWS", 64)
    second = engine().run(job)
    for one, other in zip(first.stems, second.stems, strict=True):
        assert one.audio.samples.tobytes() == other.audio.samples.tobytes()


def test_rivals_are_embedded_once_and_only_when_something_is_extracted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, texts = engine(), []
    plain = Meanings.text

    def counting(self: Meanings, prompts: list[str]) -> Array:
        texts.extend(prompts)
        return plain(self, prompts)

    monkeypatch.setattr(Meanings, "text", counting)
    work.run(Job(Task.ADD, (Prompt("bass"),), audio_of(1.0)))
    assert "hat" not in texts
    for _ in range(2):
        work.run(extract("sax", seconds=1.0))
    assert texts.count("cymbal") == 1


@pytest.mark.parametrize(
    ("rivals", "message"),
    [
        ({"prompts": ["bass", "hat"]}, "rivals.prompts.*not dict"),
        ({"prompts": {"bass": "low end"}}, "rivals.prompts.bass.*not list"),
        ({"prompts": {"bass": ["low end", 3]}}, "list of different names"),
        ({"prompts": {"bass": [" "]}}, "blank"),
        ({"prompts": {str(number): ["x"] for number in range(65)}}, "65; at most 64"),
        ({**RIVALS, "weight": -1}, "rivals.weight.*between 0 and 10"),
        ({**RIVALS, "loud": 11}, "rivals.loud.*between 0 and 10"),
        ({**RIVALS, "margin": "much"}, "rivals.margin.*not a number"),
        ("bass", "rivals.*not dict"),
    ],
)
def test_a_manifest_whose_rivals_make_no_sense_is_damaged(rivals: object, message: str) -> None:
    with pytest.raises(ModelDamaged, match=message):
        manifest(rivals=rivals)


def test_a_manifest_without_rivals_has_none() -> None:
    assert manifest().rivals is None and manifest(rivals={}).rivals is None
    read = manifest(rivals={"prompts": {"bass": ["low end"]}}).rivals
    assert read is not None and (read.weight, read.loud, read.margin) == (1.0, 1.0, 0.12)


@pytest.fixture(scope="module")
def shipped(default_model: Path) -> tuple[Model, Rivals]:
    opened = open_model(default_model, threads=1)
    rivals = rivals_of(opened)
    assert rivals is not None
    return opened, rivals


def kept_out(shipped: tuple[Model, Rivals], *texts: str, joint: bool = True) -> set[str]:
    """Rivals, by class, that do not compete with the first of these prompts."""
    opened, rivals = shipped
    job = Job(Task.EXTRACT, tuple(map(Prompt, texts)), joint=joint)
    roles = TASKS[Task.EXTRACT]
    found = competition(rivals, job, opened, ask(job, opened, roles), roles)
    asked = () if found is None else np.array(found.asked.names)[found.competes[0]]
    return {name.removeprefix("the sound of the ") for name in set(rivals.names) - set(asked)}


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("the sound of the drums", "drums"),
        ("hi-hat", "drums"),
        ("slap bass guitar", "bass"),
        ("rhodes", "piano"),
        ("the vocals", "vocals"),
        ("choir", "vocals"),
        ("synthesizer", "synth pad"),
        ("everything but the drums", "drums"),
        ("no vocals", "vocals"),
        ("horns and strings", "brass, strings"),
        ("drums, bass & piano", "drums, bass, piano"),
        ("keys", "piano, organ, synth pad"),
        ("orchestra", "strings, brass, reed, pipe"),
        ("808", "drums, bass"),
        ("mellotron", "strings, pipe, synth pad"),
    ],
)
def test_what_a_prompt_may_mean_does_not_compete_with_it_and_most_else_does(
    shipped: tuple[Model, Rivals], text: str, out: str
) -> None:
    found = kept_out(shipped, text)
    assert set(out.split(", ")) <= found
    assert len(found) <= len(out.split(", ")) + 1


def test_a_word_the_model_does_not_know_keeps_no_other_from_its_place(shipped: tuple[Model, Rivals]) -> None:
    assert kept_out(shipped, "drums and 鼓") >= {"drums"}
    assert len(kept_out(shipped, "qwxz bleeps")) > 3  # in doubt, out


def test_joint_prompts_keep_each_other_s_rivals_out_and_others_only_their_own(
    shipped: tuple[Model, Rivals],
) -> None:
    assert kept_out(shipped, "drums", "bass guitar", "voice") == {"drums", "bass", "vocals"}
    assert kept_out(shipped, "drums", "bass guitar", "voice", joint=False) == {"drums"}


def test_hardly_any_name_of_an_instrument_competes_with_its_own_class(shipped: tuple[Model, Rivals]) -> None:
    """Names of classes and programs, bare and as a phrase; choir counts as vocals, synth lead as synth pad.

    Measured: 0.06 % of 1,656 texts, and 1.0 others kept out of 12; of a prompt bank's 5,100
    phrases 0.1 % and 1.2.
    """
    own = {"choir": "vocals", "synth lead": "synth pad"}
    opened, rivals = shipped
    names = [name.removeprefix("the sound of the ") for name in rivals.names]
    texts = [
        (form.format(word), names.index(own.get(label, label)))
        for label, program in items_known()
        for word in words_for(label, program)
        for form in ("{}", "soft {}")
    ]
    points = opened.conditioner.text([text for text, _ in texts])
    near = np.stack([rivals.near(point[None]) for point in points])
    itself = near[np.arange(len(texts)), [label for _, label in texts]]
    assert (~itself).mean() < 0.01
    assert near.sum(axis=1).mean() - 1 < 2
