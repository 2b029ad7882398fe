"""The lab: train, quantize, export and score models (needs the extra `lab`)."""

import argparse
import importlib.util
import json
import os

from smartbox.commands._args import UsageError
from smartbox.commands.lab import bundles, nets, pictures, scores, seals
from smartbox.errors import ConfigError, StorageError

EXAMPLE = (
    "smartbox lab evaluate models/lrssd-park --data detect/val --group vehicle=car,bus,truck --ignore motorcycle --json"
)
PARTS = (*nets.PARTS, *bundles.PARTS, *pictures.PARTS, *scores.PARTS, *seals.PARTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for part in PARTS:
        one = parts.add_parser(
            part.name,
            help=part.help,
            description=part.help,
            epilog=f"example:\n  {part.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        part.arguments(one)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
        one.set_defaults(lab=part)


def main(args: argparse.Namespace) -> int:
    part = args.lab
    if importlib.util.find_spec(part.needs) is None:
        raise ConfigError(f"lab {part.name} needs the package {part.needs}: pip install 'smartbox[lab]'")
    if part.name != "train" and "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError(f"lab {part.name} is the work of one process: start it without torchrun")
    try:
        result = part.run(args)
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{error.filename or part.name}: cannot be read or written ({why})") from None
    if not result:  # of a rank that leaves the telling to the first
        return 0
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{key}: {json.dumps(value)}" for key, value in result.items()))
    return 0
