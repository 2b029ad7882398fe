"""Whatever a part of the lab is given, it works or says in one of our words what would be right; its examples work."""

import argparse
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from smartbox.__main__ import main, parser
from smartbox.commands.lab import PARTS
from smartbox.lab import recipe_classify
from smartbox.lab.train_classify import build
from tests.cli.conftest import Said
from tests.conftest import ROOT
from tests.lab.conftest import EARS

# Part -> a call of it that would work, with the names of what `place` holds.
GOOD = {
    "train": "{recipe} -o {out}/run",
    "restore": "{bundle} --recipe {detector} -o {out}/old.pt",
    "refit": "{recipe} --checkpoint {checkpoint} -o {out}/new.pt",
    "compare": "{plan} -o {out}/runs --report {report}",
    "rebuild": "muffnet-slot -o {out}/models",
    "export": "{recipe} --checkpoint {checkpoint} -o {out}/ears --version 1",
    "formats": "{bundle} --recipe {detector} --checkpoint {checkpoint}",
    "import": "{onnx} -o {out}/mine --labels {labels} --pictures {pictures}/images",
    "examples": "{recipe} -o {out}/examples",
    "simulate": "-o {out}/pictures --seed 1 --count 1",
    "teach": "{bundle} --data {pictures} -o {out}/taught.npz",
    "evaluate": "{bundle} --data {pictures}",
    "calibrate": "{bundle} --data {pictures}",
    "seal": "{bundle} --key {key} --for {reader} -o {out}/x.sealed",
    "keygen": "-o {out}/new.key",
}
FILE, BYTES, FOLDER = ("gone", "folder", "text", "binary"), ("gone", "folder", "binary"), ("gone", "text", "folder")
NEW_FILE, NEW_FOLDER, BUNDLE = ("folder", "below"), ("text", "below"), ("gone", "folder", "text", "name")
# What of it is a path, and how that may be wrong.
PATHS = {
    "train": {"{recipe}": FILE, "{out}/run": NEW_FOLDER},
    "restore": {"{bundle}": BUNDLE, "{detector}": FILE, "{out}/old.pt": NEW_FILE},
    "refit": {"{recipe}": FILE, "{checkpoint}": FILE, "{out}/new.pt": NEW_FILE},
    "compare": {"{plan}": FILE, "{out}/runs": NEW_FOLDER, "{report}": FILE},
    "rebuild": {"muffnet-slot": ("name",), "{out}/models": NEW_FOLDER},
    "export": {"{recipe}": FILE, "{checkpoint}": FILE, "{out}/ears": NEW_FOLDER},
    "formats": {"{bundle}": BUNDLE, "{detector}": FILE, "{checkpoint}": FILE},
    "import": {"{onnx}": FILE, "{out}/mine": NEW_FOLDER, "{labels}": BYTES, "{pictures}/images": ("gone", "text")},
    "examples": {"{recipe}": FILE, "{out}/examples": NEW_FOLDER},
    "simulate": {"{out}/pictures": NEW_FOLDER},
    "teach": {"{bundle}": BUNDLE, "{pictures}": FOLDER, "{out}/taught.npz": NEW_FILE},
    "evaluate": {"{bundle}": BUNDLE, "{pictures}": FOLDER},
    "calibrate": {"{bundle}": BUNDLE, "{pictures}": FOLDER},
    "seal": {"{bundle}": BUNDLE, "{key}": FILE, "{reader}": FILE, "{out}/x.sealed": NEW_FILE},
    "keygen": {"{out}/new.key": NEW_FILE},
}  # fmt: skip
CASES = [(part, path, wrong) for part, paths in PATHS.items() for path, kinds in paths.items() for wrong in kinds]


@dataclass(frozen=True)
class Place:
    """A directory with one good thing of each kind, and bad ones."""

    root: Path

    def words(self, text: str) -> list[str]:
        names = {path.stem: str(path) for path in (self.root / "good").iterdir()}
        return shlex.split(text.format(out=self.root / "out", **names))

    def wrong(self, kind: str) -> str:
        bad = self.root / "bad"
        return {"gone": str(bad / "gone"), "below": str(bad / "text" / "x"), "name": "nobody"}.get(
            kind, str(bad / kind)
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("place")
    good, bad = root / "good", root / "bad"
    good.mkdir()
    (bad / "folder").mkdir(parents=True)
    (bad / "text").write_text("hello")
    (bad / "binary").write_bytes(bytes(range(256)))
    (good / "recipe.yaml").write_text(EARS)
    (good / "labels.txt").write_text("car\n")
    (good / "report.md").write_text("<!-- compare -->\n<!-- /compare -->\n")
    (good / "onnx.onnx").write_bytes((ROOT / "models/muffnet-slot/muffnet-slot.onnx").read_bytes())
    shutil.copyfile(ROOT / "models/lrssd-park-lite/recipe.yaml", good / "detector.yaml")
    shutil.copyfile(ROOT / "benchmarks/compare/muffnet.yaml", good / "plan.yaml")
    shutil.copytree(ROOT / "models/lrssd-park-lite", good / "bundle")
    net = build(recipe_classify.read(good / "recipe.yaml"))
    torch.save({"ema": net.state_dict()}, good / "checkpoint.pt")
    assert main(["lab", "simulate", "-o", str(good / "pictures"), "--seed", "2100000", "--count", "2"]) == 0
    assert main(["lab", "keygen", "-o", str(root / "key")]) == 0
    assert main(["lab", "keygen", "-o", str(root / "reader"), "--reader"]) == 0
    (root / "key").rename(good / "key")
    (root / "reader.pub").rename(good / "reader")
    return Place(root)


@pytest.mark.parametrize(("part", "path", "wrong"), CASES, ids=lambda text: re.sub(r"[{}]|out/", "", text))
def test_a_path_that_leads_nowhere(
    place: Place, part: str, path: str, wrong: str, smartbox: Callable[..., Said]
) -> None:
    whole = GOOD[part].replace(path, "WRONG")
    bad = place.wrong(wrong)
    said = smartbox("lab", part, *(bad if word == "WRONG" else word for word in place.words(whole)))
    assert (said.code in (1, 2, 78), said.out) == (True, ""), said
    assert bad in said.err or bad.removesuffix("/x") in said.err, said.err
    assert "Errno" not in said.err
    assert not re.search(r"(No such file or directory|Is a directory|Not a directory)\)?$", said.err.strip())


def test_every_path_of_every_part_is_tried() -> None:
    top = parser(["lab"])._actions[-1].choices["lab"]  # type: ignore[index, call-overload]
    parts = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction)).choices
    assert set(GOOD) == set(PATHS) == {part.name for part in PARTS} == set(parts)
    for name, one in parts.items():
        paths = [a for a in one._actions if a.type is Path or a.dest in ("bundle", "readers")]
        assert len(paths) <= len(PATHS[name]), name


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (
            "evaluate lrssd-park --data /nowhere",
            1,
            "--data /nowhere: there is no such directory; give a",
        ),
        ("evaluate muffnet-slot --data {empty}", 78, "must hold a directory for each of free, occupied"),
        ("evaluate muffnet-sound --data {empty}", 78, "no folder bears the name of a label"),
        ("evaluate lrssd-park --data {pictures} --group car", 2, "write it as vehicle=car,bus,truck"),
        ("evaluate lrssd-pork --data {pictures}", 78, "did you mean 'lrssd-park'?"),
        ("calibrate lrssd-park --data {pictures}", 2, "give its directory, "),
        ("calibrate {bundle} --data {pictures} --threshold 2", 2, "a number from 0 to 1"),
        ("formats {bundle} --recipe {recipe}", 2, "--recipe and --checkpoint go together"),
        ("rebuild muffnet-nose", 78, "known are lrssd-park"),
        ("simulate -o {empty} --seed 1 --labels ufo", 2, "ufo cannot be drawn"),
        ("compare {plan} -o {empty} --net alexnet", 2, "--net alexnet"),
        ("refit {recipe} --checkpoint {checkpoint} -o {empty}/x --batches 0", 2, "at least 1"),
        ("export {recipe} --checkpoint {checkpoint} -o {empty} --version ''", 2, "must not be empty"),
    ],
)
def test_what_is_wrong_and_what_would_be_right(
    place: Place, words: str, code: int, reason: str, tmp_path: Path, smartbox: Callable[..., Said]
) -> None:
    said = smartbox("lab", *place.words(words.replace("{empty}", str(tmp_path))))
    assert (said.code, said.out) == (code, ""), said
    assert reason in said.err


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("type: muffnet", "type: resnet", "net.type: 'resnet' is no net that classifies; known are muffnet, "),
        ("expand: 16", "expend: 16", "unexpected keyword argument 'expend'); it takes spec, expand"),
        ("spec: {stem: 4, ", "spec: {", "missing 1 required positional argument: 'stem'"),
        ("name: ears", "nane: ears", ".yaml: nane: no such key here"),
        ("kind: other", "kind: siren", ".yaml: data.1.kind: Input should be 'alarm' or 'other'"),
    ],
)
def test_a_recipe_with_something_wrong(
    old: str, new: str, reason: str, tmp_path: Path, smartbox: Callable[..., Said]
) -> None:
    (tmp_path / "bad.yaml").write_text(EARS.replace(old, new))
    said = smartbox("lab", "train", tmp_path / "bad.yaml", "-o", tmp_path / "run")
    assert (said.code, said.out) == (78, ""), said
    assert reason in said.err


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("classes.txt", "", "names no class"),
        ("labels/{name}.txt", "0 0.5 0.5", "is no box; a line is CLASS X Y WIDTH HEIGHT"),
        ("labels/{name}.txt", "0 a b c d", "is no box"),
        ("labels/{name}.txt", "9 0.5 0.5 0.1 0.1", "class 9, and classes.txt names only 6, from 0"),
        ("images/{name}.jpg", "no picture", "not a picture that OpenCV can read"),
        ("images.tsv", "a\tb\n1\t2\n", "has no column `name`"),
    ],
)
def test_a_folder_of_pictures_with_something_wrong(
    place: Place, file: str, text: str, reason: str, tmp_path: Path, smartbox: Callable[..., Said]
) -> None:
    data = shutil.copytree(place.root / "good" / "pictures", tmp_path / "data")
    name = min((data / "images").iterdir()).stem
    (data / file.format(name=name)).write_text(text)
    said = smartbox("lab", "evaluate", "lrssd-park-lite", "--data", data)
    assert (said.code, said.out) == (1, "")
    assert file.format(name=name) in said.err
    assert reason in said.err


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_an_example_is_shown_and_parses(part: argparse.Namespace, smartbox: Callable[..., Said]) -> None:
    assert smartbox("lab", part.name, "--help").out.endswith(f"example:\n  {part.example}\n")
    program, *words = shlex.split(part.example)
    assert (program, words[:2]) == ("smartbox", ["lab", part.name])
    parser(["lab"]).parse_args(words)


# These need a whole recipe's data, a user's own model, or minutes: tests/lab has them one by one.
LONG = {"restore", "simulate", "calibrate", "import", "rebuild"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_work_one_after_the_other(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smartbox: Callable[..., Said]
) -> None:
    """In a project's directory whose recipes are tiny."""
    good = place.root / "good"
    for name in ("muffnet-slot/recipe-simulated.yaml", "muffnet-sound/recipe-refit.yaml"):
        (tmp_path / "models" / name).parent.mkdir(parents=True)
        shutil.copyfile(good / "recipe.yaml", tmp_path / "models" / name)
    shutil.copytree(ROOT / "benchmarks" / "compare", tmp_path / "benchmarks" / "compare")
    shutil.copytree(good / "pictures", tmp_path / "var" / "lab" / "pictures")
    (tmp_path / "var" / "lab" / "sound").mkdir()
    shutil.copyfile(good / "checkpoint.pt", tmp_path / "var" / "lab" / "sound" / "checkpoint.pt")
    shutil.copyfile(good / "reader", tmp_path / "box.pub")
    monkeypatch.chdir(tmp_path)
    first = ("keygen", "train", "refit", "export")
    for part in sorted(PARTS, key=lambda part: first.index(part.name) if part.name in first else len(first)):
        if part.name not in LONG:
            said = smartbox(*shlex.split(part.example)[1:])
            assert said.code == 0, f"{part.example}\n{said.err}"
            assert said.out
