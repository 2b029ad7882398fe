"""Which cells answer for which object: dynamic soft label assignment, and the losses that go with it.

Cost and number of cells per object as in SimOTA (Ge et al., YOLOX, 2021) with the soft class cost and soft centre
prior of RTMDet (Lyu et al., 2022). Boxes are xyxy in pixels of the model.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from smartbox.lab.parallel import ALONE, Ranks

TOP = 10
IMPOSSIBLE = 1e8


@dataclass(frozen=True)
class Cells:
    """The A places that predict: centre (A x 2, pixels) and stride (A)."""

    centre: Any
    stride: Any


def cells(size: tuple[int, int], strides: tuple[int, ...], device: str = "cpu") -> Cells:
    """Row by row, finest scale first, for a picture of `size` (h, w)."""
    centres, every = [], []
    for stride in strides:
        rows, cols = size[0] // stride, size[1] // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        every.append(torch.full((rows * cols,), float(stride)))
    return Cells(torch.cat(centres).to(device), torch.cat(every).to(device))


def decode(ltrb: Any, where: Cells) -> Any:
    """Distances in strides (... x A x 4) -> xyxy in pixels."""
    reach = ltrb * where.stride[:, None]
    return torch.cat([where.centre - reach[..., :2], where.centre + reach[..., 2:]], -1)


def pairwise_iou(a: Any, b: Any) -> Any:
    """A x 4, G x 4 -> A x G."""
    overlap = (torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])).clamp(0)
    inter = overlap.prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clamp(0).prod(-1) for x in (a, b))
    return inter / (area_a[:, None] + area_b[None] - inter).clamp(1e-6)


def giou(a: Any, b: Any) -> Any:
    """Generalized IoU (Rezatofighi et al., 2019) of n pairs."""
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(0).prod(-1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(0).prod(-1).clamp(1e-6)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clamp(0).prod(-1) for x in (a, b))
    union = (area_a + area_b - inter).clamp(1e-6)
    return inter / union - (hull - union) / hull


@torch.no_grad()
def assign(logits: Any, boxes: Any, where: Cells, objects: Any, classes: Any) -> tuple[Any, Any]:
    """One picture: logits A x C, predicted boxes A x 4, objects G x 4, classes G -> (object of each cell or -1, IoU).

    No cell answers for two objects. An object in or beside which any cell lies gets one at least, unless others want
    the same cells and are cheaper there: of two small objects close together one may get none.
    """
    answer = torch.full((len(logits),), -1, dtype=torch.long, device=logits.device)
    quality = logits.new_zeros(len(logits))
    if not len(objects):
        return answer, quality
    middle = (objects[:, :2] + objects[:, 2:]) / 2
    away = (where.centre[:, None] - middle[None]).norm(dim=-1) / where.stride[:, None]  # A x G, in strides
    inside = (
        torch.cat(
            [where.centre[:, None] - objects[None, :, :2], objects[None, :, 2:] - where.centre[:, None]], -1
        ).amin(-1)
        > 0
    )
    possible = inside | (away < 1.0)
    near = possible.any(1).nonzero()[:, 0]
    possible, away = possible[near], away[near]
    iou = pairwise_iou(boxes[near], objects)
    score = logits[near][:, classes]
    class_cost = F.binary_cross_entropy_with_logits(score, iou, reduction="none") * (iou - score.sigmoid()).square()
    cost = class_cost - 3 * torch.log(iou.clamp(1e-7)) + 10 ** (away - 3).clamp(max=4)
    cost = torch.where(possible, cost, torch.full_like(cost, IMPOSSIBLE))
    wanted = iou.topk(min(TOP, len(near)), 0).values.sum(0).long().clamp(1, len(near))
    rank = cost.argsort(0).argsort(0)
    chosen = (rank < wanted[None]) & possible
    best = torch.where(chosen, cost, torch.full_like(cost, IMPOSSIBLE)).argmin(1)
    taken = chosen.any(1)
    answer[near[taken]] = best[taken]
    quality[near[taken]] = iou[taken, best[taken]]
    return answer, quality


@dataclass(frozen=True)
class Targets:
    """Of one picture: objects G x 4, classes G, ignore M x 4 with ignored M (-1: any class)."""

    objects: Any
    classes: Any
    ignore: Any
    ignored: Any

    def to(self, device: str) -> "Targets":
        return Targets(*(part.to(device) for part in (self.objects, self.classes, self.ignore, self.ignored)))


def silence(where: Cells, classes: int, target: Targets) -> Any:
    """A x C weights: 0 where the cell's centre lies in an ignore box of that class, else 1."""
    weight = where.stride.new_ones(len(where.stride), classes)
    if not len(target.ignore):
        return weight
    lo, hi = target.ignore[None, :, :2], target.ignore[None, :, 2:]
    inside = ((where.centre[:, None] >= lo) & (where.centre[:, None] <= hi)).all(-1).float()  # A x M
    kinds = weight.new_zeros(len(target.ignored), classes)
    known = target.ignored >= 0
    kinds[known.nonzero()[:, 0], target.ignored[known]] = 1
    kinds[~known] = 1
    return weight - (inside @ kinds).clamp(max=1)


@dataclass(frozen=True)
class Loss:
    """Summed parts, and what each was."""

    total: Any
    parts: dict[str, float]


def losses(logits: Any, coarse: Any, final: Any, where: Cells, targets: list[Targets], ranks: Ranks = ALONE) -> Loss:
    """Quality focal loss (Li et al., 2020) on N x A x C; GIoU on the final (N x A x 4, ltrb) and coarse boxes.

    coarse: None where a net has but one step. ranks: over all of them these losses are added up to the whole batch's.
    """
    boxes = decode(final, where)
    goal, weight = torch.zeros_like(logits), torch.ones_like(logits)
    picked, wanted, quality = [], [], []
    for n, target in enumerate(targets):
        answer, iou = assign(logits[n].detach(), boxes[n].detach(), where, target.objects, target.classes)
        cell = (answer >= 0).nonzero()[:, 0]
        weight[n] = silence(where, logits.shape[-1], target)
        kind = target.classes[answer[cell]]
        goal[n, cell, kind] = iou[cell]
        weight[n, cell, kind] = 1.0
        picked.append(cell + n * logits.shape[1])
        wanted.append(target.objects[answer[cell]])
        quality.append(iou[cell])
    total = ranks.add(goal.sum()).clamp(min=1.0)
    focal = (goal - logits.detach().sigmoid()).square()
    qfl = (F.binary_cross_entropy_with_logits(logits, goal, reduction="none") * focal * weight).sum() / total
    index, target_boxes, worth = torch.cat(picked), torch.cat(wanted), torch.cat(quality).clamp(min=0.05)
    final_loss = ((1 - giou(boxes.flatten(0, 1)[index], target_boxes)) * worth).sum() / total
    parts = {"class": qfl.item(), "box": final_loss.item()}
    if coarse is None:
        return Loss(qfl + 2.0 * final_loss, parts)
    coarse_boxes = decode(coarse, where)
    coarse_loss = ((1 - giou(coarse_boxes.flatten(0, 1)[index], target_boxes)) * worth).sum() / total
    return Loss(qfl + 2.0 * final_loss + 0.5 * coarse_loss, parts | {"coarse": coarse_loss.item()})
