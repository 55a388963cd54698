"""The official checkpoint's shapes, and the numbers its code produced with a small random model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

State = dict[str, Tensor]
SHAPES = Path(__file__).parents[2] / "fixtures" / "official" / "state_dict_shapes.json"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The same sums in the same order on every machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """Only predictions are made."""
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def shapes() -> dict[str, tuple[int, ...]]:
    """Key → shape of every tensor of the official checkpoint."""
    return {key: tuple(shape) for key, shape in json.loads(SHAPES.read_text()).items()}


@pytest.fixture
def hollow(shapes: dict[str, tuple[int, ...]]) -> State:
    """The official checkpoint without its numbers."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.fixture(scope="session")
def tiny(shared: Path) -> State:
    """State and cases of the official code's small random model."""
    path = shared / "fixtures" / "official" / "tiny.safetensors"
    if not path.is_file():
        pytest.skip("needs fixtures/official/tiny.safetensors of the shared fixtures")
    return load_file(path)


@pytest.fixture
def tiny_state(tiny: State) -> State:
    """The small model's checkpoint."""
    return below(tiny, "state_dict/")


@pytest.fixture
def case(tiny: State, request: pytest.FixtureRequest) -> State:
    """Inputs and outputs of the official code, for the case a test names by indirect parametrisation."""
    return below(tiny, f"cases/{request.param}/")


def below(tensors: State, prefix: str) -> State:
    """The tensors under a prefix, without it."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
