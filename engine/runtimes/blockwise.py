"""A drawing's product in 8 bits by blocks: 128 inputs of a token, and of an output's weights, share a scale.

One scale for all of what comes in, as where a graph was traced, is too coarse for a network this deep: at the
published sizes with random weights the cosine of v was 0.995 with 7 bits and one scale, 0.9988 by blocks, and
0.9993 by blocks but for the first sixth of the products, whose errors all the others carry on. Those stay
single; at low levels, too, that is then near enough (0.9997). Blocks of 32 come nearer (0.9991, all of the
products), and take a quarter more time.
"""

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.onnxfile import MICROSOFT, Constant, Node
from stemwright.engine.runtimes.sketch import encoded

BLOCK = 128  # inputs of one scale
EARLY = 6  # the first of so many parts of a drawing's products stay single
LARGEST = 127
ZERO = 128  # what 0 is stored as
IN_8_BITS = 4  # ONNX Runtime's level of accuracy at which what comes in is put on 8 bits as well


def in_blocks(node: Node, weight: Array) -> tuple[Node, dict[str, Constant]]:
    """x @ weight (+ bias) as MatMulNBits, and its constants.

    weight  (inputs, outputs), a multiple of BLOCK of inputs
    """
    name, (inputs, outputs) = node.outputs[0], weight.shape
    blocks = np.array(weight.T, np.float32, order="C").reshape(outputs, inputs // BLOCK, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=2), np.finfo(np.float32).tiny) / np.float32(LARGEST)
    blocks /= scales[..., None]
    whole = (np.rint(blocks, out=blocks) + np.float32(ZERO)).astype(np.uint8)
    given = [node.inputs[0], f"{name}.whole", f"{name}.scales"]
    if len(node.inputs) > 2:
        given += ["", "", node.inputs[2]]  # no zeros, no order of the inputs, the bias
    sizes = {"K": inputs, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": IN_8_BITS}
    attributes = tuple(encoded(*one) for one in sizes.items())
    made = Node("MatMulNBits", tuple(given), (name,), attributes, MICROSOFT, node.name)
    return made, {f"{name}.whole": whole, f"{name}.scales": scales}
