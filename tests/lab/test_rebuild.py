"""Every shipped model can be made anew: tiny, from nothing but the repository."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartbox.__main__ import main
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.lab import rebuild
from smartbox.lab.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes name their files from the project's directory."""
    monkeypatch.chdir(ROOT)


def test_every_shipped_model_has_its_step() -> None:
    shipped = {path.parent.name for path in Path("models").glob("*/manifest.yaml")}
    assert {step.model for step in rebuild.steps() if step.ships} == shipped


@pytest.mark.parametrize("step", rebuild.steps(ROOT / "models"), ids=lambda step: step.run)
def test_a_tiny_recipe_needs_nothing_from_outside(step: rebuild.Step, tmp_path: Path) -> None:
    raw: Any = yaml.safe_load((Path("models") / step.model / step.file).read_text())
    if raw.get("task", "detect") == "detect":
        plan: Any = rebuild.tiny_detector(raw, tmp_path)
        assert sum(stage.steps for stage in plan.stages) <= 30
        assert (plan.net, plan.size) == (Recipe.model_validate(raw).net, raw.get("size", 320))
    else:
        plan = rebuild.tiny_classifier(raw, tmp_path)
        assert plan.schedule.steps <= 30
    assert plan.labels == tuple(raw["labels"])
    text = plan.model_dump_json()
    assert "shared" not in text
    assert "/work" not in text.replace(str(tmp_path), "")


def test_what_is_fitted_anew_comes_after_its_training_and_ships_in_its_place(tmp_path: Path) -> None:
    sound = [step for step in rebuild.steps() if step.model == "muffnet-sound"]
    assert [(s.file, s.run, s.refits, s.ships) for s in sound] == [
        ("recipe.yaml", "sound", "", False),
        ("recipe-refit.yaml", "sound-refit", "sound", True),
    ]
    assert rebuild.steps(tmp_path) == list(rebuild.STEPS)  # no such recipe anywhere


def test_a_start_that_no_step_has_left_is_no_start(tmp_path: Path) -> None:
    raw = {"start": "var/lab/run/checkpoint.pt"}
    assert rebuild.started(raw, tmp_path) is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    assert rebuild.started(raw, tmp_path) == tmp_path / "run" / "checkpoint.pt"


def test_what_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="muffnet-nose: no recipe; known are lrssd-park, "):
        rebuild.rebuild(["muffnet-nose"], tmp_path, full=False)
    monkeypatch.setattr(rebuild, "SHARED", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"a full rebuild trains on .*nowhere, which is not here"):
        rebuild.rebuild([], tmp_path, full=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_of_them_are_made_and_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "rebuild", "-o", str(tmp_path), "--threads", "1", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {step.model for step in rebuild.STEPS}
    for entry in made.values():
        bundle = Bundle.open(entry["bundle"])
        assert bundle.verify() == []
        assert {"onnxruntime", "openvino", "tflite", "mnn"} <= set(bundle.manifest.files)
        assert bundle.manifest.golden is not None
