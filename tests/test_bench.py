"""Measuring backends: what agrees, what is chosen, what is remembered."""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox import bench, build, config, gemm, plugins, race
from smartbox import bundle as bundles
from smartbox.__main__ import main
from smartbox.bench import Measurement, mark_fastest
from smartbox.errors import BackendError
from smartbox.manifest import Golden
from smartbox.model import Model
from tests import tiny


def test_every_engine_is_measured_and_agrees(tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny")
    names = bench.candidates(bundle)
    assert "scripted" not in names
    assert "onnxruntime" in names
    found = bench.survey(bundle, names, runs=3)
    assert [m.backend for m in found] == names
    for m in found:
        assert m.error is None
        assert m.agrees
        assert m.p50 is not None and m.whole_p50 is not None and m.p50 <= (m.p95 or 0)
        assert m.max_abs_error is not None and 0 <= m.max_abs_error <= 0.3
    assert sum(m.fastest for m in found) == 1


def test_the_fastest_must_agree() -> None:
    found = mark_fastest(
        [
            Measurement("wrong", best_batch_ms=1.0),
            Measurement("slow", best_batch_ms=9.0, agrees=True),
            Measurement("right", best_batch_ms=5.0, agrees=True),
            Measurement("broken", error="gone"),
        ]
    )
    assert [m.backend for m in found if m.fastest] == ["right"]


def test_a_broken_backend_is_a_row_not_an_end(tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime", files={"onnxruntime": b"no model"})
    (only,) = bench.survey(bundle, ["onnxruntime"], runs=1)
    assert only.error is not None and "onnxruntime" in only.error
    with pytest.raises(BackendError, match="no backend runs 'tiny'"):
        bench.choose(bundle, tmp_path)


def test_a_choice_is_measured_once_per_bundle_and_machine(tmp_path: Path) -> None:
    bundle, state = tiny.write(tmp_path / "tiny"), tmp_path / "state"
    first = bench.choose(bundle, state, runs=3)
    assert first.backend in plugins.names("backends")
    known = json.loads((state / bench.CHOICES).read_text())
    (key,) = known
    assert key.startswith(bundle.sha256)
    known[key]["ms"] = 123.0
    (state / bench.CHOICES).write_text(json.dumps(known))
    assert bench.choose(bundle, state, runs=3).ms == 123.0
    (state / bench.CHOICES).write_text("{torn")
    assert bench.choose(bundle, state, runs=3).ms != 123.0


def test_a_cache_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    assert bench.choose(bundle, blocked / "state", runs=1).backend == "onnxruntime"
    monkeypatch.setenv("STATE_DIRECTORY", str(blocked / "state"))
    assert main(["bench", "--bundle", str(bundle.path), "--runs", "1"]) == 0
    out = capsys.readouterr().out
    assert "auto would be onnxruntime" in out and "remembered" not in out


@pytest.mark.parametrize(
    "entry",
    [
        {"backend": "onnxruntime"},
        {"backend": "onnxruntime", "batch": 0, "ms": 1.0},
        {"backend": "onnxruntime", "batch": "many", "ms": 1.0},
        {"backend": "onnxruntime", "batch": 1, "ms": float("nan")},
        {"backend": "abacus", "batch": 1, "ms": 1.0},
        ["onnxruntime"],
    ],
)
def test_a_bad_entry_is_measured_again(tmp_path: Path, entry: Any) -> None:
    bundle, state = tiny.write(tmp_path / "tiny", "onnxruntime"), tmp_path / "state"
    first = bench.choose(bundle, state, runs=1)
    (key,) = json.loads((state / bench.CHOICES).read_text())
    (state / bench.CHOICES).write_text(json.dumps({key: entry}))
    again = bench.choose(bundle, state, runs=1)
    assert (again.backend, again.batch >= 1) == (first.backend, True)
    assert bench.recall(bundle, state) == again


def test_a_choice_that_does_not_open_any_more_is_measured_again(tmp_path: Path) -> None:
    bundle, state = tiny.write(tmp_path / "tiny"), tmp_path / "state"
    bench.choose(bundle, state, runs=1)
    (key,) = json.loads((state / bench.CHOICES).read_text())
    (state / bench.CHOICES).write_text(json.dumps({key: {"backend": "onnxruntime", "batch": 1, "ms": 0.0}}))
    (bundle.path / "tiny.onnx").write_bytes(b"gone bad")
    model = Model(bundle, [("auto", None), ("onnxruntime", plugins.load("backends", "onnxruntime")())], state)
    model.run([tiny.INPUT[0]])
    assert model.ref.backend in ("tflite", "mnn")
    model.close()


@pytest.mark.parametrize("golden", ["empty", "short", "compressed"])
def test_golden_outputs_that_are_none_make_no_choice(tmp_path: Path, golden: str) -> None:
    """The next entry of the list runs."""
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    path = bundle.path / "golden.npz"
    if golden == "short":
        bundles.write_golden(bundle.path, {"image": tiny.INPUT}, tiny.float_outputs(tiny.INPUT[:1]), {})
    else:
        content = bytearray(path.read_bytes())
        content[60:120] = bytes(60)
        path.write_bytes(b"" if golden == "empty" else content)
    raw = path.read_bytes()
    entry = Golden(sha256=hashlib.sha256(raw).hexdigest(), bytes=len(raw))
    bundle = bundles.write(bundle.path, bundle.manifest.model_copy(update={"golden": entry}))
    with pytest.raises(BackendError, match="no backend runs 'tiny'"):
        bench.choose(bundle, tmp_path / "state", runs=1)
    model = Model(bundle, [("auto", None), ("onnxruntime", plugins.load("backends", "onnxruntime")())], tmp_path)
    model.run([tiny.INPUT[0]])
    assert model.ref.backend == "onnxruntime"
    model.close()


def test_another_version_under_another_name_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As onnxruntime-gpu has the module onnxruntime."""
    info = tmp_path / "site" / "acme_gpu-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "top_level.txt").write_text("acme_engine\n")
    (info / "entry_points.txt").write_text("[smartbox.backends]\nacme = acme_engine\nbad = acme_missing\n")
    (tmp_path / "site" / "acme_engine.py").write_text(
        "from smartbox.backends.scripted import Plugin as Scripted\n\n\n"
        "class Plugin(Scripted):\n    modules = ('acme_engine',)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    bundle, state = tiny.write(tmp_path / "tiny", "onnxruntime"), tmp_path / "state"
    files = {name: bundle.manifest.files["onnxruntime"] for name in ("onnxruntime", "acme", "bad")}
    bundle = bundles.write(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    for number in ("1.0", "1.1"):
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-gpu\nVersion: {number}\n")
        bench.choose(bundle, state, runs=1)
    assert len(json.loads((state / bench.CHOICES).read_text())) == 2
    assert bench.left_out(bundle)["bad"].startswith("cannot be loaded: No module named 'acme_missing'")


def test_the_command_prints_one_document_and_marks_the_fastest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path / "tiny")
    monkeypatch.setenv("SMARTBOX_MODELS", str(tmp_path))
    assert main(["bench", "--bundle", "tiny", "--runs", "3", "--fps", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["bundles"]
    assert row["name"] == "tiny"
    assert sum(m["fastest"] for m in row["measurements"]) == 1
    for m in row["measurements"]:
        assert m["core_share_per_camera"] == pytest.approx(m["whole_p50"] * 2 / 1000, abs=1e-3)
    assert main(["bench", "--bundle", "tiny", "--runs", "3"]) == 0
    assert "fastest" in capsys.readouterr().out


def test_disagreement_and_wrong_use_have_their_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = tiny.write(tmp_path / "strict", "onnxruntime", atol=1e-6)
    assert main(["bench", "--bundle", str(strict.path), "--runs", "1"]) == 1
    assert "DISAGREES" in capsys.readouterr().out
    assert main(["bench", "--bundle", str(strict.path), "--runs", "1", "--backend", "tflite"]) == 1
    assert "no file for backend 'tflite'" in capsys.readouterr().out
    assert main(["bench", "--bundle", str(tmp_path / "nowhere")]) == 78
    with pytest.raises(SystemExit) as usage:
        main(["bench", "--backend", "abacus"])
    assert usage.value.code == 2


def test_models_are_listed_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tiny.write(tmp_path / "good", "tflite"), tiny.write(tmp_path / "bad", "onnxruntime")
    (bad.path / "tiny.onnx").write_bytes(b"flipped")
    paths = [str(good.path), str(bad.path)]
    assert main(["models", "list", *paths]) == 0
    assert "tflite 2 KiB" in capsys.readouterr().out
    assert main(["models", "verify", paths[0]]) == 0
    assert main(["models", "verify", *paths, str(tmp_path / "none"), "--json"]) == 1
    out = capsys.readouterr().out
    rows = json.loads(out[out.index("{") :])["bundles"]
    assert [bool(row["problems"]) for row in rows] == [False, True, True]
    assert "does not exist" in rows[2]["problems"][0]


CONFIG = """\
version: 1
box: {{site: park-a, id: box-1, state_dir: {state}}}
mqtt: {{url: mqtt://127.0.0.1:1883}}
models:
  eyes: {{bundle: {bundle}{backends}}}
sources:
  gate: {{type: simulator, scene: gate, fps: 5, model: eyes}}
zones: {{}}
rules: {{}}
"""


@pytest.mark.parametrize("backends", ["", ", backends: [auto]"])
def test_what_bench_found_is_what_run_uses(
    tmp_path: Path, backends: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the configuration names no backend; without measuring once more."""
    bundle, state, file = tiny.write(tmp_path / "tiny"), tmp_path / "state", tmp_path / "smartbox.yaml"
    file.write_text(CONFIG.format(state=state, bundle=bundle.path, backends=backends))
    assert main(["bench", "-c", str(file), "--runs", "3", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["bundles"]
    found = {m["backend"]: m for m in row["measurements"]}
    assert found[row["chosen"]]["fastest"]
    choices = state / bench.CHOICES
    assert row["remembered_in"] == str(choices)
    other = next(name for name in found if name != row["chosen"])  # what another machine might have found
    known = json.loads(choices.read_text())
    choices.write_text(json.dumps({key: {"backend": other, "batch": 1, "ms": 1.0} for key in known}))
    read = config.load(file)
    model = Model(bundle, read.backends("eyes"), read.box.state_dir)
    model.run([tiny.INPUT[0]])
    assert model.ref.backend == other
    model.close()


def test_a_part_of_the_backends_is_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    bundle = tiny.write(tmp_path / "tiny")
    assert main(["bench", "--bundle", str(bundle.path), "--backend", "onnxruntime", "--runs", "1"]) == 0
    assert not (tmp_path / "state").exists()


def test_one_broken_bundle_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE_DIRECTORY", "SMARTBOX_MODELS"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(build, "bundle_dirs", lambda _: [tmp_path])  # without the shipped ones, which take long
    tiny.write(tmp_path / "good", "onnxruntime")
    (tiny.write(tmp_path / "bad", "onnxruntime").path / "manifest.yaml").write_text('a: !!int ""')
    assert main(["bench", "--runs", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [Path(row["name"]).name for row in json.loads(out)["bundles"]] == ["tiny"]
    assert "left out bad: " in err and "cannot be read as YAML" in err


def test_what_is_not_a_number_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    outputs = {name: np.full_like(value, np.nan) for name, value in tiny.float_outputs(tiny.INPUT).items()}
    golden = bundles.write_golden(bundle.path, {"image": tiny.INPUT}, outputs, {})
    bundles.write(bundle.path, bundle.manifest.model_copy(update={"golden": golden}))
    assert main(["bench", "--bundle", str(bundle.path), "--runs", "1", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["bundles"]
    assert row["measurements"][0]["max_abs_error"] is None


def test_the_peak_is_a_product_that_every_engine_computes(tmp_path: Path) -> None:
    bundle = gemm.write(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 32, 32, gemm.SIDE), dtype=np.uint8)
    rows = np.arange(gemm.SIDE)
    weight = ((rows[:, None] * 37 + rows[None, :] * 11) % 255 - 127) / 127
    product = np.clip(np.rint(pixels.reshape(-1, gemm.SIDE) / 255 @ weight.T / 0.1), -128, 127) * 0.1
    for name in gemm.FILES:
        if plugins.load("backends", name).installed():
            session = plugins.load("backends", name)().open(bundle)
            scores = session.run({"image": pixels})["scores"][0]
            session.close()
            wanted = product[0, :8] if name == "openvino" else np.full(8, product.mean(0).sum())
            # 1024 means are summed, each rounded to a step of 0.1.
            np.testing.assert_allclose(scores, wanted, rtol=0.05, atol=0.06 * gemm.SIDE, err_msg=name)
    (engine,) = gemm.peaks(["onnxruntime", "scripted"]).items()
    assert engine[0] == "onnxruntime" and engine[1] > 0


def test_peers_run_by_turns_with_ours(shared: Path, tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    own = tiny.write(tmp_path / "other", "onnxruntime")
    others = [shared / "peers" / "yolox_nano.onnx", own.path]
    if find_spec("openvino"):
        others.append(shared / "peers" / "pvb-2000.xml")
    places = race.run(bundle, ["onnxruntime"], others, 2)
    assert [(p.name, p.peer) for p in places][:2] == [("tiny", False), ("yolox_nano", True)]
    assert all(p.error is None and p.best is not None and p.best <= (p.p50 or 0) for p in places)
    assert places[0].ratio == 1.0
    assert (places[1].ratio or 0) > 1.0


@pytest.mark.parametrize(("name", "content"), [("x.onnx", b"nothing"), ("x.xml", b"<net"), ("x.txt", b"")])
def test_what_is_no_peer_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "x.bin").write_bytes(b"")
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    code: Any = main(["bench", "--bundle", str(bundle.path), "--runs", "1", "--peer", str(tmp_path / name)])
    assert code in (1, 78)
