"""From a Config to the parts that the daemon, replay and check all need: bundles, heads, rule runners, pipelines."""

import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smartbox import decoders
from smartbox.bundle import MANIFEST, Bundle, at, find
from smartbox.closeup import LABELS, Closeup, Kind
from smartbox.config import Config, default_state_dir
from smartbox.episodes import RuleRunner
from smartbox.errors import ConfigError, Problem
from smartbox.geometry import Zone
from smartbox.ids import Uuid7
from smartbox.keyring import Keyring
from smartbox.keys import PublicKey, SealError
from smartbox.library import Library
from smartbox.pipeline import Head, Pipeline
from smartbox.shelf import Shelf
from smartbox.tape import Tape
from smartbox.trials import Trials
from smartbox.wording import listed


def bundle_dirs(state_dir: Path) -> list[Path]:
    """Where bundles are looked for: installed on this box, beside the program, in the checkout."""
    places = [state_dir / "models", Path(sys.prefix).parent / "models", Path(__file__).parent.parent / "models"]
    if extra := os.environ.get("SMARTBOX_MODELS"):
        places.insert(0, Path(extra))
    return places


def bundle_of(name_or_path: str) -> Bundle:
    """What a command means that reads no configuration: the bundle in that directory, or of that name on this box.

    A bundle that lies here under the bare name is nearer than an installed one. ConfigError names what there is.
    """
    if (Path(name_or_path) / MANIFEST).is_file():
        return Bundle.open(name_or_path)
    return find(name_or_path, bundle_dirs(default_state_dir()))


def keyring(config: Config) -> Keyring:
    """What the configured box opens with, and whom it trusts."""
    box = config.box
    publishers = tuple(PublicKey.parse(text, "ed25519") for text in box.publishers)
    return Keyring(box.state_dir, publishers, box.key.get_secret_value() if box.key else None)


def library(config: Config) -> Library:
    """Where the configured box looks for its models."""
    state = config.box.state_dir
    return Library(tuple(bundle_dirs(state)), Shelf(state, keyring(config)), killed=Trials(state).killed)


def library_of(config: Config | None) -> Library:
    """The same where there may be no configuration: then nobody's signature is trusted."""
    if config is not None:
        return library(config)
    state = default_state_dir()
    return Library(tuple(bundle_dirs(state)), Shelf(state, Keyring(state)))


def looked_for(name_or_path: str, books: Library) -> tuple[Bundle, list[str]]:
    """As `Library.find`, for what is given on a command line: a file that lies here is meant before a name is."""
    path = at(name_or_path)
    if path.is_file() or "/" in name_or_path:
        return books.find(str(path.absolute()))
    return books.find(name_or_path)


@dataclass(frozen=True)
class Parts:
    """Everything inert that a configuration stands for."""

    config: Config
    bundles: Mapping[str, Bundle]
    pipelines: Mapping[str, Pipeline]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Per model: why what should have run was passed over for an earlier one."""


def parts(
    config: Config,
    new_id: Callable[[], str] | None = None,
    synchronised: Callable[[], bool] = lambda: True,
    pictures: bool = True,
) -> Parts:
    """Open the bundles' manifests and make one pipeline per source; ConfigError names what does not fit."""
    ids = new_id or Uuid7(lambda: 0.0, random.Random(0))
    books, bundles = library(config), {}
    refused: dict[str, str] = {}
    problems = _key_problems(config)
    for name, model in config.models.items():
        try:
            bundles[name], reasons = books.find(model.bundle, sealed_only=model.sealed)
        except ConfigError as error:
            problems += [Problem(f"models.{name}.bundle", str(problem)) for problem in error.problems]
        except OSError as error:
            text = f"{error.filename} cannot be looked into: {error.strerror}"
            problems.append(Problem(f"models.{name}.bundle", text))
        else:
            refused |= {name: "; ".join(reasons)} if reasons else {}
    problems += _rule_problems(config, bundles) + _closeup_problems(config, bundles) + _slot_problems(config)
    if problems:
        raise config.refusal(problems)
    pipelines = {
        source: Pipeline(
            source,
            settings,
            _head(settings.model, bundles),
            runners(config, source, ids),
            synchronised,
            [_looking(wanted, bundles[wanted.model]) for wanted in closeups(config, source)],
            _ears(ears(settings), bundles),
            pictures,
        )
        for source, settings in config.sources.items()
    }
    return Parts(config, bundles, pipelines, refused)


def _key_problems(config: Config) -> list[Problem]:
    """A key in the configuration is looked at even where nothing is sealed yet."""
    if config.box.key is None:
        return []
    try:
        keyring(config).opening()
    except SealError as error:
        return [Problem("box.key", str(error))]
    return []


UNMASKED = "packets cannot be masked, so this camera has no clips; `evidence.clips: reencode` encodes them anew"


def taped(config: Config) -> list[str]:
    """Sources of which clips are cut: network cameras; those with masks only where clips may be encoded anew."""
    return [source for source in config.sources if untaped(config, source) is None]


def tapes(config: Config) -> dict[str, Tape]:
    """An empty one for each of them."""
    kept = config.evidence
    return {
        name: Tape(kept.before + kept.after, sound=kept.audio, masks=config.sources[name].masks)
        for name in taped(config)
    }


def untaped(config: Config, source: str) -> str | None:
    """Why no clip can be cut of a source; None where one can."""
    settings = config.sources[source]
    if not config.evidence.clips:
        return "evidence.clips: is off, so nothing is recorded that a clip could be cut from"
    if not settings.enabled:
        return f"sources.{source}.enabled: is false, so nothing comes that a clip could be cut from"
    if settings.masks and config.evidence.clips != "reencode":
        return f"sources.{source}.masks: {UNMASKED}"
    if not settings.taped:
        kind = config.kinds[f"sources.{source}"]
        return f"sources.{source}.type: {kind} has no packets that a clip could be cut from; rtsp and http have"
    return None


def _head(model: str | None, bundles: Mapping[str, Bundle]) -> Head | None:
    if model is None:
        return None
    manifest = bundles[model].manifest
    return Head(model, manifest, decoders.build(manifest))


@dataclass(frozen=True)
class Wanted:
    """What rules want a classifier to be shown of a source."""

    kind: Kind
    model: str
    zones: tuple[Zone, ...]


def closeups(config: Config, source: str) -> list[Wanted]:
    """What classifiers are shown of `source`; rules that ask the same of the same model share its answers."""
    found: dict[tuple[Kind, str], dict[str, Zone]] = {}
    for rule_id, rule in config.rules.items():
        zones = watched(config, rule_id).get(source)
        if zones and (asked := rule.closeup()):
            found.setdefault(asked, {}).update({zone.id: zone for zone in zones})
    return [Wanted(kind, model, tuple(zones.values())) for (kind, model), zones in found.items()]


def _looking(wanted: Wanted, bundle: Bundle) -> tuple[Closeup, decoders.Decoder]:
    manifest = bundle.manifest
    return Closeup(wanted.kind, wanted.model, manifest.inputs[0], wanted.zones), decoders.build(manifest)


def _closeup_problems(config: Config, bundles: Mapping[str, Bundle]) -> list[Problem]:
    """Classifiers of rules that are no such thing, or that know other classes."""
    problems = []
    for rule_id, rule in config.rules.items():
        asked = rule.closeup()
        if asked is None or asked[1] not in bundles:
            continue
        (kind, model), path = asked, f"rules.{rule_id}.model"
        manifest = bundles[model].manifest
        if manifest.task != "classify":
            text = f"{model!r} is a model to {manifest.task}; this needs one to classify {kind}"
            problems.append(Problem(path, text))
        elif lacking := [label for label in LABELS[kind] if label not in manifest.labels]:
            have = listed(manifest.labels)
            problems.append(Problem(path, f"{model!r} does not know {', '.join(lacking)}; it knows {have}"))
    return problems


def ears(source: Any) -> str | None:
    """The model that listens to a source: `sound_model`, else its `model` where that is one for sound."""
    name: str | None = source.sound_model or source.model
    return name


def _ears(model: str | None, bundles: Mapping[str, Bundle]) -> Head | None:
    head = _head(model, bundles)
    return head if head is not None and head.manifest.task == "sound" else None


def watched(config: Config, rule_id: str) -> dict[str, tuple[Zone, ...]]:
    """The sources that a rule watches, each with the rule's zones on it."""
    rule = config.rules[rule_id]
    result: dict[str, list[Zone]] = {source: [] for source in rule.cameras or ()}
    for zone_id in rule.zones:
        zone = config.zones[zone_id]
        result.setdefault(zone.source, []).append(zone)
    return {source: tuple(zones) for source, zones in result.items()}


def runners(config: Config, source: str, new_id: Callable[[], str]) -> list[RuleRunner]:
    """One independent instance of every rule that watches `source`."""
    made = []
    for rule_id, rule in config.rules.items():
        places = watched(config, rule_id)
        if source in places:
            kind, fps = config.kinds[f"rules.{rule_id}"], config.sources[source].fps
            made.append(RuleRunner(rule_id, kind, rule, source, places[source], new_id, fps=fps))
    return made


def _rule_problems(config: Config, bundles: Mapping[str, Bundle]) -> list[Problem]:
    """Zones that a rule cannot use, and labels that the model of its source does not have."""
    problems = []
    for rule_id, rule in config.rules.items():
        for source, zones in watched(config, rule_id).items():
            problems += [Problem(f"rules.{rule_id}", text) for text in rule.problems(zones)]
            if rule.zone_kind and not zones:
                text = f"source {source!r} has none of this rule's zones; draw one there, or leave the source out"
                problems.append(Problem(f"rules.{rule_id}.cameras", text))
            problems += _sense_problems(config, rule_id, source)
            model = ears(config.sources[source]) if rule.hears else config.sources[source].model
            if model is None and rule.needs_model and (rule.closeup() or ("people", ""))[0] != "slots":
                problems.append(Problem(f"sources.{source}.model", f"is missing; rule {rule_id!r} watches this source"))
            elif model is not None and model in bundles and (lacking := rule.missing_labels(bundles[model].labels)):
                have = listed(bundles[model].labels)
                text = f"model {model!r} of source {source!r} does not know {', '.join(lacking)}; it knows {have}"
                problems.append(Problem(f"rules.{rule_id}", text))
    return problems


def _sense_problems(config: Config, rule_id: str, source: str) -> list[Problem]:
    """A rule that hears, on a source without sound; one that looks, on a source without pictures."""
    settings, hears = config.sources[source], config.rules[rule_id].hears
    if settings.hears if hears else settings.sees:
        return []
    kind = config.kinds[f"sources.{source}"]
    if hears and "audio" in type(settings).model_fields:
        if ears(settings) is None:
            return []  # the model that is missing switches it on
        text = f"is off, so rule {rule_id!r} hears nothing; set `audio: true`, or name the model as `sound_model`"
        return [Problem(f"sources.{source}.audio", text)]
    lacks, wanted = ("sound", "a microphone or a camera with sound") if hears else ("pictures", "a camera")
    text = f"source {source!r} of type {kind} has no {lacks}; let this rule watch {wanted}"
    return [Problem(f"rules.{rule_id}", text)]


def _slot_problems(config: Config) -> list[Problem]:
    """Slots of one source with the same name: which are taken is told per source, by their names."""
    rules = [rule for rule in config.rules.values() if rule.zone_kind == "slots"]
    owners: dict[tuple[str, str], str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for zone_id in dict.fromkeys(zone_id for rule in rules for zone_id in rule.zones):
        zone = config.zones[zone_id]
        for name in zone.slots:
            first = owners.setdefault((zone.source, name), zone_id)
            if first != zone_id and not any({first, zone_id} <= {*rule.zones} for rule in rules):  # told by the rule
                shared.setdefault((first, zone_id), []).append(name)
    hint = "give each slot of a camera a name of its own"
    return [
        Problem(f"zones.{zone}.slots", f"zones {first!r} and {zone!r} both have {listed(map(repr, names))}; {hint}")
        for (first, zone), names in shared.items()
    ]
