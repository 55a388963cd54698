"""Plans: what is refused before a byte is deserialised. There is no card; the deserialiser is a fake."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.errors import DeviceLost, PlanRefused
from stemwright.engine.runtimes import plans
from stemwright.engine.runtimes.tensorrt import PlanGraph
from tests.engine.fake_tensorrt import FakeApi, FakeMemory

RECIPE = plans.Recipe(
    model="/models/default",
    part="denoiser",
    weights="a" * 64,
    graph="b" * 64,
    precision="fp16",
    singles=("noise.",),
    profile=(1, 2, 2),
    builder="tensorrt_rtx",
    version="1.7.1",
    cards=("SM86", "SM89"),
    system=plans.this_system(),
)
CONTENT = b"a plan's bytes" * 100
FIELDS = ("model", "part", "weights", "graph", "builder", "version", "system", "export", "device")
NOW = {field: asdict(RECIPE)[field] for field in FIELDS}

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return plans.store(tmp_path / "plans", RECIPE, CONTENT, {"inputs": {}, "outputs": {}})


def opened(folder: Path, api: FakeApi, card: str = "SM89", **changes: object) -> PlanGraph:
    plan = plans.find(folder, {**NOW, **changes}, card)
    return PlanGraph(plan, api, api.memory)  # type: ignore[arg-type]


def test_a_plan_that_fits_runs_and_a_large_batch_is_done_in_parts(stored: Path) -> None:
    api = FakeApi(FakeMemory())
    graph = opened(stored.parent, api)
    assert api.taken == [CONTENT]
    assert (graph.inputs, graph.outputs) == (("latents",), ("velocity",))
    latents = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(graph.run(latents=latents)[0], -latents)
    assert api.shapes["latents"] == (1, 3)  # of 2, 2 and 1


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def other_cards(path: Path) -> None:
    about = path.with_suffix(".json")
    about.write_text(about.read_text().replace('"SM86"', '"SM75"'))


def forget(path: Path) -> None:
    path.with_suffix(".json").unlink()


def link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip, "altered"),
        (lengthen, "altered"),
        (other_cards, "its key is not its recipe's"),
        (forget, "cannot be read"),
        pytest.param(link, "cannot be read", marks=posix),
    ],
)
def test_a_plan_that_was_touched_is_never_deserialised(
    stored: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(stored)
    api = FakeApi(FakeMemory())
    with pytest.raises(PlanRefused, match=words) as refusal:
        opened(stored.parent, api)
    assert "stemwright export plan" in str(refusal.value) and api.taken == []


@pytest.mark.parametrize(
    ("field", "now"),
    [
        ("weights", "c" * 64),
        ("graph", "c" * 64),
        ("version", "1.8.0"),
        ("export", 99),
        ("system", "plan9"),
        ("device", "another card"),
    ],
)
def test_a_plan_of_another_weight_version_or_system_is_never_deserialised(
    stored: Path, field: str, now: object
) -> None:
    api = FakeApi(FakeMemory())
    with pytest.raises(PlanRefused, match=rf"its {field} was .* now. Build it"):
        opened(stored.parent, api, **{field: now})
    assert api.taken == []


def test_a_plan_for_another_card_is_refused_with_the_command_that_builds_one(stored: Path) -> None:
    api = FakeApi(FakeMemory())
    with pytest.raises(PlanRefused, match=r"for SM86, SM89; this card is SM90.*export plan --cards this"):
        opened(stored.parent, api, card="SM90")
    assert api.taken == []


@posix
@pytest.mark.parametrize("mode", [0o777, 0o755, 0o720])
def test_a_folder_open_to_others_is_not_trusted(stored: Path, mode: int) -> None:
    stored.parent.chmod(mode)
    api = FakeApi(FakeMemory())
    with pytest.raises(PlanRefused, match="is open to others"):
        opened(stored.parent, api)
    with pytest.raises(PlanRefused, match="is open to others"):
        plans.store(stored.parent, RECIPE, CONTENT, {})
    assert api.taken == []


@posix
def test_a_folder_that_is_a_link_or_another_users_is_not_trusted(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(stored.parent)
    with pytest.raises(PlanRefused, match="is a link"):
        plans.find(tmp_path / "link", NOW, "SM89")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(PlanRefused, match="another user"):
        plans.find(stored.parent, NOW, "SM89")


@posix
def test_the_folder_and_its_files_are_the_users_alone(stored: Path) -> None:
    assert stored.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in stored.parent.iterdir()} == {0o600}
    assert sorted(path.suffix for path in stored.parent.iterdir()) == [".json", ".plan"]  # no part is left


def test_the_manifest_says_all_of_the_recipe_and_every_field_changes_the_key(stored: Path) -> None:
    about = json.loads(stored.with_suffix(".json").read_text())
    assert about["recipe"] == json.loads(json.dumps(asdict(RECIPE)))
    other = {"profile": (1, 2, 4), "singles": (), "cards": ("SM86",), "export": 99}
    keys = {replace(RECIPE, **{field: other.get(field, "other")}).key for field in asdict(RECIPE)}
    assert len(keys | {RECIPE.key}) == len(asdict(RECIPE)) + 1


def test_a_plan_built_again_takes_the_place_of_the_one_before(stored: Path) -> None:
    newer = replace(RECIPE, version="1.8.0")
    assert plans.store(stored.parent, newer, b"newer", {}) == stored
    assert plans.fetch(stored).content == b"newer"


def test_without_a_plan_the_command_that_builds_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=r"no plan was built here. Build it: stemwright export plan"):
        plans.find(tmp_path / "none", NOW, "SM89")


def test_a_card_that_does_not_run_a_plan_is_lost_not_silent(stored: Path) -> None:
    graph = opened(stored.parent, FakeApi(FakeMemory(), is_lost=True))
    with pytest.raises(DeviceLost, match="did not run it"):
        graph.run(latents=np.ones((1, 3), np.float32))
