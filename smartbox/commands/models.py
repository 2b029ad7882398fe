"""Lists the model bundles on this box, or verifies every file of them."""

import argparse
import json
from pathlib import Path
from typing import Any

from smartbox import decoders
from smartbox.build import bundle_dirs
from smartbox.bundle import find, installed
from smartbox.config import default_state_dir
from smartbox.errors import ConfigError

EXAMPLE = "smartbox models verify lrssd-park"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "verify"), help="list, or check sizes and sums of every file")
    parser.add_argument("bundle", nargs="*", help="names or paths; default: all that are found")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(args: argparse.Namespace) -> int:
    places = bundle_dirs(default_state_dir())
    wanted = args.bundle or [f"{path}/" for path in installed(places)]
    rows = [_row(name, places, verify=args.action == "verify") for name in wanted]
    if args.json:
        print(json.dumps({"bundles": rows}, indent=2))
    else:
        print("\n".join(map(_text, rows)) or f"no bundle in {', '.join(map(str, places))}")
    return 1 if any(row["problems"] for row in rows) else 0


def _row(name: str, places: list[Path], verify: bool) -> dict[str, Any]:
    """A bundle that cannot be opened is a row too: the others are still of interest."""
    try:
        bundle = find(name, places)
        decoders.build(bundle.manifest)
    except ConfigError as error:
        return {"name": name, "problems": [str(problem) for problem in error.problems]}
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "task": manifest.task,
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        "labels": list(manifest.labels),
        "backends": {name: entry.bytes for name, entry in manifest.files.items()},
        "verified": verify,
        "problems": bundle.verify() if verify else [],
    }


def _text(row: dict[str, Any]) -> str:
    wrong = "".join(f"\n  {problem}" for problem in row["problems"])
    if "version" not in row:
        return f"{row['name']}  refused{wrong}"
    backends = ", ".join(f"{name} {size / 1024:.0f} KiB" for name, size in row["backends"].items())
    state = ("corrupt" if wrong else "every file is whole") if row["verified"] else ", ".join(row["labels"])
    return f"{row['name']} {row['version']}  {row['task']}  {backends}  {state}  {row['path']}{wrong}"
