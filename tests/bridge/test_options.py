"""The options of a job: the engine's own words and limits, and the job that the command line would make."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemwright.bridge import asking, work
from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BAD_ARGS, BadMessage
from stemwright.bridge.options import BY_NAME, checked
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.request import Request, make
from stemwright.bridge.spool import Spool
from stemwright.bridge.wire import decode, encode
from stemwright.engine.commands.flags import parser
from stemwright.engine.commands.plan import plan
from stemwright.engine.errors import BadJob
from stemwright.engine.job import Job, Prompt
from stemwright.engine.settings import settle
from stemwright.engine.tracks import Task
from tests.engine.command_line import fake_engine, write_song

PAPER = {
    "track": "submix", "grid": "uniform", "last_level": 0.02, "overlap": 9.6, "inpainting": "repaint",
    "resamples": 4, "null": "own", "rescale": 0.7, "posterior": "sample", "guidance": 1.1,
}  # fmt: skip


def sent(task: str, **options: Any) -> Request:
    """As the server has it, after the wire."""
    kind = next(kind for kind in say.REQUESTS if kind.address == f"{say.PREFIX}/{task}")
    pairs = (("prompt", "bass"), *options.items())
    (came,) = decode(encode(kind("a", pairs)))  # type: ignore[call-arg]
    message = kind.parse(list(came.arguments))
    assert isinstance(message, say.JobRequest)
    return make(message.job, task, message.options)


def job(request: Request) -> Job:
    return asking.job(request, asking.prompts(request), request.seed, is_joint=request.joint)


def test_a_request_over_the_wire_is_the_job_of_the_command_line() -> None:
    """Though fractions are rounded to 32 bits on their way."""
    words = [f"--{'last' if name == 'last_level' else name}={value}" for name, value in PAPER.items()]
    told = plan(parser().parse_args(["generate", "bass", "--seed", "3", *words]))
    assert job(sent("generate", **PAPER, seed=3)) == told.job


def test_without_options_the_job_is_the_engines_own() -> None:
    assert job(sent("generate")) == Job(Task.GENERATE, (Prompt("bass"),))


def test_what_the_journal_keeps_of_a_request_is_the_request() -> None:
    asked = sent("generate", **PAPER)
    assert Request.from_json(asked.to_json()) == asked


@pytest.mark.parametrize("value", [0.02, 0.7, 9.6, 1 / 3, 0.0, 2.0, 1e-7])
def test_a_fraction_of_32_bits_is_the_decimal_it_was(value: float) -> None:
    rounded = float(np.float32(value))
    assert asking.meant(rounded) == pytest.approx(value, rel=1e-7)
    assert asking.meant(asking.meant(rounded)) == asking.meant(rounded)
    if value != 1 / 3:
        assert asking.meant(rounded) == value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("inpainting", "repant", "inpainting is 'repant'; it may be adaptive, canonical, repaint"),
        ("grid", "even", "grid is 'even'; it may be auto, uniform, blended"),
        ("null", 1, "null: text is needed, 1 came"),
        ("posterior", "mode", "posterior is 'mode'; it may be mean, sample"),
        ("resamples", 51, "resamples is 51; it may be 1 to 50"),
        ("resamples", 1.5, "resamples: a whole number of 32 bits is needed, 1.5 came"),
        ("last_level", 0.51, "last_level is 0.51; it may be 0 to 0.5"),
        ("rescale", -0.1, "rescale is -0.1; it may be 0 to 1"),
        ("overlap", float("nan"), "overlap: a number is needed, nan came"),
        ("resample", 2, "no option 'resample'; there are: prompt, "),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(name: str, value: Any, told: str) -> None:
    with pytest.raises(BadMessage) as caught:
        make("a", "generate", [("prompt", "bass"), (name, value)])
    assert caught.value.code == BAD_ARGS and str(caught.value).startswith(told)


@pytest.mark.parametrize("name", ["steps", "guidance", "last_level", "resamples", "rescale"])
def test_the_engine_takes_the_ends_of_a_range_and_no_more(name: str) -> None:
    option, manifest = BY_NAME[name], fake_engine().model.manifest
    field = next(field for told, field, _ in asking.TOLD if told == name)
    usual = Job(Task.GENERATE, (Prompt("bass"),))
    assert option.low is not None and option.high is not None
    for value in (option.low, option.high):
        settle(replace(usual, **{field: value}), manifest)  # type: ignore[arg-type]
    beyond = 1 if option.kind == "i" else 0.01
    for value in (option.low - beyond, option.high + beyond):
        with pytest.raises(BadJob):
            settle(replace(usual, **{field: value}), manifest)  # type: ignore[arg-type]


def test_every_word_of_an_option_is_the_engines() -> None:
    manifest = fake_engine().model.manifest
    for name in ("sampler", "grid", "inpainting", "null", "posterior"):
        for word in BY_NAME[name].values:
            request = sent("generate", **{name: word})
            assert checked(name, word) == word
            settle(job(request), manifest)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"inpainting": "canonical", "resamples": 2}, "canonical inpainting takes every step once"),
        ({"inpainting": "repaint", "sampler": "unipc"}, "choose ddim"),
        ({"track": "drums"}, 'has no track "drums"; its tracks are mix, submix, source'),
        ({"overlap": 3000.0}, "three quarters of the model's window"),
    ],
)
def test_what_only_the_engine_can_judge_ends_the_job_in_its_words(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    request = sent("extract", path=str(write_song(tmp_path / "song.wav")), **options)
    folder = Spool(tmp_path / "spool").open(request, is_new=True)
    events: list[WorkEvent] = []
    work.do(fake_engine(), [request], [folder], events.append, lambda job: False)
    (end,) = events
    assert (end.kind, end.code) == ("failed", "bad_job") and told in end.text
