"""A teacher beside the labels: the student also learns what a YOLOX detector sees in every cell.

A few thousand labelled pictures say little about what persons look like; a detector that was trained on a hundred
thousand says it in every cell of every augmented picture. Its last features are imitated by the student's pyramid
(FitNets, Romero et al., 2015), its scores by an extra head on the student's tower. Both extras stay in the lab.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.utils import Extractor
from torch import nn
from torch.nn import functional as F

from smartbox.errors import ConfigError
from smartbox.lab.parallel import ALONE, Ranks

SCALES = 3  # YOLOX's strides 8, 16, 32; the student's coarsest scale has no counterpart


@dataclass(frozen=True)
class Lesson:
    """Of one batch, per scale: features N x F x h x w and scores N x (1 + classes) x h x w (objectness first, 0–1)."""

    features: tuple[Any, ...]
    scores: tuple[Any, ...]


class Teacher:
    """YOLOX as ONNX, cut off before its boxes are flattened, so that it takes any picture size."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        model = _cut(path)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def __call__(self, images: Any) -> Lesson:
        """images: N x H x W x 3 BGR uint8, H and W multiples of 32."""
        name = self.session.get_inputs()[0].name
        batch = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        found = [torch.from_numpy(np.asarray(a)) for a in self.session.run(None, {name: batch})]
        levels = [found[4 * i : 4 * i + 4] for i in range(SCALES)]
        features = tuple(torch.cat(level[:2], 1).to(torch.bfloat16) for level in levels)
        scores = tuple(torch.cat([o.sigmoid(), c.sigmoid()], 1).to(torch.bfloat16) for _, _, o, c in levels)
        return Lesson(features, scores)


def _cut(path: Path) -> bytes:
    """The model with outputs (classification features, box features, objectness, classes) of each scale."""
    model = onnx.load(path)
    by_weight = {node.input[1]: node for node in model.graph.node if node.op_type == "Conv"}
    outputs = []
    try:
        for i in range(SCALES):
            cls, obj = by_weight[f"head.cls_preds.{i}.weight"], by_weight[f"head.obj_preds.{i}.weight"]
            outputs += [cls.input[0], obj.input[0], obj.output[0], cls.output[0]]
    except KeyError as error:
        raise ConfigError(f"{path}: is not an export of YOLOX: no layer has the weights {error}") from error
    source = model.graph.input[0].name
    small = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([source], outputs)
    for value in [*small.graph.input, *small.graph.output]:
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}-{axis}"
    del small.graph.value_info[:]  # they hold the sizes of 416 x 416
    return bytes(small.SerializeToString())


class Imitation(nn.Module):
    """The extra layers of the student, and the loss. `width` channels in its pyramid and its tower."""

    def __init__(self, width: int, features: int, scores: int) -> None:
        super().__init__()
        self.standard = nn.ModuleList(nn.BatchNorm2d(features, affine=False, momentum=0.02) for _ in range(SCALES))
        self.adapt = nn.ModuleList(nn.Conv2d(width, features, 1) for _ in range(SCALES))
        self.score = nn.Conv2d(width, scores, 1)
        assert self.score.bias is not None
        nn.init.constant_(self.score.bias, -4.0)

    def forward(self, pyramid: list[Any], tower: list[Any], lesson: Lesson, ranks: Ranks = ALONE) -> Any:
        """Mean squared error of standardised features, more where the teacher sees something; focal error of scores.

        ranks: as of `assign.losses`.
        """
        imitation, saying = torch.zeros(()), torch.zeros(())
        for i in range(SCALES):
            features, scores = (told[i].to(tower[i].device).float() for told in (lesson.features, lesson.scores))
            wanted = self.standard[i](features).clamp(-4, 4)
            worth = 0.3 + scores[:, :1]
            error = (self.adapt[i](pyramid[i]).float() - wanted).square().mean(1, keepdim=True)
            imitation = imitation + (error * worth).sum() / ranks.add(worth.sum())
            said = self.score(tower[i]).float()
            focal = (scores - said.detach().sigmoid()).square()
            surprise = F.binary_cross_entropy_with_logits(said, scores, reduction="none") * focal
            saying = saying + surprise.sum() / ranks.add(scores[:, 0].sum()).clamp(min=1.0)
        return imitation / SCALES + saying / SCALES
