"""What a bundle's outputs are checked against: the float model's, and how far int8 may be from them.

The allowance comes from the graph with rounding as torch computes it, never from the engine that is judged: an engine
whose kernels saturate, or which takes blue for red, cannot set its own measure.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smartbox.agreement import noise
from smartbox.lab.graph import Graph, run
from smartbox.lab.nets.lrssd import flatten
from smartbox.lab.nets.ssd import Ssd
from smartbox.lab.quantize import FakeQuant
from smartbox.manifest import Tolerance
from smartbox.types import Floats

FLOAT = {"onnxruntime": Tolerance(atol=1e-3), "openvino": Tolerance(atol=1e-3)}
# Engines round halves differently, and differences grow from layer to layer; in MNN what is pooled has 7 bits.
MARGINS = {"onnxruntime": 1.6, "openvino": 1.6, "tflite": 1.6, "mnn": 2.2}
STEPS = 3.0  # of the coarsest output, on top: what is left where rounding alone does nothing


def normalised(pixels: NDArray[np.uint8], graph: Graph) -> Any:
    """N x H x W x C -> N x C x H x W as the graph takes it."""
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - graph.mean) / graph.deviation


def outputs(levels: list[tuple[Any, ...]]) -> dict[str, Floats]:
    """The graph's outputs as the files name and shape them."""
    if len(levels[0]) == 1:
        return {"scores": levels[0][0].flatten(1).numpy()}
    logits, _, boxes = Ssd.flat(levels) if len(levels[0]) == 2 else flatten(levels)
    return {"scores": logits.numpy(), "boxes": boxes.numpy()}


@torch.no_grad()
def answers(model: FakeQuant | Graph, pixels: NDArray[np.uint8]) -> dict[str, Floats]:
    """Outputs of the float graph, or of the graph with rounding, for N x H x W x C stored values."""
    graph = model.graph if isinstance(model, FakeQuant) else model
    x = normalised(pixels, graph)
    return outputs(model(x) if isinstance(model, FakeQuant) else run(model, x))


def tolerances(fake: FakeQuant, wanted: Mapping[str, Floats], rounded: Mapping[str, Floats]) -> dict[str, Tolerance]:
    """Per backend, how far it may be off `wanted`, the float model's outputs.

    rounded: outputs of `fake`, which rounds as all of them should.
    """
    scales, shared = fake.scales(), fake.graph.shared
    step = max(scales[shared.get(name, name)].scale for level in fake.graph.outputs for name in level)
    worst = max(float(np.abs(rounded[name] - value).max()) for name, value in wanted.items())
    mean = max(noise(rounded[name], value) for name, value in wanted.items())
    spread = max(step / float(np.std(value)) for value in wanted.values())
    return {
        backend: Tolerance(atol=_up(margin * worst + STEPS * step), noise=_up(margin * mean + spread / 4))
        for backend, margin in MARGINS.items()
    }


def _up(value: float) -> float:
    """Three digits, never less."""
    digits = 10.0 ** (np.floor(np.log10(value)) - 2) if value > 0 else 1.0
    return float(f"{np.ceil(value / digits) * digits:.3g}")
