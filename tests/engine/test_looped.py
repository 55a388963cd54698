"""A whole sampling on the card. The card is a fake; the kernel's own text is read by a small interpreter."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from stemwright.engine import guidance, sampler, schedule
from stemwright.engine.contracts import Array
from stemwright.engine.errors import DeviceLost
from stemwright.engine.runtimes import cuda, kernel, plans
from stemwright.engine.runtimes.course import LONGEST, Sampling, at_once, course
from stemwright.engine.runtimes.graphs import GraphDenoiser, Rescued
from stemwright.engine.runtimes.looped import Shape
from stemwright.engine.runtimes.tensorrt import LOOPS, PlanGraph
from tests.engine.fake_card import FakeCard, FakeEngine, api_of, summed

ROWS, TRACKS, LATENTS, WIDTH = 3, 3, (4, 5), 7
RECIPE = plans.Recipe("m", "denoiser", "w", "g", "fp32", (), (1, 2, 8), "tensorrt_rtx", "1.7.1", (), "s")


def network(latents: Array, levels: Array, conditions: Array) -> Array:
    """Everything it is given matters, in every row for itself and across tracks."""
    mixed = latents[:, [1, 2, 0]] * 0.5 + latents
    pull = np.tanh(conditions.sum(axis=2))[..., None, None]
    out: Array = np.tanh(mixed * (0.3 + levels[..., None, None]) + pull).astype(np.float32)
    return out


@dataclass(frozen=True)
class Asked:
    """A sampling, and the same as the sampler is asked for it step by step."""

    sampling: Sampling
    which: str
    scales: tuple[float, ...]
    negatives: Array

    def step_by_step(self, denoiser: Any = network) -> Array:
        one = self.sampling
        guided = guidance.guided(denoiser, one.conditions[0], self.scales, self.negatives)
        levels = schedule.grid(len(one.course.levels))
        return sampler.named(self.which)(guidance.held(guided, one.given, one.is_given), one.noise, levels)


def asked(
    which: str = "unipc",
    steps: int = 8,
    scales: tuple[float, ...] = (1.0, 1.0, 1.0),
    given: tuple[int, ...] = (0,),
    *,
    rows: int = ROWS,
    seed: int = 0,
) -> Asked:
    random = np.random.default_rng(seed)
    is_given = np.isin(np.arange(TRACKS), given)

    def normal(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    both = normal(2, rows, TRACKS, WIDTH)
    weights = np.array(scales, np.float32)
    mixing = np.stack([weights, 1 - weights], axis=1)
    forwards = 1 if np.all(weights == 1) else 2
    one = Sampling(
        noise=normal(rows, int((~is_given).sum()), *LATENTS),
        given=normal(rows, TRACKS, *LATENTS),
        is_given=is_given,
        conditions=both[:forwards],
        mixing=mixing[:, :forwards],
        course=course(sampler.named(which), schedule.grid(steps)),
    )
    return Asked(one, which, scales, both[1])


def opened(card: FakeCard, most: int = 8) -> tuple[PlanGraph, FakeEngine]:
    engine = FakeEngine(card, network)
    recipe = plans.Recipe(**{**RECIPE.__dict__, "profile": (1, 2, most)})
    plan = plans.Plan(recipe, b"plan", {})
    return PlanGraph(plan, api_of(engine), card), engine  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["ddim", "unipc", "ab2"])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 20])
def test_a_course_is_the_samplers_own_way_for_any_answers(which: str, steps: int) -> None:
    random = np.random.default_rng(steps)
    laid = course(sampler.named(which), schedule.grid(steps))
    answers = random.standard_normal((steps, 6)).astype(np.float32)
    known = np.concatenate([random.standard_normal((1, 6)), answers]).astype(np.float32)
    states: list[Array] = []

    def answer(latents: Array, level: float) -> Array:
        assert level == laid.levels[len(states)]
        states.append(latents)
        return answers[len(states) - 1]

    clean = sampler.named(which)(answer, known[0], schedule.grid(steps))
    np.testing.assert_allclose(laid.weights @ known, [*states, clean], atol=2e-5)  # measured 2e-6
    assert not np.triu(laid.weights, 1).any()  # nothing is used before it is known


@pytest.mark.parametrize("which", ["ddim", "unipc", "ab2"])
@pytest.mark.parametrize(
    ("scales", "given"),
    [
        ((1.0, 1.0, 1.0), (0,)),
        ((1.0, 3.0, 2.0), (0,)),
        ((1.0, 3.0, 2.0), (1,)),
        ((2.0, 2.0, 2.0), ()),
        ((1.0, 1.0, 1.0), (0, 2)),
    ],
)
def test_a_sampling_at_once_is_the_one_step_by_step(
    which: str, scales: tuple[float, ...], given: tuple[int, ...]
) -> None:
    one = asked(which, 8, scales, given)
    card = FakeCard()
    graph, engine = opened(card)
    expected = one.step_by_step()
    for _ in range(3):  # worked, captured, launched again
        np.testing.assert_allclose(
            at_once(GraphDenoiser(graph), one.sampling), expected, atol=2e-5
        )  # measured 3e-6
    assert (
        card.launches == 3 and engine.contexts == 2
    )  # one launch to compare; the plan's context, the loop's


def test_another_job_of_the_same_shape_is_the_same_graph_with_other_numbers() -> None:
    card = FakeCard()
    graph, engine = opened(card)
    graph.loop(asked("unipc", 8, (1.0, 3.0, 2.0), seed=1).sampling)
    made = card.used
    for seed, which, scale in ((2, "ab2", 5.0), (3, "ddim", 2.0)):
        one = asked(which, 8, (1.0, scale, scale), seed=seed)
        np.testing.assert_allclose(graph.loop(one.sampling), one.step_by_step(), atol=2e-5)
    assert (card.used, engine.contexts, card.launches) == (made, 2, 3)


def test_more_rows_than_the_plan_takes_are_done_in_parts() -> None:
    graph, engine = opened(FakeCard(), most=4)
    one = asked(scales=(1.0, 2.0, 2.0), rows=5)
    np.testing.assert_allclose(graph.loop(one.sampling), one.step_by_step(), atol=2e-5)
    assert engine.most_rows == 4  # two at a time, with the prompt and without
    assert opened(FakeCard(), most=1)[0].loop(one.sampling) is None


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_network_that_cannot_be_captured_is_run_without_a_graph(how: str) -> None:
    card = FakeCard(can_capture=how != "refuses")
    graph, engine = opened(card)
    engine.is_silent = how == "is silent"
    one = asked()
    for _ in range(2):
        np.testing.assert_allclose(graph.loop(one.sampling), one.step_by_step(), atol=2e-5)
    assert card.launches == (1 if how == "is silent" else 0)  # tried once, compared, and left


def test_a_context_that_says_it_cannot_be_captured_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.fake_card import FakeContext

    monkeypatch.setattr(FakeContext, "is_stream_capturable", lambda self, stream: False, raising=False)
    card = FakeCard()
    graph, _ = opened(card)
    one = asked()
    np.testing.assert_allclose(graph.loop(one.sampling), one.step_by_step(), atol=2e-5)
    assert card.launches == 0


def test_shapes_not_used_for_longest_are_given_back() -> None:
    card = FakeCard()
    graph, _ = opened(card)
    for rows in range(1, LOOPS + 2):
        graph.loop(asked(rows=rows).sampling)
    assert {name.split("rows=")[1].split(",")[0] for name in card.freed} == {"1"}
    assert len(card.buffers) == LOOPS * len(Shape.of(asked().sampling).sizes)


def test_a_card_too_small_for_the_loop_goes_step_by_step_and_a_lost_one_is_rescued() -> None:
    card = FakeCard(numbers=3000)
    graph, engine = opened(card)
    one = asked(steps=20)
    denoiser = GraphDenoiser(graph)
    assert at_once(denoiser, one.sampling) is None and not card.buffers
    np.testing.assert_allclose(one.step_by_step(denoiser), one.step_by_step(), atol=2e-5)

    told: list[str] = []
    engine.is_lost = True
    rescued = Rescued(denoiser, lambda: network, told)
    assert at_once(rescued, one.sampling) is None and told == []
    np.testing.assert_allclose(one.step_by_step(rescued), one.step_by_step(), atol=2e-5)
    assert len(told) == 1 and "the processor took over" in told[0]


def test_a_card_that_goes_during_a_loop_costs_a_remark_not_the_job() -> None:
    class Gone:
        is_looping = True

        def __call__(self, *arrays: Array) -> Array:
            raise DeviceLost("gone")

        def loop(self, one: Sampling) -> Array | None:
            raise DeviceLost("cuGraphLaunch: the graphics card failed")

    told: list[str] = []
    rescued = Rescued(Gone(), lambda: network, told)
    one = asked()
    assert at_once(rescued, one.sampling) is None
    np.testing.assert_array_equal(one.step_by_step(rescued), one.step_by_step())
    assert told == ["the processor took over: cuGraphLaunch: the graphics card failed"]


def test_what_cannot_loop_and_what_takes_too_long_is_left_to_the_sampler() -> None:
    assert at_once(network, asked().sampling) is None
    assert at_once(GraphDenoiser(opened(FakeCard())[0]), asked(steps=LONGEST + 1).sampling) is None


def executed(text: str, slabs: cuda.Slabs, heap: Array, x: int, y: int) -> None:
    """One thread of the kernel: its PTX line by line, as far as it uses the language."""
    parameters = dict(zip(re.findall(r"\.param \.\w+ (p_\w+)", text), _values(slabs), strict=True))
    body = text[text.index("{") + 1 : text.rindex("}")]
    lines = [line.split("//")[0].strip() for line in body.splitlines()]
    lines = [line for line in lines if line and not line.startswith(".reg")]
    labels = {line[:-1]: place for place, line in enumerate(lines) if line.endswith(":")}
    special = {"%ctaid.x": x // kernel.THREADS, "%ntid.x": kernel.THREADS, "%tid.x": x % kernel.THREADS}
    held: dict[str, Any] = {**special, "%ctaid.y": y, "0f00000000": np.float32(0)}
    place = 0
    while not lines[place].startswith("ret"):
        line, place = lines[place], place + 1
        if line.endswith(":"):
            continue
        if jump := re.fullmatch(r"(?:@(%p\d+) )?bra (\w+);", line):
            if jump[1] is None or held[jump[1]]:
                place = labels[jump[2]]
            continue
        kind, _, operands = line.rstrip(";").partition(" ")
        into, *names = [name.strip() for name in operands.split(",")]
        if kind.startswith("st.global"):
            heap[held[into.strip("[]")] // 4] = held[names[0]]
            continue
        given = [_read(name, held, parameters, heap) for name in names]
        held[into] = OPERATIONS[kind](*given)


def _values(slabs: cuda.Slabs) -> tuple[int, ...]:
    wide = (slabs.out, slabs.base, slabs.weights, slabs.slab, slabs.in_row, slabs.out_row)
    return (*wide, slabs.length, slabs.count)


def _read(name: str, held: dict[str, Any], parameters: dict[str, int], heap: Array) -> Any:
    if name.startswith("["):
        inner = name.strip("[]")
        return parameters[inner] if inner in parameters else heap[held[inner] // 4]
    return held[name] if name in held else int(name)


OPERATIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        ("mov.u32", "mov.f32", "ld.param.u32", "ld.param.u64", "ld.global.f32", "cvt.u64.u32"), lambda a: a
    ),
    "mad.lo.u32": lambda a, b, c: a * b + c,
    "mad.lo.u64": lambda a, b, c: a * b + c,
    "add.u64": lambda a, b: a + b,
    "sub.u32": lambda a, b: a - b,
    "shl.b64": lambda a, b: a << b,
    "setp.ge.u32": lambda a, b: a >= b,
    "setp.eq.u32": lambda a, b: a == b,
    "fma.rn.f32": lambda a, b, c: np.float32(np.float64(a) * np.float64(b) + np.float64(c)),
}


def test_the_kernels_text_computes_the_sum_it_says() -> None:
    heap = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    slabs = cuda.Slabs(
        out=4 * 3000,
        base=4 * 16,
        weights=4 * 2900,
        slab=700,
        in_row=310,
        out_row=300,
        length=270,
        count=3,
        rows=2,
    )
    expected = heap.copy()
    summed(expected, slabs)
    blocks = -(-slabs.length // kernel.THREADS)
    for y in range(slabs.rows):
        for x in range(blocks * kernel.THREADS):
            executed(kernel.WEIGHTED, slabs, heap, x, y)
    np.testing.assert_allclose(heap, expected, atol=1e-6)  # measured 2e-7
    assert (heap[3000:3270] != 0).all() and heap[3270] == expected[3270]


class Driver:
    """libcuda that says yes to everything, and keeps what it was asked."""

    def __init__(self, fails: str = "") -> None:
        self.calls: list[str] = []
        self.fails = fails

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return 719 if name == self.fails else 0

        return call


SLABS = cuda.Slabs(0, 0, 0, 1, 1, 1, 300, 2, 4)


def test_a_capture_is_ended_whatever_happens_in_it() -> None:
    driver = Driver()
    memory = cuda.Memory(0, driver)
    memory.launch(memory.captured(lambda: memory.weighted(SLABS)))
    assert driver.calls[-8:] == [
        "cuStreamBeginCapture_v2",
        "cuModuleLoadData",
        "cuModuleGetFunction",
        "cuLaunchKernel",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
    ]
    failing = Driver(fails="cuLaunchKernel")
    with pytest.raises(DeviceLost, match="cuLaunchKernel: the graphics card failed"):
        cuda.Memory(0, failing).captured(lambda: cuda.Memory(0, failing).weighted(SLABS))
    assert failing.calls[-1] == "cuStreamEndCapture"


def test_the_kernel_is_translated_once() -> None:
    driver = Driver()
    memory = cuda.Memory(0, driver)
    for _ in range(3):
        memory.weighted(SLABS)
    assert driver.calls.count("cuModuleLoadData") == 1 and driver.calls.count("cuLaunchKernel") == 3


def test_work_is_timed_by_the_cards_own_clock_and_its_events_are_given_back() -> None:
    driver = Driver()
    assert cuda.Memory(0, driver).timed(lambda: driver.calls.append("work")) == 0
    assert driver.calls[-8:] == [
        "cuEventCreate",
        "cuEventRecord",
        "work",
        "cuEventRecord",
        "cuEventSynchronize",
        "cuEventElapsedTime",
        "cuEventDestroy_v2",
        "cuEventDestroy_v2",
    ]


def test_what_was_run_or_captured_can_be_put_on_the_stream_again() -> None:
    card = FakeCard()
    graph, _ = opened(card)
    one = asked().sampling
    with pytest.raises(DeviceLost, match="was not captured"):
        graph.loop_again(one)
    graph.loop(one)
    graph.loop_again(one)
    assert card.launches == 2
    graph.run(latents=one.given, levels=np.ones((ROWS, TRACKS), np.float32), conditions=one.conditions[0])
    graph.again()
