"""Measuring backends: what agrees, what is chosen, what is remembered."""

import json
from pathlib import Path

import pytest

from smartbox import bench, plugins
from smartbox.__main__ import main
from smartbox.bench import Measurement, mark_fastest
from smartbox.errors import BackendError
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


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert (
        bench.choose(tiny.write(tmp_path / "tiny", "onnxruntime"), blocked / "state", runs=1).backend == "onnxruntime"
    )


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
