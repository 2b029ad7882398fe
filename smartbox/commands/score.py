"""Scores events against the truth of a recording: precision, recall, F1, false alarms per camera-day, delay."""

import argparse
import sys
from pathlib import Path

from smartbox import config as configuration
from smartbox.commands._args import duration
from smartbox.errors import SmartboxError
from smartbox.score import score_documents

EXAMPLE = "smartbox score -c smartbox.yaml --truth truth.jsonl --events events.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=True, help="the configuration")
    parser.add_argument("--truth", type=Path, metavar="FILE", required=True, help="truth, as JSON lines")
    parser.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        required=True,
        help="CloudEvents as JSON lines, as replay prints; - is stdin",
    )
    parser.add_argument(
        "--duration",
        type=duration,
        metavar="10min",
        help="length of each camera's recording; without it, up to the last moment that truth or events tell of",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    config = configuration.load(args.config)
    documents = _lines(args.events)
    spans = None if args.duration is None else {name: args.duration for name in config.sources}
    result = score_documents(config, args.truth, documents, spans)
    print(result.to_json() if args.json else result.table())
    return 0


def _lines(path: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise SmartboxError(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not text'}") from e
    return [line for line in text.splitlines() if line.strip()]
