"""A model on its way from the lab to a box, as the people at both ends do it: keygen, key, seal, install, rollback."""

import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.cli.conftest import Said, Site
from tests.sealing import opening_key, publisher

Smartbox = Callable[..., Said]


@dataclass(frozen=True)
class Lab:
    """Both ends of the way: a publisher's key, and a box that trusts it."""

    site: Site
    smartbox: Smartbox
    key: Path

    def seal(self, release: int, *more: object) -> Path:
        out = self.site.path / f"eyes-{release}.sealed"
        said = self.smartbox(
            "lab", "seal", self.site.path / "models" / "eyes", "--key", self.key, "--for", self.site.path / "box.pub",
            "--release", release, "-o", out, *more,
        )  # fmt: skip
        assert said.code == 0, said.err
        return out

    def models(self, *arguments: object) -> Said:
        return self.smartbox("models", *arguments, "-c", self.site.config)


@pytest.fixture
def lab(site: Site, smartbox: Smartbox, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab(site, smartbox, site.path / "lab.key")
    said = smartbox("lab", "keygen", "-o", made.key, "--json")
    assert said.code == 0, said.err
    site.edit("box: {", f"box: {{publishers: ['{said.document['public']}'], ")
    site.write("box.pub", made.models("key").out)
    monkeypatch.setenv("SMARTBOX_MODELS", str(site.path / "nowhere"))  # where the plain one lies: not on this box
    return made


def test_from_the_lab_to_the_box_and_back(lab: Lab) -> None:
    assert lab.models("list").out.startswith("lrssd-park"), "the ones that ship"
    said = lab.models("install", lab.seal(1))
    assert said.code == 0, said.err
    assert said.out.startswith("eyes 1.0.0, release 1 is current; before: nothing else\n")
    assert "systemctl reload" in said.out
    said = lab.models("install", lab.seal(2), "--json")
    assert (said.document["release_seq"], said.document["before"]) == (2, "1.0.0, release 1")
    rows = {row["name"]: row for row in lab.models("verify", "--json").document["bundles"]}
    assert rows["eyes"]["sealed"] and rows["eyes"]["verified"] and not rows["eyes"]["problems"]
    assert not rows["lrssd-park"]["sealed"]
    assert "release 2 signed by" in lab.models("list", "eyes").out
    said = lab.models("rollback", "eyes")
    assert (said.code, said.out.partition(";")[0]) == (0, "eyes 1.0.0, release 1 is current")


def test_what_is_refused_is_said_in_one_line_and_the_old_one_stays(lab: Lab) -> None:
    assert lab.models("install", lab.seal(5)).code == 0
    good = lab.seal(6)
    content = good.read_bytes()
    flipped = lab.site.path / "flipped.sealed"
    flipped.write_bytes(content[:-30] + bytes([content[-30] ^ 4]) + content[-29:])
    for path, reason in (
        (lab.seal(4), "takes nothing older"),
        (lab.seal(8, "--hardware", "mips"), "is for mips"),
        (flipped, "was changed"),
        (lab.site.path / "models" / "eyes", "Is a directory"),
        ("nothing", "nothing cannot be read"),
    ):
        said = lab.models("install", path)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("smartbox models: ") and len(said.err.splitlines()) == 1
        assert reason in said.err
        assert lab.models("verify", "eyes", "--json").document["bundles"][0]["release_seq"] == 5
    said = lab.models("rollback", "eyes")
    assert (said.code, "first that was installed" in said.err) == (1, True)
    said = lab.models("rollback", "lrssd-park")
    assert (said.code, "installed are eyes" in said.err) == (1, True)


def test_what_would_not_run_is_not_made_current(lab: Lab) -> None:
    """It does not fit the rules, or the engine computes something else with it."""
    eyes = lab.site.path / "models" / "eyes"
    said = lab.models("install", lab.seal(1))
    assert "none of its backends is installed here; it was not run" in said.out, "recorded answers are no engine"
    manifest = (eyes / "manifest.yaml").read_text()
    lab.site.write("models/eyes/manifest.yaml", manifest.replace("person", "human"))
    said = lab.models("install", lab.seal(2))
    assert (said.code, said.out) == (1, "") and "rules.nobody" in said.err and "does not know person" in said.err
    lab.site.edit("{bundle: eyes, backends: [scripted]}", "{bundle: tiny, backends: [auto, onnxruntime]}")
    shutil.rmtree(eyes)
    tiny.write(eyes, "onnxruntime")
    said = lab.models("install", lab.seal(3))
    assert said.code == 0 and "onnxruntime runs it as its golden outputs say" in said.out
    for weights, reason in ((tiny.onnx_bytes(boxes=np.zeros((12, 12), np.int8)), "onnxruntime: off"), (b"x", "onnx")):
        shutil.rmtree(eyes)
        tiny.write(eyes, "onnxruntime", files={"onnxruntime": weights})
        said = lab.models("install", lab.seal(4))
        assert (said.code, said.out) == (1, "") and f"does not run here: {reason}" in said.err
        assert len(said.err.splitlines()) == 1
        (lab.site.path / "eyes-4.sealed").unlink()
    rows = {row["name"]: row for row in lab.models("list", "--json").document["bundles"]}
    assert (rows["eyes"]["release_seq"], rows["tiny"]["release_seq"]) == (1, 3)


def test_rollback_goes_to_a_plain_bundle_only_where_that_may_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(lab.site.path / "venv"))  # the plain one ships beside the program
    lab.models("install", lab.seal(1))
    lab.site.edit("{bundle: eyes,", "{bundle: eyes, sealed: true,")
    said = lab.models("rollback", "eyes")
    assert (said.code, said.out, "only a sealed one is wanted" in said.err) == (1, "", True)
    assert lab.smartbox("check", "-c", lab.site.config).code == 0
    lab.site.edit("sealed: true,", "")
    said = lab.models("rollback", "eyes")
    assert said.code == 0 and "a plain bundle: nobody signed it" in said.out
    assert lab.smartbox("check", "-c", lab.site.config).code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["install", "a", "b"], "install takes one sealed file"),
        (["rollback"], "rollback takes one name"),
        (["key", "a"], "key takes no model"),
    ],
)
def test_wrong_usage(lab: Lab, arguments: list[str], reason: str) -> None:
    said = lab.models(*arguments)
    assert (said.code, reason in said.err) == (2, True)


def test_without_a_configuration_nobody_is_trusted(lab: Lab) -> None:
    said = lab.smartbox("models", "install", "x")
    assert (said.code, "needs -c FILE" in said.err) == (2, True)
    said = lab.smartbox("models", "verify", lab.seal(1))
    assert said.code == 1 and "no key" in said.out


def test_keys_are_made_once(lab: Lab) -> None:
    assert stat.S_IMODE(lab.key.stat().st_mode) == 0o600
    said = lab.smartbox("lab", "keygen", "-o", lab.key)
    assert (said.code, "is there already" in said.err) == (1, True)
    assert lab.models("key").out == lab.models("key").out == (lab.site.path / "box.pub").read_text()
    said = lab.smartbox("lab", "keygen", "-o", lab.site.path / "reader.key", "--reader", "--json")
    assert said.document["public"].startswith("x25519:")


def test_releases_number_themselves_and_one_file_serves_many_boxes(lab: Lab) -> None:
    out = lab.site.path / "eyes.sealed"
    boxes = [lab.site.path / "box.pub", opening_key().public]
    eyes = lab.site.path / "models" / "eyes"
    said = lab.smartbox("lab", "seal", eyes, "--key", lab.key, "--for", *boxes, "-o", out, "--json")
    assert said.code == 0, said.err
    assert said.document["release"] > 1_700_000_000 and len(said.document["for"]) == 2
    assert lab.models("install", out).code == 0


def test_what_cannot_be_sealed(lab: Lab) -> None:
    eyes, out = lab.site.path / "models" / "eyes", lab.site.path / "out.sealed"
    good = {"--key": lab.key, "--for": lab.site.path / "box.pub", "--release": 1}
    for change, code, reason in (
        ({"--key": lab.site.path / "box.pub"}, 1, "no private key in PEM"),
        ({"--key": lab.site.path / "none"}, 1, "no such file"),
        ({"--for": lab.site.path / "lab.key.pub"}, 1, "of another kind"),
        ({"--for": "x25519:AAAA"}, 1, "is no public key to seal for"),
        ({"--release": -1}, 2, "whole number"),
        ({"--not-after": "tomorrow"}, 2, "'tomorrow': write it as 2027-11-24"),
        ({"--not-after": "2020-01-01"}, 2, "'2020-01-01': is over already"),
        ({"--not-after": "9999-12-31T23:00:00-05:00"}, 2, "is after the year 9999"),
    ):
        words = [str(word) for pair in (good | change).items() for word in pair]
        said = lab.smartbox("lab", "seal", eyes, *words, "-o", out)
        assert (said.code, reason in said.err) == (code, True), said.err
        assert not out.exists() and not list(lab.site.path.glob("*.part"))


def test_check_explains(lab: Lab) -> None:
    lab.models("install", lab.seal(1))
    lab.models("install", lab.seal(2))
    said = lab.smartbox("check", "-c", lab.site.config)
    assert said.code == 0, said.err
    assert "model  eyes: eyes 1.0.0, sealed, release 2, signed by" in said.out
    newest = next((lab.site.path / "state" / "models" / "eyes").glob("2-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    said = lab.smartbox("check", "-c", lab.site.config, "--json")
    assert said.code == 0
    assert said.document["plan"]["models"]["eyes"].startswith("eyes 1.0.0, sealed, release 1,")
    assert any("an earlier one runs" in text and newest.name in text for text in said.document["warnings"])
    for path in newest.parent.glob("*.sealed"):
        path.write_bytes(b"x")
    said = lab.smartbox("check", "-c", lab.site.config)
    assert (said.code, "models.eyes.bundle" in said.err, "no sealed file" in said.err) == (78, True, True)


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        ("publishers: [lab]", "box.publishers.0", "is no public key to check a signature with"),
        # A name of its own: every process must find the same tests.
        pytest.param(f"publishers: ['{opening_key().public}']", "box.publishers.0", "of another kind", id="to-open"),
        ("key: hunter2", "box.key", "is no private key in PEM"),
    ],
)
def test_keys_that_are_none_are_refused(site: Site, smartbox: Smartbox, change: str, where: str, reason: str) -> None:
    site.edit("box: {", f"box: {{{change}, ")
    said = smartbox("check", "-c", site.config)
    assert (said.code, where in said.err, reason in said.err) == (78, True, True)
    assert "hunter2" not in said.err


@pytest.mark.parametrize(
    "place", ["evidence: {readers: [KEY], ", "box: {publishers: [KEY], ", "evidence: {free: KEY, "]
)
@pytest.mark.parametrize("written", ["!secret lab_key", "'{}'"])
def test_no_message_tells_a_private_key(site: Site, smartbox: Smartbox, place: str, written: str) -> None:
    """Where a configuration has one in a wrong place: not even its beginning."""
    assert smartbox("lab", "keygen", "-o", site.path / "secrets" / "lab_key").code == 0
    pem = (site.path / "secrets" / "lab_key").read_text()
    head = place.partition("{")[0] + "{"
    site.edit(head, place.replace("KEY", written.format(pem.replace("\n", "\n\n"))))
    for more in ([], ["--json"]):
        said = smartbox("check", "-c", site.config, *more)
        assert said.code == 78
        assert "MC4C" not in said.out + said.err
        assert "free" in place or "this is a private key; give the .pub" in said.out + said.err


def test_bench_measures_what_the_box_would_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release = lab.seal(1)
    assert lab.models("install", release).code == 0
    monkeypatch.setenv("STATE_DIRECTORY", str(lab.site.path / "state"))
    measured = ["--backend", "scripted", "--runs", "1", "--json"]
    for name in ("eyes", release, release.name):
        said = lab.smartbox("bench", "-c", lab.site.config, "--bundle", name, *measured)
        assert [row["name"] for row in said.document["bundles"]] == ["eyes"], said.err
    for name in ("eyes", release):
        said = lab.smartbox("bench", "--bundle", name, *measured)
        assert (said.code, "nobody is trusted" in said.err, "give -c" in said.err) == (78, True, True)


def test_verify_takes_a_file_that_lies_here(lab: Lab) -> None:
    name = lab.seal(1).name
    said = lab.models("verify", name, "--json")
    assert said.code == 0, said.out
    assert [row["name"] for row in said.document["bundles"]] == ["eyes"]
    for words in (["--json", name], [name, "--json"], ["-c", lab.site.config, name]):
        said = lab.smartbox("models", "verify", "-c", lab.site.config, *words)
        assert said.code == 0 and "eyes" in said.out, said.err
    said = lab.smartbox("models", "verify", "--jsom", name)
    assert (said.code, "unrecognized arguments: --jsom" in said.err) == (2, True)
    said = lab.models("verify", "~nosuch/eyes", "--json")
    assert (said.code, "no such home directory" in said.out) == (1, True)


def test_lab_seal_tells_no_private_key(lab: Lab) -> None:
    eyes, out = lab.site.path / "models" / "eyes", lab.site.path / "out.sealed"
    pem = lab.key.read_text()
    for key, reader, reason in (
        (lab.key, lab.key, "this is a private key; give the .pub"),
        (lab.key, pem, "this is a private key; give the .pub"),
        (lab.key, pem.splitlines()[1], "this is a private key; give the .pub"),
        (pem, lab.site.path / "box.pub", "this is a private key itself; give the file that holds it"),
    ):
        said = lab.smartbox("lab", "seal", eyes, f"--key={key}", "-o", out, f"--for={reader}")
        assert (said.code, reason in said.err) == (1, True)
        assert "MC4C" not in said.out + said.err


def test_the_box_key_may_be_a_secret_of_the_configuration(lab: Lab) -> None:
    """As a systemd credential, say: then no key lies in the state directory."""
    keys = lab.site.path / "state" / "keys"
    lab.models("install", lab.seal(1))
    (lab.site.path / "secrets").mkdir()
    (keys / "box.key").rename(lab.site.path / "secrets" / "box_key")
    assert lab.smartbox("check", "-c", lab.site.config).code == 78
    lab.site.edit("box: {", "box: {key: !secret box_key, ")
    said = lab.smartbox("check", "-c", lab.site.config)
    assert said.code == 0 and "eyes 1.0.0, sealed, release 1" in said.out, said.err
    assert lab.models("key").out == (lab.site.path / "box.pub").read_text()
    assert not list(keys.iterdir())


def test_a_plain_model_where_a_sealed_one_is_wanted(site: Site, smartbox: Smartbox) -> None:
    site.edit("{bundle: eyes,", "{bundle: eyes, sealed: true,")
    said = smartbox("check", "-c", site.config)
    assert (said.code, "only a sealed one is wanted" in said.err) == (78, True)


def test_replay_runs_a_sealed_model_as_the_plain_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTBOX_MODELS", str(lab.site.path / "models"))
    plain = lab.smartbox("replay", "-c", lab.site.config)
    lab.models("install", lab.seal(1))
    monkeypatch.setenv("SMARTBOX_MODELS", str(lab.site.path / "nowhere"))
    sealed = lab.smartbox("replay", "-c", lab.site.config)
    assert (plain.code, sealed.code) == (0, 0), sealed.err

    def told(said: Said) -> list[object]:
        documents = [json.loads(line) for line in said.out.splitlines()]
        return [d | {"data": {k: v for k, v in d["data"].items() if k != "model"}} for d in documents]

    assert told(plain) == told(sealed) != []


def test_the_shipped_detector_runs_sealed(lab: Lab, smartbox: Smartbox) -> None:
    shipped = Path(__file__).parents[2] / "models" / "lrssd-park"
    out = lab.site.path / "lrssd-park.sealed"
    arguments = ["--key", lab.key, "--for", lab.site.path / "box.pub", "--release", "1", "-o", out]
    assert smartbox("lab", "seal", shipped, *arguments).code == 0
    assert lab.models("install", out).code == 0
    lab.site.edit("{bundle: eyes, backends: [scripted]}", "{bundle: lrssd-park, sealed: true, backends: [onnxruntime]}")
    said = smartbox("check", "-c", lab.site.config, "--probe", "--json")
    probe = {item["what"]: item for item in said.document["probe"]}
    assert probe["models.eyes"]["error"] is None and "on onnxruntime" in probe["models.eyes"]["detail"]
    assert probe["sources.gate"]["error"] is None
    stranger = str(publisher().public)
    lab.site.config.write_text(lab.site.text.replace(lab.site.text.split("'")[1], stranger))
    said = smartbox("check", "-c", lab.site.config)
    assert (said.code, "box.publishers does not name" in said.err) == (78, True)
