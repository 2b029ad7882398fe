"""Lists the events that the outbox holds: waiting, sent, or refused by the broker."""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from smartbox import config as configuration
from smartbox.cloudevent import from_json, timestamp
from smartbox.outbox import FILE_NAME, Record, read_records
from smartbox.settings import parse_duration

EXAMPLE = "smartbox events -c /etc/smartbox/smartbox.yaml --since 2h --follow"

_POLL = 0.5  # s; the daemon is another process, which tells nobody


def since(text: str) -> float:
    """`2h`, `7d` (ago) or a date and time -> epoch seconds."""
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 2h, 7d or 2026-11-23T13:00") from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=True, help="the configuration")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument("--since", type=since, metavar="TIME", default=0.0, help="2h, 7d, or a date and time")
    parser.add_argument("--dead", action="store_true", help="what the broker refused five times, and why")
    parser.add_argument("--json", action="store_true", help="CloudEvents as JSON lines, with their `delivery`")


def main(args: argparse.Namespace) -> int:
    path = configuration.load(args.config).box.state_dir / FILE_NAME
    for record in _records(path, args):
        print(json.dumps(_document(record), ensure_ascii=False) if args.json else _line(record), flush=args.follow)
    return 0


def _records(path: Path, args: argparse.Namespace) -> Iterator[Record]:
    last = 0
    while True:
        for record in read_records(path, last, args.since, args.dead):
            last = record.n
            yield record
        if not args.follow:
            return
        time.sleep(_POLL)


def _document(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(record.body)
    document["delivery"] = record.state
    if record.reason:
        document["deliveryerror"] = record.reason
    return document


def _line(record: Record) -> str:
    event = from_json(record.body)
    where = "/".join(filter(None, (event.camera, event.zone))) or "box"
    what = ", ".join(sorted({match.label for match in event.objects}))
    words = [
        timestamp(event.time_utc),
        f"{record.state:7}",
        f"#{event.seq:<7}",
        f"{event.cls:6}",
        f"{event.kind} {event.phase}",
        where,
        f"[{event.rule}]" if event.rule else "",
        what,
        f"after {event.dwell_s:.1f} s" if event.dwell_s else "",
        f"({event.end_reason})" if event.end_reason else "",
        f"refused: {record.reason}" if record.reason else "",
    ]
    return "  ".join(filter(None, words))
