"""The repository checks itself: who may import what, that imports stay lean, that shipped files are sound."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import yaml

from smartbox import build, config, plugins
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "smartbox"
FAMILIES = ("sources", "backends", "decoders", "rules", "outputs")

# Layer of each module; what is not named here is layer 1 (pure helpers).
LAYER_0 = {"types", "errors", "clock", "settings"}
LAYER_2 = {
    *FAMILIES,
    *(
        "tracker",
        "motion",
        "regions",
        "outbox",
        "evidence",
        "clips",
        "mp4",
        "mqtt",
        "publisher",
        "broker",
        "notify",
        "journal",
        "episodes",
        "telling",
    ),
    *("active", "inbox", "linkstatus"),
}
LAYER_3 = {
    *(
        "config",
        "configschema",
        "anysource",
        "build",
        "pipeline",
        "asking",
        "inference",
        "vitals",
        "replay",
        "probe",
        "supervise",
        "bench",
        "gemm",
        "peers",
        "race",
        "model",
        "workers",
        "capabilities",
        "explain",
        "cloud",
        "configured",
        "fitting",
        "live",
        "orders",
        "remote",
        "reset",
    ),
    *("daemon", "commands", "console", "lab", "__main__"),
}

# Third-party library -> the only places (path prefixes below smartbox/) that may import it.
ONLY_IN = {
    "paho": ("mqtt.py",),
    "sqlite3": ("outbox/", "outbox.py"),
    "torch": ("lab/", "commands/lab/"),
    "onnxruntime": ("backends/onnxruntime.py", "lab/"),
    "tflite_runtime": ("backends/tflite.py", "lab/"),
    "ai_edge_litert": ("backends/tflite.py", "lab/"),
    "MNN": ("backends/mnn.py",),
    "openvino": ("backends/openvino.py",),
    "amqtt": ("broker.py",),
    "cryptography": ("keys.py", "sealed.py", "cloud/"),
    "av": ("sources/", "mp4.py", "simulation/", "lab/"),
    "onnx": ("lab/",),
    "jwt": ("cloud/jws.py",),
    "pyaudio": ("portaudio.py",),
    "systemd": ("journal.py", "notify.py"),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, inside functions too, relative names made absolute."""
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from smartbox import geometry` imports a module; `from smartbox.geometry import iou` does not.
            if module == "smartbox" or (PACKAGE / "/".join(module.split(".")[1:])).is_dir():
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def layer(part: str) -> int:
    if part in LAYER_0:
        return 0
    return 2 if part in LAYER_2 else 3 if part in LAYER_3 else 1


def part_of(path: Path) -> str:
    """The part of the architecture that a file belongs to: `rules` for smartbox/rules/absence.py."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def inside(dotted: str) -> str | None:
    """The part that an imported name belongs to, None for foreign ones and the bare package."""
    head, _, rest = dotted.partition(".")
    return rest.split(".")[0] if head == "smartbox" and rest else None


def test_layers_import_downward_only() -> None:
    wrong = []
    for path in modules():
        mine = part_of(path)
        if mine == "__init__":
            continue
        for line, name in imports(path):
            other = inside(name)
            if other and layer(other) > layer(mine):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name} of a higher layer")
    assert not wrong, "\n".join(wrong)


def test_families_never_import_one_another() -> None:
    wrong = []
    for path in modules():
        mine = part_of(path)
        for line, name in imports(path):
            other = inside(name)
            if mine in FAMILIES and other in FAMILIES and other != mine:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_members_of_a_family_share_only_underscore_modules() -> None:
    wrong = []
    for path in modules():
        mine = part_of(path)
        for line, name in imports(path):
            parts = name.split(".")
            if mine in FAMILIES and parts[:2] == ["smartbox", mine] and len(parts) > 2 and parts[2][0] != "_":
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports its sibling {name}")
    assert not wrong, "\n".join(wrong)


def test_the_box_never_imports_the_lab() -> None:
    wrong = []
    for path in modules():
        # The command is the lab's own door.
        if part_of(path) != "lab" and PACKAGE / "commands" / "lab" not in path.parents:
            wrong += [
                f"{path.relative_to(ROOT)}:{line} imports {name}"
                for line, name in imports(path)
                if inside(name) == "lab"
            ]
    assert not wrong, "\n".join(wrong)


def test_each_foreign_library_has_one_home() -> None:
    wrong = []
    for path in modules():
        place = path.relative_to(PACKAGE).as_posix()
        for line, name in imports(path):
            homes = ONLY_IN.get(name.split(".")[0])
            if homes and not place.startswith(homes):
                wrong.append(f"smartbox/{place}:{line} imports {name}, which belongs to {', '.join(homes)}")
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles() -> None:
    """Between modules, counting only what is imported while a module loads."""
    names = {module_name(p): p for p in modules()}
    graph = {name: top_level(path, names) - {name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_level(path: Path, names: Collection[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from smartbox import geometry` needs geometry, not everything that smartbox/__init__ needs.
            below = {f"{node.module}.{a.name}" for a in node.names}
            found |= below & set(names) if below <= set(names) else {node.module, *below}
    return found & set(names)


HEAVY = ("torch", "onnxruntime", "tflite_runtime", "ai_edge_litert", "MNN", "openvino", "amqtt", "matplotlib", "onnx")


@pytest.mark.parametrize("module", ["smartbox.daemon", "smartbox.__main__"])
def test_lean_import(module: str) -> None:
    """The daemon loads no runtime before one is configured, and torch never."""
    if not (PACKAGE / f"{module.split('.')[1]}.py").exists():
        pytest.fail(f"{module} does not exist")
    code = f"import {module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip() == "[]"


def test_broad_excepts_only_in_the_supervisor() -> None:
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ExceptHandler)
                and path.name not in ("workers.py", "daemon.py", "supervise.py")
                and not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)  # undoes, then raises
                and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def test_no_mocks_of_our_own_code() -> None:
    files = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    wrong = [str(p.relative_to(ROOT)) for p in files if re.search(r"unittest.mock|MagicMock", p.read_text())]
    assert not wrong, wrong


# What is left out of the line length and naming rules is said in pyproject.toml; this is about what ruff cannot see.
def test_files_stay_readable() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := len(p.read_text().splitlines())) > 400}
    assert not long, f"split these: {long}"


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: what is shipped is not known")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


class Loader(yaml.SafeLoader):
    """Knows that our YAML has tags, such as !secret, and does not care what they mean."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: f"{suffix} {node.value}")


def test_every_yaml_parses() -> None:
    for path in tracked("*.yaml", "*.yml"):
        yaml.load(path.read_text(), Loader)


def test_every_shipped_configuration_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the models that ship, and a value for every secret that it names."""
    found = 0
    for path in tracked("deploy/*.yaml"):
        text = path.read_text()
        if not text.startswith("version:") and "\nversion:" not in text:
            continue
        for name in re.findall(r"!secret ([\w-]+)", re.sub(r"#.*", "", text)):
            (tmp_path / f"smartbox_{name}").write_text("rtsp://camera.example/1" if "url" in name else "name:password")
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        try:
            build.parts(config.load(path))
        except ConfigError as error:
            pytest.fail(f"{path.relative_to(ROOT)}: {error}")
        found += 1
    assert found >= 2


@pytest.mark.parametrize("family", ["sources", "backends", "decoders", "rules", "outputs"])
def test_every_setting_says_what_it_is(family: plugins.Family) -> None:
    silent = []
    for name in plugins.names(family):
        plugin = plugins.load(family, name)
        for field in plugin.model_fields:
            # A new default of a common setting keeps what the base says about it.
            said = (base.model_fields[field].description for base in plugin.__mro__ if field in fields_of(base))
            if not any(said):
                silent.append(f"smartbox/{family}/{name}.py: {field}")
    assert not silent, "no docstring below:\n" + "\n".join(silent)


def fields_of(cls: type) -> Collection[str]:
    return getattr(cls, "model_fields", ())


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = []
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken, "\n".join(broken)


def test_weights_are_small_and_other_large_files_stay_out() -> None:
    large = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked("*") if p.stat().st_size > 5_000_000}
    assert not large, f"too large for git: {large}"


def test_all_weights_together_are_at_most_8_mib() -> None:
    """What engines read; golden inputs and outputs do not count: they weigh as much whatever the net is."""
    bundles = [Bundle.open(path.parent) for path in tracked("models/*/manifest.yaml")]
    weights = {bundle.path / entry.path for bundle in bundles for entry in bundle.manifest.files.values()}
    golden = {bundle.path / bundle.manifest.golden.path for bundle in bundles if bundle.manifest.golden}
    beside = sum(path.stat().st_size for path in set(tracked("models/*")) - weights - golden)
    assert beside < 100_000, "a file among the models is neither weights, nor golden, nor short text"
    assert sum(path.stat().st_size for path in weights) <= 8 * 2**20


def test_make_help_names_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY")).split()[1:]
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}  # also below `make test`
    shown = subprocess.run(["make", "help"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in shown.splitlines()] == phony


def test_unit_files_verify(tmp_path: Path) -> None:
    """systemd itself reads the unit, and scores its sandbox (the machine's systemd may be newer or absent)."""
    try:
        security = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", ROOT / "systemd/smartbox.service"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no systemd-analyze on this machine")
    assert security.returncode == 0, security.stdout[-300:] + security.stderr
    unit = (ROOT / "systemd/smartbox.service").read_text().replace("/opt/smartbox/venv/bin/smartbox", "/bin/true")
    (tmp_path / "smartbox.service").write_text(unit)
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "smartbox.service"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "smartbox.service" not in verify.stderr, verify.stderr


def test_shell_scripts_are_executable_and_parse() -> None:
    for path in [*tracked("scripts/*"), ROOT / ".ci" / "run"]:
        assert path.stat().st_mode & 0o111, f"{path} is not executable"
        if path.read_text().startswith("#!/bin/bash"):
            subprocess.run(["bash", "-n", path], check=True)


def test_the_reference_is_what_the_code_says() -> None:
    """docs/ref is generated: `scripts/reference` writes it anew."""
    command = [sys.executable, ROOT / "scripts" / "reference", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
