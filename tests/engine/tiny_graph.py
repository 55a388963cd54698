"""ONNX graphs of one node, written byte by byte, so that the tests need no exporter."""


def _number(value: int) -> bytes:
    """A protobuf varint."""
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _number(rest) if rest else bytes([low])


def _field(place: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _number(place << 3) + _number(value)
    content = value.encode() if isinstance(value, str) else value
    return _number(place << 3 | 2) + _number(len(content)) + content


def _tensor(name: str, rank: int) -> bytes:
    """A float32 input or output of free sizes."""
    sizes = b"".join(_field(1, _field(2, f"{name}_{axis}")) for axis in range(rank))
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sizes)))


def graph(kind: str, inputs: dict[str, int], output: str, used: tuple[str, ...]) -> bytes:
    """output = kind(used…), e.g. "Neg"; `inputs` are names and ranks, the output is as the first used."""
    node = b"".join(_field(1, name) for name in used) + _field(2, output) + _field(4, kind)
    body = _field(1, node) + _field(2, "tiny")
    body += b"".join(_field(11, _tensor(name, rank)) for name, rank in inputs.items())
    body += _field(12, _tensor(output, inputs[used[0]]))
    return _field(1, 8) + _field(7, body) + _field(8, _field(2, 17))


def denoiser() -> bytes:
    """A denoiser whose v is the latents turned round, so that one step gives the noise itself."""
    return graph("Neg", {"latents": 4, "levels": 2, "conditions": 3}, "velocity", ("latents",))


def vocoder() -> bytes:
    """Latents (B, 1, T) are their own waves but for the axis: enough to see that it is called."""
    return graph("Neg", {"latents": 3}, "waves", ("latents",))
