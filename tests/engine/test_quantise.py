"""The fast profile: graphs rewritten without the onnx package, products in 8 bits, and who may use them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemwright.engine.cli import main
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import BadJob, ModelDamaged
from stemwright.engine.runtimes import choice, cuda, onnxfile, profiles
from stemwright.engine.runtimes.ort import Graph
from stemwright.engine.runtimes.quantise import FIRST_BLOCK, LARGEST, quantised, rewritten, stored
from tests.engine.tiny_graph import denoiser

onnx = pytest.importorskip("onnx", reason="needs the test extra")
WIDTH = 128


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of our own, and no card."""
    monkeypatch.setattr(profiles, "own_folder", lambda kind: tmp_path / kind)
    monkeypatch.setattr(cuda, "cards", tuple)
    return tmp_path / "cache" / "profiles"


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def block(width: int = WIDTH, blocks: int = 2) -> Any:
    """v = latents → blocks of norm, scale and shift, up, down, gate, as the default model's; width as T.

    The condition's layer takes the first condition's 8 numbers.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, x = [], {"ones": np.ones(width, np.float32), "one": np.float32(1)}, "latents"
    constants["axes"] = np.array([1, 2])
    nodes.append(helper.make_node("Slice", ["conditions", "from", "to", "track"], ["told"]))
    nodes.append(helper.make_node("Squeeze", ["told", "track"], ["prompt"]))
    constants |= {"from": np.array([0]), "to": np.array([1]), "track": np.array([1])}
    for index in range(blocks):
        p = f"b{index}."
        constants[p + "layer"], constants[p + "layer.bias"] = normal(3 * width, 8) / 9, normal(3 * width) / 3
        constants[p + "up"] = (normal(width, 2 * width) / 12).astype(np.float16)
        constants[p + "down"], constants[p + "bias"] = normal(width, 2 * width) / 16, normal(2 * width)
        constants[p + "bias.down"] = normal(width)
        nodes += [
            helper.make_node("Gemm", ["prompt", p + "layer", p + "layer.bias"], [p + "flat"], transB=1),
            helper.make_node("Unsqueeze", [p + "flat", "axes"], [p + "deep"]),
            helper.make_node("Split", [p + "deep"], [p + "a", p + "b", p + "c"], axis=3, num_outputs=3),
            helper.make_node("LayerNormalization", [x, "ones"], [p + "norm"], axis=-1, epsilon=1e-5),
            helper.make_node("Add", ["one", p + "a"], [p + "scale"]),
            helper.make_node("Mul", [p + "scale", p + "norm"], [p + "scaled"]),
            helper.make_node("Add", [p + "scaled", p + "b"], [p + "shifted"]),
            helper.make_node("Cast", [p + "up"], [p + "up.full"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [p + "shifted", p + "up.full"], [p + "product"]),
            helper.make_node("Add", [p + "bias", p + "product"], [p + "wide"]),
            helper.make_node("Sigmoid", [p + "wide"], [p + "soft"]),
            helper.make_node("Mul", [p + "wide", p + "soft"], [p + "silu"]),
            helper.make_node("Transpose", [p + "down"], [p + "down.turned"], perm=[1, 0]),
            helper.make_node("MatMul", [p + "silu", p + "down.turned"], [p + "narrow"]),
            helper.make_node("Add", [p + "narrow", p + "bias.down"], [p + "full"]),
            helper.make_node("Mul", [p + "c", p + "full"], [p + "gated"]),
            helper.make_node("Add", [x, p + "gated"], [p + "out"]),
        ]
        x = p + "out"
    nodes.append(helper.make_node("ReduceMax", ["levels", "track"], ["greatest"]))
    nodes.append(helper.make_node("Unsqueeze", ["greatest", "axes"], ["level"]))
    nodes.append(helper.make_node("Add", [x, "level"], ["velocity"]))
    sizes = {"latents": ["B", 3, 12, width], "levels": ["B", 3], "conditions": ["B", 3, 8]}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in sizes.items()]
    made = helper.make_graph(
        nodes,
        "blocks",
        ports,
        [helper.make_tensor_value_info("velocity", TensorProto.FLOAT, sizes["latents"])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(made, opset_imports=opset, ir_version=10)


def saved(model: Any, path: Path, *, is_apart: bool = False) -> Path:
    onnx.save_model(
        model,
        path,
        save_as_external_data=is_apart,
        location="weights.bin",
        size_threshold=1024,
        convert_attribute=False,
    )
    return path


def inputs(batch: int = 1, width: int = WIDTH) -> dict[str, Array]:
    levels = np.broadcast_to(np.array([0, 1, 1], np.float32), (batch, 3)).copy()
    return {"latents": normal(batch, 3, 12, width), "levels": levels, "conditions": normal(batch, 3, 8)}


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_graph_that_is_read_and_written_computes_the_same_bytes(tmp_path: Path, is_apart: bool) -> None:
    path = saved(block(), tmp_path / "blocks.onnx", is_apart=is_apart)
    again = Graph(onnxfile.written(onnxfile.read(path)))
    asked = inputs(2)
    np.testing.assert_array_equal(again.run(**asked)[0], Graph(path).run(**asked)[0])


def test_the_shipped_graph_is_read_and_written_to_the_same_bytes(default_model: Path) -> None:
    path = default_model / "denoiser.onnx"
    best, again = Graph(path), Graph(onnxfile.written(onnxfile.read(path)))
    from stemwright.engine.runtimes.golden import drawn

    asked = {name: array[:1] for name, array in drawn(best.ports, 0).items()}
    np.testing.assert_array_equal(again.run(**asked)[0], best.run(**asked)[0])


def test_products_take_bias_and_gate_and_norms_what_scales_them(tmp_path: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    made, count = rewritten(onnxfile.read(path))
    kinds = [node.kind for node in onnxfile.used(made, ["velocity"]).nodes]
    assert count == kinds.count("DynamicQuantizeMatMul") == 4
    assert "MatMul" not in kinds
    # 1 + scale of two norms, two residuals, and the level; nothing else is left between
    assert kinds.count("Add") == 5
    assert kinds.count("Reshape") == 6


def test_8_bits_come_near_full_precision(tmp_path: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    fast, best = Graph(quantised(path)[0]), Graph(path)
    for _ in range(3):
        asked = inputs()
        one, other = (graph.run(**asked)[0] for graph in (fast, best))
        # Measured: 0.012 of the greatest
        assert np.abs(one - other).max() < 0.04 * np.abs(other).max()
        assert not np.array_equal(one, other)


def test_the_first_block_stays_single_where_it_is_asked_to(tmp_path: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    assert quantised(path)[1] == 4
    assert quantised(path, FIRST_BLOCK)[1] == 2


def test_a_weight_is_rounded_by_half_a_step_at_most_and_has_7_bits() -> None:
    weight = normal(200, 96)
    weight[:, 3] = 0
    found = stored("w", weight)
    whole, scales = found["w.whole"].astype(np.float32), found["w.scales"]
    assert np.abs(whole).max() == LARGEST
    assert (np.abs(whole * scales - weight) <= scales / 2 * 1.0001).all()
    assert not found["w.zeros"].any()


@pytest.mark.parametrize("level", [1.0, 0.02])
def test_a_row_does_not_depend_on_those_it_comes_with(tmp_path: Path, level: float) -> None:
    fast = profiles.Fast(saved(block(), tmp_path / "blocks.onnx"), threads=1)
    asked = inputs(3)
    asked["levels"] *= np.float32(level)
    asked["latents"][1] *= 50  # would widen everybody's range
    together = fast.run(**asked)[0]
    for row in range(3):
        alone = fast.run(**{name: array[row : row + 1] for name, array in asked.items()})[0]
        np.testing.assert_array_equal(together[row : row + 1], alone)


def test_low_levels_are_computed_by_a_graph_with_a_single_first_block(tmp_path: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    fast, asked = profiles.Fast(path, threads=1), inputs()
    asked["levels"][:] = [0, 0.1, 0.1]
    careful = Graph(quantised(path, FIRST_BLOCK)[0])
    np.testing.assert_array_equal(fast.run(**asked)[0], careful.run(**asked)[0])


@pytest.mark.parametrize("place", ["absent", "short", "outside"])
def test_weights_beside_a_graph_that_are_not_whole_are_damage(tmp_path: Path, place: str) -> None:
    path = saved(block(), tmp_path / "blocks.onnx", is_apart=True)
    weights = tmp_path / "weights.bin"
    if place == "absent":
        weights.unlink()
    elif place == "short":
        weights.write_bytes(weights.read_bytes()[:-9])
    else:
        path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../ghts.bin"))
    with pytest.raises(ModelDamaged, match=r"blocks\.onnx.*Install the model again"):
        quantised(path)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_bytes_are_read_as_anything_but_a_graph_or_damage(data: st.DataObject) -> None:
    whole = bytearray(denoiser())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(whole[: data.draw(st.integers(0, len(whole)))])

    class Read(type(Path())):  # type: ignore[misc]
        def read_bytes(self) -> bytes:
            return content

    try:
        onnxfile.read(Read("graph.onnx"))
    except ModelDamaged as error:
        assert "graph.onnx" in str(error)


def network(path: Path, profile: str) -> choice.Network:
    def eager() -> Any:
        raise AssertionError("torch was not asked for")

    return choice.Network(path.parent, path, None, ("a", "b"), eager, profile=profile)


def test_a_model_without_wide_products_has_the_best_profile_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(denoiser())
    opened = choice.open_denoiser(network(path, "fast"), "cpu")
    assert opened.told == [
        "the fast profile is not used for this model: its products are too narrow for 8 bits, or "
        "ONNX Runtime is too old"
    ]
    assert opened.profile.startswith("best: ")


def test_8_bits_that_are_not_near_enough_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    monkeypatch.setattr(profiles, "NEAREST", 1.1)
    opened = choice.open_denoiser(network(path, "fast"), "cpu")
    assert "a cosine of 0.9" in opened.told[0] and "less than 1.1" in opened.told[0]
    asked = inputs()
    np.testing.assert_array_equal(
        opened.denoiser(asked["latents"], asked["levels"], asked["conditions"]), Graph(path).run(**asked)[0]
    )


def test_a_verdict_is_measured_once_and_again_where_it_cannot_be_read(tmp_path: Path, cache: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    first = profiles.computed(path, 1, "fast", ("a", "b"))
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600 and cache.stat().st_mode & 0o777 == 0o700
    true = json.loads(kept.read_text())["cosine"]
    kept.write_text('{"cosine": 0.5}')
    assert profiles.computed(path, 1, "fast", ("a", "b")).profile == "best"
    for damaged in ("", "{", "[]", '{"cosine": "high"}'):
        kept.write_text(damaged)
        assert profiles.computed(path, 1, "fast", ("a", "b")).why == first.why
        assert json.loads(kept.read_text())["cosine"] == true
    assert profiles.computed(path, 1, "fast", ("a", "other weights")).profile == "fast"
    assert len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, cache: Path) -> None:
    path = saved(block(), tmp_path / "blocks.onnx")
    cache.parent.write_text("a file where the folder belongs")
    assert profiles.computed(path, 1, "fast", ("a", "b")).profile == "fast"


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(BadJob, match='no profile "quick"; give best or fast'):
        Engine.load(profile="quick")


def test_the_command_line_refuses_an_unknown_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "song.wav", "bass", "--profile", "quick"]) == 2
    assert "--profile" in capsys.readouterr().err


@pytest.mark.usefixtures("default_model")
def test_doctor_says_which_profile_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["used"]["profile"] == "best: full precision"
    assert main(["doctor", "--profile", "fast"]) == 0
    assert "products in 8 bits; cosine with full precision 0.99" in capsys.readouterr().out


def test_on_another_device_the_fast_profile_says_that_it_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(denoiser())
    monkeypatch.setattr(choice, "_opened", lambda network, asked: choice.Opened(None, "cuda", ""))  # type: ignore[arg-type]
    assert choice.open_denoiser(network(path, "fast"), "cuda").told == [
        "the fast profile is the processor's; on cuda it changes nothing"
    ]
