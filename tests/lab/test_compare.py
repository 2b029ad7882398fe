"""Nets against one another: trained alike, each once, the rate found on other crops than the score."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from smartbox.__main__ import main
from smartbox.errors import ConfigError
from smartbox.lab import compare, compare_report
from smartbox.lab.compare_report import difference
from smartbox.lab.sets.listed import Plugin

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
ours: wide
nets:
  wide: {options: {spec: {stem: 8, stages: [16, 24, 32], widths: [8, 8, 16], blocks: [1, 1, 1]}, expand: 32}}
  thin: {options: {spec: {stem: 4, stages: [8, 8, 8], widths: [4, 4, 4], blocks: [1, 1, 1]}, expand: 8}}
seeds: [1, 2]
search: {rates: [1.0e-3, 5.0e-3], steps: 2}
recipe:
  task: classify
  name: squares
  labels: [dark, bright]
  input: {shape: [32, 32, 3], resize: letterbox}
  mixed: false
  ema: 0.9
  data: [{type: listed, folder: FOLDER, table: FOLDER/crops.tsv, size: 32}]
  schedule: {batch: 4, steps: 3, warmup: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures with a dark and a bright square each; two of every part."""
    rows = ["picture\tx0\ty0\tx1\ty1\tlabel\tpart"]
    for i, part in enumerate(("train", "train", "dev", "dev", "test", "test")):
        image = np.full((60, 120, 3), 120, np.uint8)
        image[10:50, 10:50] = 10 + i
        image[10:50, 70:110] = 240 - i
        cv2.imwrite(str(tmp_path / f"p{i}.png"), image)
        rows += [f"p{i}.png\t0.0833\t0.1667\t0.4167\t0.8333\tdark\t{part}"]
        rows += [f"p{i}.png\t0.5833\t0.1667\t0.9167\t0.8333\tbright\t{part}"]
    (tmp_path / "crops.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_table_alone_says_what_is_held_out(folder: Path) -> None:
    final = Plugin(folder=folder, table=folder / "crops.tsv", size=32)
    search = final.model_copy(update={"dev": True})
    labels = ("dark", "bright")
    counts = [len(s.load(labels, part).classes) for s in (final, search) for part in ("train", "val")]
    assert counts == [8, 4, 4, 4]
    shown = final.load(labels, "val")
    assert shown.arrays[0].shape == (32, 32, 3)
    middles = [int(a[10:16, 10:16].mean()) for a in shown.arrays]
    assert [m < 60 for m in middles] == [c == 0 for c in shown.classes]
    with pytest.raises(ConfigError, match=r"crops\.tsv names p0\.png, and .*nowhere has no such picture"):
        Plugin(folder=folder / "nowhere", table=folder / "crops.tsv").load(labels, "train")


def test_what_is_finished_is_not_trained_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, report = folder / "squares.yaml", folder / "REPORT.md"
    path.write_text(RECIPE.replace("FOLDER", str(folder)).replace("[1.0e-3, 5.0e-3]", "[5.0e-3]"))
    report.write_text("# Squares\n\n<!-- compare -->\nold\n<!-- /compare -->\n\nThe end.\n")
    words = ["lab", "compare", str(path), "-o", str(folder / "runs"), "--threads", "1", "--json"]
    assert main([*words, "--net", "wide"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["wide"]["seeds"], first["thin"]["seeds"]) == ([1, 2], [])
    assert main([*words, "--report", str(report)]) == 0
    said = capsys.readouterr()
    assert "wide-" not in said.err
    assert said.err.count(": 0.") + said.err.count(": 1.") == 3  # a rate and two seeds of the other
    both = json.loads(said.out)
    assert both["wide"]["scores"] == first["wide"]["scores"]
    assert both["thin"]["ours_ahead"]["seeds"] == 2
    assert set(both["wide"]["searched"]) == {"0.005"}
    rows = [json.loads(line) for line in (folder / "squares.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert {row["examples"] for row in rows} == {4}
    text = report.read_text()
    assert "| thin |" in text and "2 of 2" in text and "old" not in text and text.endswith("The end.\n")
    assert main([*words, "--table"]) == 0
    assert json.loads(capsys.readouterr().out) == both


def test_the_rate_is_that_which_was_best_on_dev(folder: Path) -> None:
    path = folder / "squares.yaml"
    path.write_text(RECIPE.replace("FOLDER", str(folder)))
    plan, table = compare.read(path), compare.Table(folder / "squares.jsonl")
    with pytest.raises(ConfigError, match="the search for a rate of wide is not finished"):
        compare.rate(plan, "wide", table)
    for lr, top1 in zip(plan.search.rates, (0.7, 0.6), strict=True):
        empty = compare._run(plan, "wide", 0, lr, dev=True)
        table.add(replace(empty, score=top1))
    assert compare.rate(plan, "wide", compare.Table(table.path)) == 1e-3
    longer = plan.model_copy(update={"search": plan.search.model_copy(update={"steps": 9})})
    assert list(compare.finished(longer, table)) == []  # of another recipe


def test_heads_differ_in_nothing_but_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = compare.read(Path("benchmarks/compare/heads.yaml"))
    ours, other = (plan.run(net, 1, 0.0, dev=False).model_dump() for net in ("lrssd", "ssd"))
    assert (ours.pop("net").pop("head"), other.pop("net").pop("head")) == ("lrssd", "ssd")
    assert ours == other
    assert "distil" not in plan.recipe


@pytest.mark.slow
def test_heads_are_trained_and_scored_as_the_box_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = {"stem": 8, "stages": [16, 24, 32], "widths": [8, 8, 16], "features": 16}
    data = [{"folder": "sim", "simulated": {"seed": 1_000_000, "count": 4}}]
    stages = [{"size": [64], "batch": 2, "steps": 2}]
    labels = ["person", "bicycle", "car", "motorcycle", "bus", "truck"]
    recipe = {"name": "tiny", "labels": labels, "size": 128, "net": net, "data": data, "stages": stages}
    nets = {"lrssd": {"head": "lrssd"}, "ssd": {"head": "ssd"}}
    document = {"ours": "lrssd", "nets": nets, "seeds": [1, 2], "score": {"data": "sim"}, "recipe": recipe}
    Path("tiny.yaml").write_text(json.dumps(document))
    assert main(["lab", "compare", "tiny.yaml", "-o", "runs", "--threads", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ssd"]["seeds"] == [1, 2]
    assert found["ssd"]["examples"] == 4
    assert found["ssd"]["macs"] > found["lrssd"]["macs"]
    assert found["ssd"]["ours_ahead"]["seeds"] == 2


def test_the_interval_is_students_of_the_pairs() -> None:
    ours, others = [0.80, 0.82, 0.84, 0.81], [0.75, 0.78, 0.77, 0.76]
    found = difference(ours, others)
    low, high = stats.ttest_rel(ours, others).confidence_interval(0.95)
    assert (found.seeds, found.mean) == (4, pytest.approx(5.25))
    assert (found.low, found.high) == (pytest.approx(100 * low), pytest.approx(100 * high))
    assert difference([0.8], [0.7]).low is None


def test_bad_recipes_and_reports_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "squares.yaml"
    path.write_text(RECIPE.replace("FOLDER", str(folder)).replace("ours: wide", "ours: deep"))
    assert main(["lab", "compare", str(path), "-o", str(folder / "runs")]) == 78
    assert "'deep' is none of the nets wide, thin" in capsys.readouterr().err
    lines = RECIPE.replace("FOLDER", str(folder)).splitlines()
    path.write_text("\n".join(line for line in lines if "data:" not in line))
    assert main(["lab", "compare", str(path), "-o", str(folder / "runs")]) == 78
    assert "data: " in capsys.readouterr().err
    path.write_text("\n".join(line for line in lines if "task:" not in line) + "\nscore: {data: x}\n")
    assert main(["lab", "compare", str(path), "-o", str(folder / "runs")]) == 78
    assert "search.rates: detectors are trained at the rates of their recipe's stages" in capsys.readouterr().err
    path.write_text(RECIPE.replace("FOLDER", str(folder)))
    assert main(["lab", "compare", str(path), "-o", str(folder / "runs"), "--net", "deep"]) == 2
    (folder / "REPORT.md").write_text("no place\n")
    with pytest.raises(ConfigError, match="write a line <!-- compare --> and a line <!-- /compare -->"):
        compare_report.insert("x", folder / "REPORT.md", "compare")


def test_the_committed_split_has_nine_classes_and_shares_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = compare.read(Path("benchmarks/compare/muffnet.yaml"))
    lines = [line.split("\t") for line in Path("benchmarks/compare/crops.tsv").read_text().splitlines()[1:]]
    assert {line[5] for line in lines} == set(plan.recipe["labels"])
    assert len(plan.recipe["labels"]) >= 8
    parts: dict[str, set[str]] = {}
    for line in lines:
        parts.setdefault(line[0], set()).add(line[6])
    assert all(len(found) == 1 for found in parts.values())


def test_the_three_nets_cost_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    plan = compare.read(Path("benchmarks/compare/muffnet.yaml"))
    from smartbox.lab.macs import count
    from smartbox.lab.train_classify import build

    costs = [count(build(plan.run(net, 1, 1e-3, dev=False)), (224, 224)).macs / 1e6 for net in plan.nets]
    assert all(39 <= cost <= 42 for cost in costs), costs
