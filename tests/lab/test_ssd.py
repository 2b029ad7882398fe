"""The plain SSD head: what LRSSD is compared with must be a fair and a whole detector."""

import numpy as np
import pytest
import torch

from smartbox import decoders, plugins
from smartbox.agreement import compare
from smartbox.bundle import Bundle
from smartbox.geometry import iou_matrix
from smartbox.lab import export, golden
from smartbox.lab.assign import Targets, cells, decode, losses
from smartbox.lab.graph import capture, run
from smartbox.lab.macs import count
from smartbox.lab.nets.muffnet import MuffNet, MuffSpec
from smartbox.lab.nets.ssd import BOXES, STRIDES, Ssd, SsdSpec
from smartbox.lab.quantize import FakeQuant, calibrate
from smartbox.lab.recipe import Recipe
from smartbox.lab.train_detect import Trainer
from smartbox.pipeline import WHOLE
from smartbox.types import Detections
from tests.judging import judge

TINY = SsdSpec(MuffSpec(8, (16, 24, 32), (8, 8, 16)), 3)
SIDE = 128
RECIPE = {
    "name": "plain",
    "labels": ["a", "b", "c"],
    "size": SIDE,
    "net": {"head": "ssd", "stem": 8, "stages": [16, 24, 32], "widths": [8, 8, 16]},
    "data": [{"folder": "nowhere"}],
    "stages": [{"size": [SIDE]}],
}


def anchors(side: int) -> int:
    return sum(k * (side // s) ** 2 for k, s in zip(BOXES, STRIDES, strict=True))


def test_it_gives_several_boxes_for_every_cell() -> None:
    net = Ssd(TINY).eval()
    logits, coarse, boxes = net.flat(net(torch.zeros(2, 3, SIDE, SIDE)))
    assert logits.shape == (2, anchors(SIDE), 3)
    assert boxes.shape == (2, anchors(SIDE), 4)
    assert coarse is None
    assert len(cells((SIDE, SIDE), net.strides).stride) == anchors(SIDE)


def test_it_begins_at_the_default_boxes() -> None:
    """Of each cell one of 4 strides square, one larger, and flat and tall ones of the same area."""
    net = Ssd(TINY).eval()
    for locate in net.locate:
        torch.nn.init.zeros_(locate.conv.weight)
    where = cells((SIDE, SIDE), net.strides)
    with torch.no_grad():
        xyxy = decode(net.flat(net(torch.zeros(1, 3, SIDE, SIDE)))[2][0], where)
    wh = (xyxy[:, 2:] - xyxy[:, :2]) / where.stride[:, None]
    finest = (SIDE // 8) ** 2
    shapes = [tuple(round(float(v), 2) for v in wh[i * finest]) for i in range(BOXES[0])]
    assert shapes == [(4.0, 4.0), (5.66, 5.66), (5.66, 2.83), (2.83, 5.66)]
    assert torch.allclose((xyxy[:, :2] + xyxy[:, 2:]) / 2, where.centre, atol=1e-3)


def test_its_cost_is_that_of_its_convolutions() -> None:
    """The head's at 320, counted by hand: predictors, then the extra map."""
    head = count(Ssd(TINY), (320, 320)).macs - count(MuffNet(TINY.backbone), (320, 320)).macs
    widths, boxes = (16, 24, 32, 512), (4, 6, 6, 6)
    predictors = sum(9 * c * k * (3 + 4) * (320 // s) ** 2 for c, k, s in zip(widths, boxes, STRIDES, strict=True))
    assert head == predictors + 100 * 32 * 256 + 25 * 9 * 256 * 512


def test_the_captured_graph_computes_what_the_net_does() -> None:
    torch.manual_seed(3)
    net = Ssd(TINY).train()
    for _ in range(3):
        net(torch.randn(4, 3, 64, 64))
    x = torch.randn(2, 3, 64, 64)
    (want, _, boxes), (got, _, found) = net.flat(net.eval()(x)), net.flat(run(capture(net), x))
    torch.testing.assert_close(want, got, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(boxes, found, atol=1e-5, rtol=1e-4)


def test_it_learns_with_lrssds_own_assignment() -> None:
    torch.set_num_threads(1)
    trainer = Trainer(Recipe.model_validate(RECIPE))
    image = np.full((4, 64, 64, 3), 20, np.uint8)
    image[:, 16:48, 16:48] = 220
    box = Targets(torch.tensor([[16.0, 16, 48, 48]]), torch.tensor([1]), torch.zeros(0, 4), torch.zeros(0).long())
    parts = [trainer.learn(torch.from_numpy(image), [box] * 4, 3e-3) for _ in range(16)]
    assert set(parts[0]) == {"class", "box"}
    assert parts[-1]["box"] < 0.8 * parts[0]["box"]
    logits, _, boxes = trainer.net.flat(trainer.net.eval()(torch.zeros(1, 3, 64, 64)))
    assert losses(logits, None, boxes, cells((64, 64), trainer.net.strides), [box]).total.isfinite()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A net with something to say, in every format; `export.write` itself compares each engine with golden."""
    torch.manual_seed(3)
    torch.set_num_threads(1)
    recipe = Recipe.model_validate(RECIPE)
    net = recipe.net.build(3)
    for predict in net.classify:
        torch.nn.init.normal_(predict.conv.weight, std=2.0)
    graph = export.graph_of(net.eval())
    x = golden.normalised(export.golden_input(SIDE), graph)
    for _ in range(12):
        net.train()(x)
    graph = export.graph_of(net.eval())
    fake = FakeQuant(graph, calibrate(graph, [x]))
    return export.write(tmp_path_factory.mktemp("ssd"), recipe, net, fake, export.Release("1"))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "tflite", "mnn"])
def test_every_engine_runs_it_and_the_box_reads_its_boxes(bundle: Bundle, backend: str) -> None:
    plugin = plugins.load("backends", backend)
    if not plugin.installed():
        pytest.skip(f"no runtime of {backend} here")
    assert bundle.manifest.golden is not None
    inputs, wanted = bundle.golden()
    session = plugin().open(bundle)
    outputs = session.run(inputs)
    session.close()
    judge(compare(outputs, wanted, bundle.manifest.golden.tolerance_of(backend)), plugin())
    found = decoders.build(bundle.manifest).decode({k: v[0] for k, v in outputs.items()}, WHOLE)
    right = decoders.build(bundle.manifest).decode({k: v[0] for k, v in wanted.items()}, WHOLE)
    assert isinstance(found, Detections) and isinstance(right, Detections)
    assert len(right) > 0
    assert (iou_matrix(right.xyxy, found.xyxy).max(1) > 0.5).mean() > 0.5


@pytest.mark.parametrize(("head", "size", "reason"), [("ssd", 224, "64"), ("lrssd", 208, "32"), ("lrssd", 224, None)])
def test_sizes_that_do_not_fit_the_scales_are_refused(head: str, size: int, reason: str | None) -> None:
    values = {**RECIPE, "net": {**RECIPE["net"], "head": head}, "stages": [{"size": [SIDE, size]}]}
    if reason is None:
        assert Recipe.model_validate(values).stages[0].size == (SIDE, size)
        return
    with pytest.raises(ValueError, match=f"size {size} is no multiple of {reason}"):
        Recipe.model_validate(values)


@pytest.mark.parametrize("head", ["ssd", "lrssd"])
def test_a_finished_size_whose_coarsest_cells_a_decoder_would_miscount_is_refused(head: str) -> None:
    """LRSSD at 416 gave a bundle that no box could open: 6 x 6 pooled cells where a decoder counts 7 x 7."""
    values = {**RECIPE, "net": {**RECIPE["net"], "head": head}, "size": 416}
    with pytest.raises(ValueError, match="size 416 is no multiple of 64"):
        Recipe.model_validate(values)
