"""Opens sealed pictures with a key, away from the box too."""

import argparse
import sys
from pathlib import Path

from smartbox.durable import write_durably
from smartbox.errors import StorageError
from smartbox.evidence import opened
from smartbox.keys import OpeningKey, SealError, read_key

EXAMPLE = "smartbox unseal evidence/*.sealed --key reader.key -o pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="sealed pictures")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the private key of a reader or box")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="where the JPEGs go")


def main(args: argparse.Namespace) -> int:
    key = OpeningKey.load(read_key(args.key), str(args.key))
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path in args.files:
        try:
            name, content = opened(path, lambda: key)
            write_durably(args.out / name, content)
        except (SealError, StorageError, OSError) as error:
            failed += 1
            print(f"smartbox unseal: {error}", file=sys.stderr)
    print(f"{len(args.files) - failed} of {len(args.files)} pictures are in {args.out}")
    return 1 if failed else 0
