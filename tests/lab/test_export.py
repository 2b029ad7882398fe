"""One int8 graph, every format: each engine that is installed agrees with the float model, and a wrong one does not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from smartbox import bundle as bundles
from smartbox import plugins
from smartbox.agreement import compare
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.lab import formats, golden, reformat
from smartbox.lab.export_mnn import to_mnn
from smartbox.lab.graph import Graph, capture
from smartbox.lab.nets.lrssd import Lrssd, LrssdSpec
from smartbox.lab.nets.muffnet import MuffClassifier, MuffSpec
from smartbox.lab.quantize import FakeQuant, calibrate, freeze
from smartbox.manifest import Manifest
from tests.judging import judge

BACKENDS = ("onnxruntime", "openvino", "tflite", "mnn")
every = pytest.mark.parametrize("backend", BACKENDS)
SPEC = MuffSpec(8, (16, 24, 32), (8, 8, 16))


class Case:
    """A trained-looking net, quantized, in a bundle of every format."""

    def __init__(self, directory: Path, net: Any, shape: tuple[int, int, int], outputs: list[dict[str, Any]]) -> None:
        torch.manual_seed(3)
        torch.set_num_threads(1)  # for so little work more of them only wait for one another
        self.pixels = torch.randint(0, 256, (2, *shape), dtype=torch.uint8).numpy()
        self.pixels[..., -1] //= 3  # so that the order of the channels matters
        graph = capture(net.eval())
        x = golden.normalised(self.pixels, graph)
        for _ in range(12):
            net.train()(x)
        self.graph: Graph = capture(net.eval())
        self.fake = FakeQuant(self.graph, calibrate(self.graph, [x]))
        self.wanted = golden.answers(self.graph, self.pixels)
        self.rounded = golden.answers(self.fake, self.pixels)
        files = formats.write(directory, "tiny", freeze(self.fake), shape)
        colour = {"layout": "NHWC", "colour": "BGR"} if shape[2] == 3 else {}
        draft = Manifest.model_validate(
            {
                "name": "tiny",
                "version": "1",
                "task": "detect",
                "labels": ["a", "b", "c"],
                "inputs": [{"name": "image", "shape": [None, *shape], **colour}],
                "outputs": outputs,
                "decoder": {"type": "lrssd"},
                "files": {name: entry.model_dump() for name, entry in files.items()},
            }
        )
        allowed = golden.tolerances(self.fake, self.wanted, self.rounded)
        self.bundle = formats.finish(directory, draft, {"image": self.pixels}, self.wanted, allowed)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Case:
    torch.manual_seed(5)
    net = Lrssd(LrssdSpec(SPEC, 3, 16))
    for predict in (net.classify, net.coarse, net.refine):
        torch.nn.init.normal_(predict.conv.weight, std=0.5)
    outputs = [{"name": "scores", "shape": [None, 340, 3]}, {"name": "boxes", "shape": [None, 340, 4]}]
    return Case(tmp_path_factory.mktemp("detector"), net, (128, 128, 3), outputs)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Case:
    torch.manual_seed(7)
    net = MuffClassifier(SPEC, 3, channels=1, expand=64)
    torch.nn.init.normal_(net.classify.weight, std=0.5)
    return Case(tmp_path_factory.mktemp("ear"), net, (96, 64, 1), [{"name": "scores", "shape": [None, 3]}])


def run(bundle: Bundle, backend: str, pixels: Any) -> dict[str, Any]:
    plugin = plugins.load("backends", backend)
    if not plugin.installed():
        pytest.skip(f"no runtime of {backend} here: {', '.join(plugin.modules)}")
    session = plugin().open(bundle)
    outputs: dict[str, Any] = session.run({"image": pixels})
    session.close()
    return outputs


def allowed(case: Case, backend: str) -> Any:
    assert case.bundle.manifest.golden is not None
    return case.bundle.manifest.golden.tolerance_of(backend)


@every
@pytest.mark.parametrize("kind", ["detector", "classifier"])
def test_every_engine_agrees_with_the_float_model(backend: str, kind: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue(kind)
    found = compare(run(case.bundle, backend, case.pixels), case.wanted, allowed(case, backend))
    judge(found, plugins.load("backends", backend)())
    assert found.error > 0, "rounded to 8 bits it cannot be the float model"


@every
def test_blue_for_red_does_not_agree(backend: str, detector: Case) -> None:
    wrong = run(detector.bundle, backend, np.ascontiguousarray(detector.pixels[..., ::-1]))
    assert not compare(wrong, detector.wanted, allowed(detector, backend)).holds


def test_a_kernel_that_saturates_does_not_agree(detector: Case, tmp_path: Path) -> None:
    """Products lose what is beyond half of their range, as in 16-bit sums of 8-bit products."""
    model = onnx.load(str(detector.bundle.path / "tiny.onnx"))
    for weight in (i for i in model.graph.initializer if i.name.endswith("_w_q")):
        weight.CopyFrom(numpy_helper.from_array(np.clip(numpy_helper.to_array(weight), -64, 63), weight.name))
    onnx.save(model, str(tmp_path / "tiny.onnx"))
    files = {"onnxruntime": bundles.model_file(tmp_path, "tiny.onnx")}
    broken = Bundle(tmp_path, detector.bundle.manifest.model_copy(update={"files": files}))
    found = compare(run(broken, "onnxruntime", detector.pixels), detector.wanted, allowed(detector, "onnxruntime"))
    assert not found.holds, str(found)


def test_an_export_that_disagrees_is_refused(detector: Case, tmp_path: Path) -> None:
    for file in detector.bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    strange = {name: value + 9 for name, value in detector.wanted.items()}
    tolerances = golden.tolerances(detector.fake, detector.wanted, detector.rounded)
    with pytest.raises(BackendError, match="onnxruntime: off by at most"):
        formats.finish(tmp_path, detector.bundle.manifest, {"image": detector.pixels}, strange, tolerances)


def test_openvino_reads_the_file_of_onnxruntime_and_mnn_has_bytes(detector: Case) -> None:
    files = detector.bundle.manifest.files
    assert files["openvino"] == files["onnxruntime"]
    assert set(files) == set(BACKENDS)
    assert files["mnn"].precision.weight_bits == 8
    assert files["mnn"].bytes < 1.3 * files["onnxruntime"].bytes


def test_what_is_no_model_is_told_by_the_converter(tmp_path: Path) -> None:
    pytest.importorskip("MNN")
    node = onnx.helper.make_node("NoSuchOperation", ["image"], ["scores"])
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "odd", [info("image", 1, [1, 4])], [info("scores", 1, [1, 4])])
    with pytest.raises(BackendError, match="MNN's converter failed"):
        to_mnn(onnx.helper.make_model(graph).SerializeToString(), tmp_path / "odd.mnn")


def test_formats_are_added_to_a_bundle_that_has_only_onnx(detector: Case, tmp_path: Path) -> None:
    for file in detector.bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tiny.mnn").unlink()
    files = {"onnxruntime": detector.bundle.manifest.files["onnxruntime"]}
    old = bundles.write(tmp_path, detector.bundle.manifest.model_copy(update={"files": files}))
    new = reformat.add_formats(old)
    assert set(new.manifest.files) == {"onnxruntime", "openvino", "mnn"}
    assert new.weights("onnxruntime") == detector.bundle.weights("onnxruntime")
    assert not formats.wrong(new)


def test_a_float_model_becomes_one_of_mnn_too(detector: Case, tmp_path: Path) -> None:
    files = formats.write(tmp_path, "float", detector.graph, (128, 128, 3))
    assert set(files) == {"onnxruntime", "openvino"}
    draft = detector.bundle.manifest.model_copy(update={"files": files, "golden": None})
    whole = formats.finish(tmp_path, draft, {"image": detector.pixels}, detector.wanted, golden.FLOAT)
    added = reformat.add_formats(whole)
    assert added.manifest.files["mnn"].precision.weight_bits == 32
    assert compare(run(added, "mnn", detector.pixels), detector.wanted, allowed(detector, "mnn")).error < 1e-3


def test_the_net_behind_a_bundle_is_told_from_another(detector: Case) -> None:
    constants = reformat.constants(detector.bundle)
    scales = reformat.scales(detector.graph, constants)
    assert reformat.different(freeze(FakeQuant(detector.graph, scales)), constants) == []
    other = FakeQuant(detector.graph, scales)
    torch.nn.init.normal_(next(iter(other.weights.values())))
    assert len(reformat.different(freeze(other), constants)) == 1
