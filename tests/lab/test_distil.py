"""A teacher beside the labels: any picture size, its scores as they are, and a student that comes nearer to it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smartbox.errors import ConfigError
from smartbox.lab import standin
from smartbox.lab.distil import Imitation, Teacher

WIDTH, CLASSES = 6, 4


def test_a_teacher_takes_batches_of_any_size(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    lesson = Teacher(standin.yolox(tmp_path / "t.onnx", WIDTH, CLASSES))(images)
    assert [tuple(f.shape) for f in lesson.features] == [(2, 2 * WIDTH, s, s) for s in (8, 4, 2)]
    assert [tuple(s.shape) for s in lesson.scores] == [(2, 1 + CLASSES, s, s) for s in (8, 4, 2)]
    assert all(s.min() >= 0 and s.max() <= 1 for s in lesson.scores)


def test_what_is_no_yolox_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.onnx: is not an export of YOLOX.*head\.cls_preds\.0\.weight"):
        Teacher(standin.yolox(tmp_path / "t.onnx", WIDTH, CLASSES, prefix="other"))


def test_imitation_can_be_learned(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    lesson = Teacher(standin.yolox(tmp_path / "t.onnx", WIDTH, CLASSES))(images)
    imitation = Imitation(16, 2 * WIDTH, 1 + CLASSES)
    pyramid = [torch.randn(2, 16, s, s, requires_grad=True) for s in (8, 4, 2)]
    optimizer = torch.optim.Adam([*imitation.parameters(), *pyramid], lr=0.05)
    losses = []
    for _ in range(60):
        loss = imitation(pyramid, pyramid, lesson)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
