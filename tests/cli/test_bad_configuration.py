"""Every mistake that an installer makes in the file: refused with 78, by its key, its line, and what would be right."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smartbox.schedule import zone
from tests.cli.conftest import Said, Site

MISTAKES = [
    # what is changed, the key's path that is told, the value or word that is told, what would be right
    ("fps: 5", "fsp: 5", "sources.gate.fsp", "'fsp'", "did you mean 'fps'"),
    ("dwell: 1s", "dwell: 1 sec", "rules.nobody.dwell", "'1 sec'", "write it as 60s"),
    ("dwell: 1s", "dwell: .inf", "rules.nobody.dwell", "inf", "write it as 60s"),
    ("dwell: 1s", "dwell: .nan", "rules.nobody.dwell", "nan", "write it as 60s"),
    ("dwell: 1s", f"dwell: {'9' * 400}", "rules.nobody.dwell", "999", "write it as 60s"),
    ("keep: 14d", "keep: yes", "evidence.keep", "True", "write it as 60s"),
    ("bytes: 8GB", "bytes: .inf", "evidence.bytes", "inf", "write it as 8GB"),
    ("bytes: 8GB", "bytes: 8G", "evidence.bytes", "'8G'", "units are"),
    ("zones: [yard]", "zones: yard", "rules.nobody.zones", "'yard'", "a list in brackets"),
    ("zones: [yard]", "zones: [yrad]", "rules.nobody.zones.0", "'yrad'", "did you mean 'yard'"),
    ("zones: [yard]", "zones: []", "rules.nobody", "zones is missing", "at least one zone"),
    ("id: box-1", "id: 17", "box.id", "17", "put a number or a date in quotes"),
    ("id: box-1", "id: 2026-01-01", "box.id", "2026", "put a number or a date in quotes"),
    ("site: park-a", "site: Park A", "box.site", "'Park A'", "use a-z, 0-9 and -"),
    ("type: file", "type: flie", "sources.gate.type", "'flie'", "did you mean 'file'"),
    ("type: file, ", "", "sources.gate.type", "is missing", "known are"),
    ("type: intrusion", "type: [intrusion]", "rules.nobody.type", "['intrusion']", "known are"),
    ("model: eyes", "model: eye", "sources.gate.model", "'eye'", "did you mean 'eyes'"),
    (", model: eyes", "", "sources.gate.model", "is missing", "rule 'nobody' watches this source"),
    ("source: gate", "source: gaet", "zones.yard.source", "'gaet'", "did you mean 'gate'"),
    ("backends: [scripted]", "backends: [cuda]", "models.eyes.backends.0", "'cuda'", "known are"),
    ("backends: [scripted]", "backends: scripted", "models.eyes.backends", "'scripted'", "a list in brackets"),
    ("backends: [scripted]", "backends: []", "models.eyes.backends", "has 0", "at least 1"),
    ("bundle: eyes", "bundle: eye", "models.eyes.bundle", "'eye'", "did you mean 'eyes'"),
    ("bundle: eyes", "bundle: ./models", "models.eyes.bundle", "models", "has no manifest.yaml"),
    ("bundle: eyes", "bundle: ./gone", "models.eyes.bundle", "gone", "does not exist"),
    ("bundle: eyes", "bundle: ./smartbox.yaml", "models.eyes.bundle", "smartbox.yaml", "a bundle is a directory"),
    ("fps: 5", "fps: five", "sources.gate.fps", "'five'", "must be a number"),
    ("fps: 5", "fps: 0", "sources.gate.fps", "0", "must be more than 0"),
    ("fps: 5", "fps: .nan", "sources.gate.fps", "nan", "must be"),
    ("fps: 5", "gate: maybe", "sources.gate.gate", "'maybe'", "true or false"),
    ("rules:", "rule:", "rule", "'rule'", "did you mean 'rules'"),
    ("version: 1", "version: 2", "version", "2", "write `version: 1`"),
    ("version: 1", "", "version", "is missing", "write `version: 1`"),
    ("mqtt: {", "#", "mqtt", "is missing", "it needs"),
    ("[0.95, 1.0], ", "[95, 98], ", "zones.yard.polygon.2.0", "95", "not pixels"),
    ("[0.95, 1.0], ", "[0.95], ", "zones.yard.polygon.2.1", "is missing", ""),
    ("[0.95, 1.0], ", "0.95, ", "zones.yard.polygon.2", "0.95", "a list in brackets"),
    ("[0.95, 0.1], [0.95, 1.0], [0.05, 1.0]", "", "zones.yard.polygon", "it has 1", "at least 3"),
    ("[0.95, 1.0], [0.05, 1.0]", "[0.05, 0.1]", "zones.yard", "no area", "on one line"),
    ("[0.95, 0.1], [0.95, 1.0],", "[0.95, 1.0], [0.95, 0.1],", "zones.yard", "sides", "in order, once around"),
    ("url: mqtt", "credentials: {user: b}, url: mqtt", "mqtt.credentials.user", "'user'", "did you mean 'username'"),
    ("dwell: 1s", "schedule: {windows: [{frm: 1}]}", "rules.nobody.schedule.windows.0.frm", "'frm'", "mean 'from'"),
    ("[0.95, 1.0],", "[0.95, 1.0]," * 30, "zones.yard.polygon", "it has 33", "at most 32"),
    ("polygon:", "polygone:", "zones.yard.polygone", "'polygone'", "did you mean 'polygon'"),
    ("dwell: 1s", "severity: hihg", "rules.nobody.severity", "'hihg'", "must be one of"),
    ("dwell: 1s", "labels: [persn]", "rules.nobody", "persn", "it knows person, car"),
    ("dwell: 1s", "schedule: {timezone: Berln}", "rules.nobody.schedule.timezone", "Berln", "such as Europe/Berlin"),
    ("mqtt://127.0.0.1", "tcp://127.0.0.1", "mqtt.url", "tcp://127.0.0.1", "mqtts://broker.example"),
    ("mqtt://127.0.0.1", "127.0.0.1", "mqtt.url", "127.0.0.1", "mqtts://broker.example"),
    ("url: mqtt://127.0.0.1", "credentials: bob, url: mqtt://127.0.0.1", "mqtt.credentials", "", "name:password"),
    ("fps: 5", "fps: 5, fps: 6", "sources.gate.fps", "stands twice", "line 7"),
    ("fps: 5", "fps: !secrt x", "sources.gate.fps", "!secrt", "known are !secret and !include"),
    ("fps: 5", "fps: !secret [x]", "sources.gate.fps", "!secret", "write it as `!secret name`"),
    ("fps: 5", "[a]: 5", "sources.gate", "no plain word", "line 7"),
    ("  gate: {", "  Gate_1: {", "sources.Gate_1", "'Gate_1'", "use a-z, 0-9 and -"),
    ("models:", "models: [eyes]\nmodel:", "models", "a mapping", "an id to its settings"),
    ("zones: [yard]", "zones: [yard, yard]", "rules.nobody.zones", "'yard'", "name it once"),
    ("dwell: 1s", "cameras: [gate, gate]", "rules.nobody.cameras", "'gate'", "name it once"),
    ("dwell: 1s", "dwell: 1:30", "rules.nobody.dwell", "'1:30'", "write it as 60s"),
    *(
        ("dwell: 1s", f"schedule: {{windows: [{{from: {time}}}]}}", path, value, 'a time of day as "22:00", in quotes')
        for path in ("rules.nobody.schedule.windows.0.from",)
        for time, value in (("22", "22"), ("8", "8"), ("0600", "384"), ("600", "600"), ("22.5", "22.5"), ("on", "True"))
    ),
    *(
        ("dwell: 1s", f"schedule: {{windows: [{{}}], holidays: [{word}]}}", path, taken, "put the word in quotes")
        for path in ("rules.nobody.schedule.holidays.0",)
        for word, taken in (("NO", "YAML takes NO for false"), ("yes", "YAML takes yes for true"))
    ),
    ("dwell: 1s", "labels: [yes]", "rules.nobody.labels.0", "YAML takes yes for true", "put the word in quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "value", "right"), MISTAKES)
def test_a_mistake_in_the_file(
    site: Site, smartbox: Callable[..., Said], old: str, new: str, path: str, value: str, right: str
) -> None:
    site.edit(old, new)
    said = smartbox("check", "-c", site.config)
    assert (said.code, said.out) == (78, ""), said.err
    line = next((line for line in said.err.splitlines() if line.startswith(f"  {path}: ")), None)
    assert line is not None, said.err
    assert value in line
    assert right in line
    assert "smartbox.yaml" in line
    assert len(line) < 700


@pytest.mark.parametrize("tz", ["CET-1CEST,M3.5.0,M10.5.0/3", "Mars/X", ":/etc/passwd", "/no/such/zone"])
def test_a_zone_of_the_machine_that_is_not_understood(
    site: Site, smartbox: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tz: str
) -> None:
    monkeypatch.setenv("TZ", tz)
    zone.cache_clear()
    assert smartbox("check", "-c", site.config).code == 0  # nothing is scheduled
    site.edit("dwell: 1s", 'schedule: {windows: [{from: "08:00", to: "18:00"}]}')
    for command in ("check", "replay"):
        said = smartbox(command, "-c", site.config)
        assert said.code == 78
        line = next(line for line in said.err.splitlines() if "rules.nobody.schedule.timezone: " in line)
        assert f"TZ={tz}" in line
        assert "timezone: Europe/Berlin" in line
    site.edit("schedule: {", "schedule: {timezone: Europe/Berlin, ")
    assert smartbox("check", "-c", site.config).code == 0


SQUARES = ("[[0.1, 0.1], [0.3, 0.1], [0.3, 0.3], [0.1, 0.3]]", "[[0.6, 0.6], [0.8, 0.6], [0.8, 0.8], [0.6, 0.8]]")


@pytest.mark.parametrize(
    ("slots", "zones", "fits"),
    [
        (("1", "1"), ("north", "south"), False),
        (("1", "2"), ("north", "south"), True),
        (("1", "1"), ("north",) * 2, True),
    ],
)
def test_slots_of_one_camera_have_names_of_their_own(
    site: Site, smartbox: Callable[..., Said], slots: tuple[str, str], zones: tuple[str, str], fits: bool
) -> None:
    """Two rules, a row of slots each: which are taken is told per camera, so a name must mean one slot."""
    rows = zip(("north", "south"), slots, SQUARES, strict=True)
    drawn = "".join(f"  {row}: {{source: gate, slots: {{'{name}': {place}}}}}\n" for row, name, place in rows)
    rules = "".join(f"  lot-{i}: {{type: parking, zones: [{zone_id}]}}\n" for i, zone_id in enumerate(zones))
    site.edit("zones:\n", f"zones:\n{drawn}")
    site.edit("rules:\n", f"rules:\n{rules}")
    said = smartbox("check", "-c", site.config)
    assert said.code == (0 if fits else 78), said.err
    if not fits:
        line = next(line for line in said.err.splitlines() if line.startswith("  zones.south.slots: "))
        assert "'north' and 'south' both have '1'; give each slot of a camera a name of its own" in line


BROKEN = {
    "needy": "import a_library_that_nobody_has",
    "misspelt": "class Plugin(:",
    "empty": "",
    "gone": None,
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package whose rules, outputs, sources and backends do not load."""
    place = tmp_path / "packages"
    info = place / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    members = "".join(f"{name} = acme_{name}\n" for name in BROKEN)
    families = ("sources", "backends", "rules", "outputs")
    (info / "entry_points.txt").write_text("".join(f"[smartbox.{family}]\n{members}" for family in families))
    for name, text in BROKEN.items():
        if text is not None:
            (place / f"acme_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(place))


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("type: intrusion", "type: {}", "rules.nobody.type"),
        ("type: file", "type: {}", "sources.gate.type"),
        ("evidence:", "outputs: {{horn: {{type: {}}}}}\nevidence:", "outputs.horn.type"),
        ("backends: [scripted]", "backends: [{}, scripted]", "models.eyes.backends.0"),
    ],
)
def test_a_plugin_that_does_not_load(site: Site, smartbox: Callable[..., Said], old: str, new: str, path: str) -> None:
    text = site.text
    for name in BROKEN:
        site.config.write_text(text)
        site.edit(old, new.format(name))
        said = smartbox("check", "-c", site.config)
        assert (said.code, said.out) == (78, "")
        line = next(line for line in said.err.splitlines() if line.startswith(f"  {path}: "))
        assert f"{name!r} cannot be loaded: " in line
        assert "install what it needs, or leave it out" in line


@pytest.mark.usefixtures("broken")
def test_a_plugin_that_does_not_load_is_left_out_of_the_schema(
    site: Site, smartbox: Callable[..., Said], caplog: pytest.LogCaptureFixture
) -> None:
    assert smartbox("check", "-c", site.config).code == 0  # nobody asks for it
    said = smartbox("schema", "config")
    assert said.code == 0
    kinds = {one["title"] for one in said.document["properties"]["rules"]["additionalProperties"]["oneOf"]}
    assert "intrusion" in kinds
    assert not kinds & BROKEN.keys()
    assert "smartbox.rules: 'needy' cannot be loaded: No module named 'a_library_that_nobody_has'" in caplog.text


def test_every_mistake_at_once_and_as_json(site: Site, smartbox: Callable[..., Said]) -> None:
    for old, new in (("fps: 5", "fpss: 5"), ("[yard]", "[yrad]"), ("version: 1", "version: 2")):
        site.edit(old, new)
    said = smartbox("check", "-c", site.config, "--json")
    assert (said.code, said.err) == (78, "")
    assert said.document["ok"] is False
    assert {p["path"] for p in said.document["problems"]} == {"version", "sources.gate.fpss", "rules.nobody.zones.0"}


def not_a_file(site: Site) -> dict[str, tuple[Path, str]]:
    deep = site.write("deep.yaml", "[" * 5000 + "]" * 5000)
    grows = "a: &a0 [x, x, x, x, x, x, x, x, x]\n"
    grows += "".join(f"b{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12))
    os.mkfifo(site.path / "pipe.yaml")
    (site.path / "dangling.yaml").symlink_to("gone")
    return {
        "missing": (site.path / "none.yaml", "no such file"),
        "dangling": (site.path / "dangling.yaml", "no such file"),
        "directory": (site.path, "is a directory"),
        "device": (Path("/dev/zero"), "is a device"),
        "pipe": (site.path / "pipe.yaml", "a pipe"),
        "empty": (site.write("empty.yaml", ""), "must be a mapping of keys"),
        "comments": (site.write("comments.yaml", "# nothing yet\n"), "must be a mapping of keys"),
        "list": (site.write("list.yaml", "- 1"), "must be a mapping of keys"),
        "tab": (site.write("tab.yaml", "box:\n\tid: 1"), "tab.yaml:2:1: not valid YAML"),
        "spaces": (site.write("spaces.yaml", "box: 1\n  id: 1"), "is this line indented like its neighbours"),
        "deep": (deep, "nested too deeply"),
        "nested": (site.write("nested.yaml", "box: " + "{a: " * 40 + "1" + "}" * 40), "is nested more than 20 deep"),
        "growing": (site.write("growing.yaml", grows), "do its aliases grow"),
        "circle": (site.write("circle.yaml", "box: &b [*b, *b]"), "do its aliases grow"),
        "large": (site.write("large.yaml", "#" * 1_000_001), "larger than"),
        "binary": (Path(sys.executable), "is not UTF-8"),
        "latin": (site.path / "latin.yaml", "is not UTF-8"),
    }


def test_no_configuration_at_all(site: Site, smartbox: Callable[..., Said]) -> None:
    (site.path / "latin.yaml").write_bytes("box: {site: café}".encode("latin-1"))
    for path, message in not_a_file(site).values():
        said = smartbox("check", "-c", path)
        assert (said.code, said.out) == (78, "")
        assert message in said.err, said.err
        assert str(path) in said.err
    for command in (["run"], ["events"], ["replay"], ["zones", "gate"], ["simulate"]):
        assert smartbox(*command, "-c", site.path).code == 78


def test_the_same_by_the_program_itself(site: Site) -> None:
    """systemd sees this exit code and does not start it again."""
    site.edit("fps: 5", "fsp: 5")
    command = [sys.executable, "-m", "smartbox", "run", "-c", str(site.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (78, "")
    assert "sources.gate.fsp" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd", "no slash"),
        ("..", "no slash"),
        ("/etc/shadow", "no slash"),
        ("gone", "found in none of"),
        ("folder", "cannot be read: Is a directory"),
        ("dangling", "found in none of"),
        ("blank", "is empty"),
        ("binary", "not UTF-8"),
        ("listed", "has no text for it"),
    ],
)
def test_a_secret_that_cannot_be_had(site: Site, smartbox: Callable[..., Said], name: str, message: str) -> None:
    secrets = site.path / "secrets"
    (secrets / "folder").mkdir(parents=True)
    (secrets / "dangling").symlink_to("/nowhere/at/all")
    (secrets / "blank").write_text("\n")
    (secrets / "binary").write_bytes(b"\xff\xfe\x00")
    site.write("secrets.yaml", "listed: [a, b]\nother: x")
    site.edit("url: mqtt", f"credentials: !secret {name}, url: mqtt")
    said = smartbox("check", "-c", site.config)
    assert said.code == 78
    assert f"mqtt.credentials: !secret {name}: " in said.err.replace("'", "")
    assert message in said.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_secret_without_permission(site: Site, smartbox: Callable[..., Said]) -> None:
    secret = site.path / "secrets" / "mqtt"
    secret.parent.mkdir()
    secret.write_text("box:hunter2")
    secret.chmod(0)
    site.edit("url: mqtt", "credentials: !secret mqtt, url: mqtt")
    assert "Permission denied" in smartbox("check", "-c", site.config).err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_secret_that_the_service_user_may_not_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As root, by giving root's powers up: what the service's user would meet."""
    code = (
        "import os, pathlib, sys; from smartbox.yamlfile import find_secret; from smartbox.errors import ConfigError\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: find_secret('mqtt', pathlib.Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)"
    )
    folder = tmp_path_factory.mktemp("etc")
    for place in (folder, *folder.parents[:2]):  # pytest's own folders are closed to others
        place.chmod(0o755)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "mqtt").write_text("box:hunter2")
    (folder / "secrets" / "mqtt").chmod(0)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    assert "secrets/mqtt cannot be read: Permission denied" in done.stdout, done.stderr


def test_passwords_of_digits_stay_as_they_are(site: Site, smartbox: Callable[..., Said]) -> None:
    site.write("secrets.yaml", "url: rtsp://admin:0123@10.0.0.9/main\nyes: no\n")
    site.edit("type: file, path:", "type: rtsp, url: !secret url, hardware:")
    assert smartbox("check", "-c", site.config).code == 0
    site.write("secrets.yaml", "url: 0123")
    assert smartbox("check", "-c", site.config).code == 78


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("../outside.yaml", "must be a file beside the configuration"),
        ("/etc/passwd", "must be a file beside the configuration"),
        ("link", "must be a file beside the configuration"),
        ("smartbox.yaml", "at most 4 deep"),
        ("gone", "no such file"),
        ("models", "is a directory"),
        ("bad", "bad.yaml:1:5: not valid YAML"),
    ],
)
def test_an_include_that_leads_nowhere(site: Site, smartbox: Callable[..., Said], target: str, message: str) -> None:
    (site.path / "link.yaml").symlink_to("/etc/hosts")
    (site.path / "models.yaml").mkdir()
    site.write("bad.yaml", "a: [")
    site.edit("keep: 14d", f"keep: !include {target}")
    said = smartbox("check", "-c", site.config)
    assert said.code == 78
    assert "evidence.keep" in said.err
    assert message in said.err
    assert said.err.count("write it as 60s") == (target == "smartbox.yaml")  # what is not there is no bad value as well


def test_a_good_file_is_told_as_a_plan(site: Site, smartbox: Callable[..., Said]) -> None:
    said = smartbox("check", "-c", site.config, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.document["plan"]["rules"]["nobody"]["watches"] == {"gate": ["yard"]}
    assert json.dumps(said.document["problems"]) == "[]"


@pytest.mark.parametrize("bundle", ["e" * 300, "./" + "e" * 300])
def test_a_bundle_that_cannot_be_looked_for(site: Site, smartbox: Callable[..., Said], bundle: str) -> None:
    site.edit("bundle: eyes", f"bundle: {bundle}")
    said = smartbox("check", "-c", site.config, "--json")
    assert said.code == 78
    assert [problem["path"] for problem in said.document["problems"]] == ["models.eyes.bundle"]
    assert "File name too long" in said.document["problems"][0]["message"]
