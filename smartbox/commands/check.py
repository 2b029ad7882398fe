"""Validates a configuration; with --probe also opens every model, source and the broker once."""

import argparse
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from smartbox import config as configuration
from smartbox import disk, probe
from smartbox.bench import CHOICES
from smartbox.build import UNMASKED, Parts, keyring, parts, watched
from smartbox.bundle import Bundle
from smartbox.commands._args import UsageError
from smartbox.durable import write_durably
from smartbox.errors import ConfigError, StorageError
from smartbox.keys import PublicKey
from smartbox.overlay import cover
from smartbox.sketch import sketch
from smartbox.supervise import chain
from smartbox.trials import FILE as TRIALS

NEARLY = 0.95  # of the picture's height: a zone that ends between here and its lower edge was meant to reach it
EXAMPLE = "smartbox check -c /etc/smartbox/smartbox.yaml --probe --pictures /tmp/look"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=True, help="the configuration")
    parser.add_argument("--probe", action="store_true", help="open every model, source and the broker once")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="with --probe: write what each camera sees")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(args: argparse.Namespace) -> int:
    if args.pictures and not args.probe:
        raise UsageError("--pictures needs --probe")
    try:
        made = parts(configuration.load(args.config))
    except ConfigError as error:
        if not args.json:
            raise
        problems = [{"path": p.path, "message": p.message} for p in error.problems]
        print(json.dumps({"ok": False, "problems": problems}, indent=2))
        return 78
    found = _probe(made, args.pictures) if args.probe else []
    ok = not any(f.error for f in found)
    document = {
        "ok": ok,
        "problems": [],
        "warnings": warnings(made),
        "plan": plan(made),
        "probe": [f.to_json() for f in found],
    }
    print(json.dumps(document, indent=2) if args.json else _text(document, found))
    return 0 if ok else 1


def plan(made: Parts) -> dict[str, Any]:
    """What this configuration will do."""
    config = made.config
    rules = {}
    for rule_id, rule in config.rules.items():
        places = watched(config, rule_id)
        rules[rule_id] = {
            "kind": config.kinds[f"rules.{rule_id}"],
            "watches": {source: [zone.id for zone in zones] for source, zones in places.items()},
            "severity": rule.severity,
        }
    return {
        "box": f"{config.box.site}/{config.box.id}",
        "state_dir": str(config.box.state_dir),
        "mqtt": config.mqtt.url,
        "models": {name: _model(bundle) for name, bundle in made.bundles.items()},
        "evidence": _evidence(made),
        "sources": {
            name: {"type": config.kinds[f"sources.{name}"], "fps": s.fps, "model": s.model}
            for name, s in config.sources.items()
        },
        "rules": rules,
        "closeups": _closeups(made),
    }


def _closeups(made: Parts) -> list[dict[str, Any]]:
    """What classifiers will be shown, and what that costs at most."""
    found = []
    for source, pipeline in made.pipelines.items():
        for closeup in pipeline.closeups:
            per_s = closeup.most / closeup.every
            macs = made.bundles[closeup.model].manifest.cost.macs
            found.append(
                {
                    "source": source,
                    "model": closeup.model,
                    "shows": closeup.kind,
                    "at_most": closeup.most,
                    "every_s": closeup.every,
                    "mmacs_per_s": None if macs is None else round(macs * per_s / 1e6, 1),
                }
            )
    return found


def _model(bundle: Bundle) -> str:
    text = f"{bundle.name} {bundle.manifest.version}"
    if bundle.sealed is None or (release := bundle.manifest.release) is None:
        return text
    return f"{text}, sealed, release {release.release_seq}, signed by {release.key}"


def _evidence(made: Parts) -> str:
    settings = made.config.evidence
    if not settings.encrypt:
        return "not encrypted"
    readers = [PublicKey.parse(text, "x25519").id for text in settings.readers]
    return f"sealed for {', '.join(readers)}" if readers else "sealed for this box's own key"


def warnings(made: Parts) -> list[str]:
    """What is allowed and yet worth a thought."""
    config = made.config
    found = [f"models.{name}: an earlier one runs, because {why}" for name, why in made.refused.items()]
    state = config.box.state_dir.absolute()
    place = next(path for path in (state, *state.parents) if path.exists())
    on_disk = disk.encrypted(place)
    if not config.evidence.encrypt and not on_disk:
        disk_is = "is not encrypted" if on_disk is False else "may not be encrypted (it cannot be told)"
        found.append(
            f"evidence.encrypt is off and the disk below {place} {disk_is}: whoever takes the box or copies "
            "the files has the pictures; set `evidence: {encrypt: true}`"
        )
    if (problem := keyring(config).exposed()) is not None:
        found.append(problem)
    if config.evidence.clips is True:
        masked = [name for name, source in config.sources.items() if source.taped and source.masks]
        found += [f"sources.{name}.masks: {UNMASKED}" for name in masked]
    for name, zone in config.zones.items():
        lowest = max((y for _, y in zone.polygon or ()), default=0.0)
        if NEARLY <= lowest < 1:
            found.append(
                f"zones.{name} ends at {lowest:g}: who is cut off by the picture's lower edge stands outside of it; "
                "if they belong to it, draw it to 1.0"
            )
    return found


def _probe(made: Parts, pictures: Path | None) -> list[probe.Found]:
    state = made.config.box.state_dir
    with tempfile.TemporaryDirectory(prefix="smartbox-check-") as scratch:
        # On copies: whose engines killed the box is the box's own record, and root leaves nothing before a first start.
        memory = Path(scratch)
        for name in (CHOICES, TRIALS):
            with suppress(OSError):
                shutil.copy(state / name, memory)
        opened, found = probe.models(made, memory)
        looks, seen = probe.sources(made, opened)
        for model in opened.values():
            model.close()
        _keep(memory / CHOICES, state)
    found += [*seen, probe.state(made.config), probe.broker(made.config)]
    if pictures:
        found += _write(made, looks, pictures)
    return found


def _keep(choices: Path, state: Path) -> None:
    """What was measured need not be measured again."""
    if choices.exists() and os.access(state, os.W_OK):
        with suppress(StorageError):
            write_durably(state / CHOICES, choices.read_bytes())


def _write(made: Parts, looks: dict[str, probe.Look], directory: Path) -> list[probe.Found]:
    found = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for source, look in looks.items():
            zones = [zone for zone in made.config.zones.values() if zone.source == source]
            path = directory / f"{source}.jpg"
            picture = cover(look.frame.image, made.config.sources[source].masks)
            path.write_bytes(sketch(picture, zones, look.detections))
            found.append(probe.Found("picture", str(path)))
    except OSError as error:
        found.append(probe.Found("picture", error=f"{directory}: {chain(error)}"))
    return found


def _text(document: dict[str, Any], found: list[probe.Found]) -> str:
    planned = document["plan"]
    lines = [f"box {planned['box']}, state in {planned['state_dir']}, events to {planned['mqtt']}"]
    lines += [f"  model  {name}: {text}" for name, text in planned["models"].items()]
    for name, source in planned["sources"].items():
        lines.append(f"  source {name}: {source['type']}, {source['fps']:g} fps, model {source['model'] or 'none'}")
    for name, rule in planned["rules"].items():
        places = "; ".join(f"{s}: {', '.join(z) or 'whole picture'}" for s, z in rule["watches"].items())
        lines.append(f"  rule   {name}: {rule['kind']} on {places}")
    lines.append(f"  pictures: {planned['evidence']}")
    lines += [f"  WARNING {text}" for text in document["warnings"]]
    for c in planned["closeups"]:
        cost = "" if c["mmacs_per_s"] is None else f", {c['mmacs_per_s']:g} M MACs/s"
        what = f"{c['at_most']} {c['shows']} every {c['every_s']:g} s"
        lines.append(f"  crops  {c['source']}: {c['model']} is shown at most {what}{cost}")
    for item in found:
        lines.append(f"  {'FAILED' if item.error else 'ok    '} {item.what}: {item.error or item.detail}")
    lines.append(
        "the configuration is good" if document["ok"] else "the configuration is good, but not all of it works"
    )
    return "\n".join(lines)
