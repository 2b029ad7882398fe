"""The models on this box: lists and verifies them, installs sealed ones and goes back to the one before."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from smartbox import build, decoders, fitting
from smartbox import config as configuration
from smartbox.bundle import Bundle, installed
from smartbox.commands._args import UsageError
from smartbox.config import Config
from smartbox.errors import ConfigError, SmartboxError
from smartbox.keyring import Keyring
from smartbox.keys import SealError
from smartbox.library import Library
from smartbox.release import SUFFIX

EXAMPLE = "smartbox models install lrssd-park.sealed -c /etc/smartbox/smartbox.yaml"
ACTIONS = {
    "list": "what is here",
    "verify": "check signatures, sizes and sums of every file",
    "install": "check a sealed file and make it the current one",
    "rollback": "make the one before the current one",
    "key": "print this box's public key, for `smartbox lab seal --for`; made if there is none",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    told = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    parser.add_argument("action", choices=ACTIONS, help=told)
    parser.add_argument("bundle", nargs="*", help="names or paths; default for list and verify: all that are found")
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the configuration: it says whose signature is trusted"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(args: argparse.Namespace) -> int:
    if args.action in ("list", "verify"):
        return _show(args)
    if args.config is None:
        raise UsageError(f"{args.action} needs -c FILE: the box's directory and whom it trusts stand there")
    config = configuration.load(args.config)
    books = build.library(config)
    if args.action == "key":
        return _key(args, books.shelf.keyring)
    if len(args.bundle) != 1:
        raise UsageError(f"{args.action} takes one {'sealed file' if args.action == 'install' else 'name of a model'}")
    return _install(args, config, books) if args.action == "install" else _rollback(args, config, books)


def _key(args: argparse.Namespace, keyring: Keyring) -> int:
    if args.bundle:
        raise UsageError("key takes no model")
    public = keyring.made().public
    print(json.dumps({"key": str(public), "id": public.id}) if args.json else public)
    return 0


def _install(args: argparse.Namespace, config: Config, books: Library) -> int:
    path, shelf, said = Path(args.bundle[0]), books.shelf, [""]

    def check(release: Bundle) -> None:
        if problems := fitting.misfits(config, release):
            what = f"{release.name} {release.manifest.version} does not fit {args.config}"
            raise SealError(f"{what}: {'; '.join(map(str, problems))}")
        said[0] = fitting.tried(config, release)

    try:
        offered = shelf.offered(path, time.time())
        decoders.build(offered.manifest)  # a release whose decoder this program does not know would not run
        bundle = books.install(path, check)
    except ConfigError as error:  # of what it holds, not of the box
        raise SealError(" ".join(str(error).split())) from error
    slot = shelf.slot(bundle.name)
    before = f"{slot.previous.version}, release {slot.previous.release_seq}" if slot and slot.previous else None
    return _done(args, bundle, before, said[0])


def _rollback(args: argparse.Namespace, config: Config, books: Library) -> int:
    name = args.bundle[0]
    sealed_only = any(model.sealed for model in config.models.values() if model.bundle == name)
    try:
        bundle = books.rollback(name, sealed_only)
    except ConfigError as error:
        raise SealError(" ".join(str(error).split())) from error
    return _done(args, bundle, None, "")


def _done(args: argparse.Namespace, bundle: Bundle, before: str | None, tried: str) -> int:
    row = _row(bundle, verify=False)
    if args.json:
        print(json.dumps(row | {"before": before} | ({"tried": tried} if tried else {}), indent=2))
        return 0
    release = f", release {row['release_seq']}" if "release_seq" in row else ""
    print(f"{bundle.name} {bundle.manifest.version}{release} is current; before: {before or 'nothing else'}")
    if tried:
        print(tried)
    if bundle.sealed is None:
        print(f"it is {bundle.path}, a plain bundle: nobody signed it (`sealed: true` in the configuration refuses it)")
    print("a box that is running uses it after `systemctl reload smartbox`")
    return 0


def _show(args: argparse.Namespace) -> int:
    """Every bundle is a row, also one that cannot be opened: the others are still of interest."""
    books = build.library_of(configuration.load(args.config) if args.config else None)
    rows = [_opened(name, books, verify=args.action == "verify") for name in args.bundle or _all(books)]
    if args.json:
        print(json.dumps({"bundles": rows}, indent=2))
    else:
        print("\n".join(map(_text, rows)) or f"no bundle in {', '.join(map(str, books.places))}")
    return 1 if any(row["problems"] for row in rows) else 0


def _all(books: Library) -> list[str]:
    """What `find` would give: of two with one name only the first."""
    found: dict[str, str] = {}
    for place in books.places:
        if place == books.shelf.root:
            found = {name: name for name in books.shelf.names()} | found
        found = {path.stem: f"{path}" for path in sorted(place.glob(f"*{SUFFIX}"))} | found
        found = {path.name: f"{path}/" for path in installed([place])} | found
    return list(found.values())


def _opened(name: str, books: Library, verify: bool) -> dict[str, Any]:
    try:
        bundle, refused = build.looked_for(name, books)
        decoders.build(bundle.manifest)
    except SmartboxError as error:
        problems = [str(p) for p in error.problems] if isinstance(error, ConfigError) else [str(error)]
        return {"name": name, "problems": problems}
    row = _row(bundle, verify)
    return row | {"problems": [*row["problems"], *(f"passed over: {reason}" for reason in refused)]}


def _row(bundle: Bundle, verify: bool) -> dict[str, Any]:
    manifest = bundle.manifest
    row = {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        "labels": list(manifest.labels),
        "backends": {name: entry.bytes for name, entry in manifest.files.items()},
        "sealed": bundle.sealed is not None,
        "verified": verify,
        "problems": bundle.verify() if verify else [],
    }
    if bundle.sealed is not None and manifest.release is not None:
        release = manifest.release
        row |= {"release_seq": release.release_seq, "not_after": release.not_after, "signed_by": release.key}
    return row


def _text(row: dict[str, Any]) -> str:
    wrong = "".join(f"\n  {problem}" for problem in row["problems"])
    if "version" not in row:
        return f"{row['name']}  refused{wrong}"
    backends = ", ".join(f"{name} {size / 1024:.0f} KiB" for name, size in row["backends"].items())
    state = ("corrupt" if wrong else "every file is whole") if row["verified"] else ", ".join(row["labels"])
    sealed = f"release {row['release_seq']} signed by {row['signed_by']}  " if row["sealed"] else ""
    return f"{row['name']} {row['version']}  {row['task']}  {backends}  {sealed}{state}  {row['path']}{wrong}"
