"""Training by several processes: a real torchrun of two, beside what one process does; and mixed precision."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from smartbox.__main__ import main
from smartbox.errors import ConfigError
from smartbox.lab.parallel import ALONE, Ranks, group
from smartbox.lab.recipe import Recipe
from smartbox.lab.recipe_classify import ClassifyRecipe
from smartbox.lab.train_classify import Batches, Trainer, gather
from smartbox.lab.training import fast_bfloat16, precision

SPEC = {"stem": 8, "stages": [8, 16, 16], "widths": [8, 8, 8], "blocks": [1, 1, 1]}


def recipes(root: Path) -> dict[str, dict[str, Any]]:
    """Noise of two classes, and one bright square. A rate that stays, so that a longer schedule begins as a shorter."""
    rng = np.random.default_rng(1)
    for part in ("images", "labels"):
        (root / "boxes" / part).mkdir(parents=True)
    (root / "boxes" / "classes.txt").write_text("square")
    (root / "boxes" / "labels" / "p.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    cv2.imwrite(str(root / "boxes" / "images" / "p.png"), np.kron(np.eye(2), np.full((32, 32), 220)).astype(np.uint8))
    for label in ("a", "b"):
        (root / "crops" / label).mkdir(parents=True)
        for i in range(8):
            cv2.imwrite(str(root / "crops" / label / f"{label}{i}_x.png"), rng.integers(0, 255, (32, 32, 3)))
    rate = {"batch": 5, "lr": 1e-3, "lr_end": 1e-3, "warmup": 1}
    classify: dict[str, Any] = {
        "task": "classify",
        "name": "tiny",
        "labels": ["a", "b"],
        "mixed": False,
        "net": {"options": {"spec": SPEC, "expand": 16}},
        "input": {"shape": [32, 32, 3]},
        "data": [{"type": "folder", "folder": str(root / "crops")}],
    }
    detect: dict[str, Any] = {
        "name": "tiny",
        "labels": ["square"],
        "mixed": False,
        "net": {"stem": 8, "stages": [8, 16, 16], "widths": [8, 8, 8], "features": 8},
        "data": [{"folder": str(root / "boxes")}],
        "stages": [{**rate, "size": [64, 128], "steps": 2}],
    }
    return {
        "whole": {**classify, "schedule": {**rate, "steps": 2}},
        "part": {**classify, "schedule": {**rate, "steps": 1}},
        "rest": {**classify, "schedule": {**rate, "steps": 2}},
        "detect": detect,
        "distil": {**detect, "distil": "nowhere.onnx"},
    }


@dataclass(frozen=True)
class Launch:
    """A torchrun that is over."""

    folder: Path
    code: int
    said: str
    errors: str

    def rank(self, number: int) -> dict[str, Any]:
        return dict(torch.load(self.folder / f"rank{number}.pt"))


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    folder = tmp_path_factory.mktemp("torchrun")
    for name, recipe in recipes(folder).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(Path(__file__).with_name("ranks.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert (folder / "lost.txt").exists(), done.stderr
    yield Launch(folder, done.returncode, done.stdout, done.stderr)


def test_only_the_first_rank_writes_and_tells(launch: Launch) -> None:
    told = [json.loads(line)["checkpoint"] for line in launch.said.splitlines()]
    assert told == [str(launch.folder / run / "checkpoint.pt") for run in ("whole", "parts", "parts", "detect")]
    assert sorted(p.name for p in (launch.folder / "whole").iterdir()) == ["checkpoint.pt", "curve.csv", "curve.png"]
    rows = list(csv.DictReader((launch.folder / "whole" / "curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2"]
    assert rows[0]["val_top1"]
    assert torch.load(launch.folder / "detect" / "checkpoint.pt", weights_only=True)["at"] == [1, 0, 2]


def test_a_stopped_training_goes_on_as_if_it_had_not_been(launch: Launch) -> None:
    whole, parts = (torch.load(launch.folder / run / "checkpoint.pt", weights_only=True) for run in ("whole", "parts"))
    assert whole["at"] == parts["at"] == [2, 2]
    for key in ("net", "ema"):
        assert all(torch.equal(value, parts[key][name]) for name, value in whole[key].items())


@pytest.mark.parametrize("name", ["classify", "detect", "distil"])
def test_two_ranks_learn_from_a_batch_what_one_process_does(launch: Launch, name: str) -> None:
    """Batch norms, dynamic assignment and its normalisers included; the shares are of three and two."""
    first, second = (launch.rank(number)["together"][name] for number in (0, 1))
    alone = launch.rank(0)["alone"][name]
    assert first["loss"] == second["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    for key in ("gradients", "statistics"):
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], alone[key], rtol=1e-3, atol=1e-4 * float(alone[key].abs().max()))


def test_a_rank_that_dies_ends_the_training_and_all_say_so(launch: Launch) -> None:
    assert "rank 0 of 2 stops: another process of this training is gone" in (launch.folder / "lost.txt").read_text()
    assert launch.code == 1
    assert "SIGKILL" in launch.errors


def test_shares_make_up_the_batch_and_no_rank_is_idle() -> None:
    for size in (1, 2, 3, 8):
        assert sum(Ranks(rank, size).share(8, "batch") for rank in range(size)) == 8
    with pytest.raises(ConfigError, match=r"stages\.0\.batch: a batch of 2 .*3 processes.*--nproc-per-node 2"):
        Ranks(0, 3).share(2, "stages.0.batch")


def test_ranks_draw_other_examples_and_the_same_each_time(tmp_path: Path) -> None:
    recipe = ClassifyRecipe.model_validate(recipes(tmp_path)["whole"])
    parts = gather(recipe, "train")
    drawn = [Batches(recipe, parts, ranks)[3][0] for ranks in (ALONE, Ranks(0, 2), Ranks(1, 2), Ranks(1, 2))]
    assert [len(arrays) for arrays in drawn] == [5, 3, 2, 2]
    assert torch.equal(drawn[2], drawn[3])
    assert not torch.equal(drawn[1][:2], drawn[2])


def test_what_is_left_over_in_the_environment_makes_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with group() as ranks:
        assert ranks == ALONE


def test_what_is_not_shared_is_refused_under_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert main(["lab", "compare", "plan.yaml", "-o", str(tmp_path)]) == 2
    assert "lab compare is the work of one process: start it without torchrun" in capsys.readouterr().err


def test_precision_is_the_devices_own_unless_it_is_named() -> None:
    own = torch.bfloat16 if fast_bfloat16() else None  # emulated, a step of a detector takes minutes
    assert [precision(True, device) for device in ("cuda", "cpu")] == [torch.float16, own]
    assert [precision("bfloat16", device) for device in ("cuda", "cpu")] == [torch.bfloat16] * 2
    assert precision(False, "cuda") is None


def test_float16_goes_on_with_its_scale_and_leaves_out_what_overflows(tmp_path: Path) -> None:
    """The path of GPUs, on the CPU."""
    recipe = ClassifyRecipe.model_validate(recipes(tmp_path)["whole"] | {"mixed": "float16"})
    arrays, classes = Batches(recipe, gather(recipe, "train"))[0]
    trainer = Trainer(recipe)
    assert np.isfinite(trainer.learn(arrays, classes, 1e-3)[0])
    before = trainer.net.state_dict()["classify.weight"].clone()
    trainer.descent.scaler.update(2.0**100)  # float16 ends at 65504
    trainer.learn(arrays, classes, 1e-3)
    assert torch.equal(trainer.net.state_dict()["classify.weight"], before)
    assert trainer.descent.scaler.get_scale() == 2.0**99
    trainer.save(tmp_path / "checkpoint.pt")
    again = Trainer(recipe)
    again.resume(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert again.descent.scaler.get_scale() == 2.0**99


def test_a_recipe_that_says_nothing_of_precision_is_written_as_ever(tmp_path: Path) -> None:
    """`lab compare` knows finished runs by a sum over it."""
    said = recipes(tmp_path)["detect"]
    plain = Recipe.model_validate({key: value for key, value in said.items() if key != "mixed"})
    assert "mixed" not in plain.model_dump()
    assert Recipe.model_validate(said).model_dump()["mixed"] is False
