"""The parts that only publishers need: keygen, seal."""

import argparse
import time
from pathlib import Path
from typing import Any

from smartbox import build
from smartbox.commands._args import not_after, seed
from smartbox.commands.lab import _given as given
from smartbox.commands.lab._part import Part


def _seal_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="its directory, or the name of one that is shipped or installed here")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the publisher's private key: it signs")
    parser.add_argument(
        "--for", dest="readers", action="extend", nargs="+", required=True, metavar="BOX",
        help="public keys of boxes (`smartbox models key` prints a box's), or files that hold one",
    )  # fmt: skip
    parser.add_argument("--release", type=seed, metavar="N", help="rises with every release; default: the time")
    parser.add_argument("--not-after", type=not_after, metavar="TIME", help="not to be installed later; default 1 year")
    parser.add_argument("--hardware", action="append", default=[], metavar="NAME", help="only for these, e.g. aarch64")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the sealed file, NAME.sealed")


def _seal(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import sealing

    bundle = build.bundle_of(args.bundle)
    given.out_file(args.out)
    release = int(time.time()) if args.release is None else args.release
    terms = sealing.Terms(release, args.not_after or sealing.in_a_year(), tuple(args.hardware))
    return sealing.seal(bundle, args.out, args.key, args.readers, terms)


def _keygen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the private key; keep it safe")
    parser.add_argument("--reader", action="store_true", help="to open sealed pictures with, instead of to sign models")


def _keygen(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import sealing

    given.out_file(args.out)
    return sealing.generate(args.out, "x25519" if args.reader else "ed25519")


PARTS = (
    Part(
        "seal",
        "a bundle as one signed file that only some boxes can open",
        "smartbox lab seal lrssd-park --key publisher.key --for box.pub -o lrssd-park.sealed",
        "cryptography",
        _seal_arguments,
        _seal,
    ),
    Part(
        "keygen",
        "a new pair of keys; the public one is printed and written to FILE.pub",
        "smartbox lab keygen -o publisher.key",
        "cryptography",
        _keygen_arguments,
        _keygen,
    ),
)
