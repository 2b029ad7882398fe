"""Measuring backends: what agrees, what is chosen, what is remembered."""

import json
from pathlib import Path

import pytest

from smartbox import bench, plugins
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
        assert m.max_abs_error is not None and 0 < m.max_abs_error <= 0.3
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
