"""The classifiers that ship keep what their reports say: on data beside the project, and on simulated places."""

import json
from pathlib import Path

import cv2
import pytest

from smartbox.bundle import Bundle
from smartbox.lab.evaluate_classify import evaluate
from smartbox.lab.recipe_classify import read
from smartbox.simulation.carparks import carparks

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize("name", ["muffnet-slot", "muffnet-posture"])
def test_it_is_whole_small_and_as_its_recipe_says(name: str) -> None:
    bundle = Bundle.open(MODELS / name)
    assert bundle.verify() == []
    assert bundle.labels == read(MODELS / name / "recipe.yaml").labels
    assert max(file.bytes for file in bundle.manifest.files.values()) <= 0.6 * 2**20


def test_nine_of_ten_slots_of_simulated_car_parks_are_told(tmp_path: Path) -> None:
    """Places of a seed that no training has seen."""
    for i, (image, slots) in enumerate(carparks(77, 3, per_scene=2)):
        cv2.imwrite(str(tmp_path / f"p{i}.png"), image)
        document = {"slots": [{"polygon": s.polygon, "occupied": s.taken} for s in slots]}
        (tmp_path / f"p{i}.json").write_text(json.dumps(document))
    result = evaluate(Bundle.open(MODELS / "muffnet-slot"), tmp_path)
    assert result["images"] > 20
    assert result["top1"] >= 0.9


def test_held_out_frames_of_the_real_car_park(shared: Path) -> None:
    held_out = read(MODELS / "muffnet-slot" / "recipe.yaml").data[0]["held_out"]
    bundle = Bundle.open(MODELS / "muffnet-slot")
    assert evaluate(bundle, shared / "parking", prefix=",".join(held_out))["top1"] >= 0.98
