"""Lists the events that the outbox holds: waiting, sent, or refused by the broker; opens their pictures."""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from smartbox import config as configuration
from smartbox.build import keyring
from smartbox.cloudevent import from_json, timestamp
from smartbox.durable import write_durably
from smartbox.evidence import opened
from smartbox.keys import OpeningKey, SealError, read_key
from smartbox.outbox import FILE_NAME, Record, read_records
from smartbox.settings import parse_duration
from smartbox.types import Evidence

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
    parser.add_argument("--export", type=Path, metavar="DIR", help="copy their pictures there, sealed ones opened")
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key to open with; default: this box's own")
    parser.add_argument("--json", action="store_true", help="CloudEvents as JSON lines, with their `delivery`")


def main(args: argparse.Namespace) -> int:
    config = configuration.load(args.config)
    export = None
    if args.export:
        args.export.mkdir(parents=True, exist_ok=True)
        export = _Export(config.box.state_dir / "evidence", args.export, _key(config, args.key))
    for record in _records(config.box.state_dir / FILE_NAME, args):
        print(json.dumps(_document(record), ensure_ascii=False) if args.json else _line(record), flush=args.follow)
        if export:
            for evidence in from_json(record.body).evidence:
                export.copy(evidence)
    return export.told() if export else 0


def _key(config: configuration.Config, path: Path | None) -> Callable[[], OpeningKey]:
    if path is None:
        return keyring(config).opening
    key = OpeningKey.load(read_key(path), str(path))
    return lambda: key


class _Export:
    """Copies pictures in the clear; one that does not open is told and the others go on."""

    def __init__(self, source: Path, target: Path, key: Callable[[], OpeningKey]) -> None:
        self._source, self._target, self._key = source, target, key
        self._count: Counter[str] = Counter()

    def copy(self, evidence: Evidence) -> None:
        path = self._source / Path(evidence.name).name
        if not path.exists():
            self._count["no longer kept"] += 1
            return
        try:
            name, content = opened(path, self._key)
            if hashlib.sha256(content).hexdigest() != evidence.sha256:
                raise SealError(f"{path} is not the picture that the event names: another sha256")
        except (SealError, OSError) as error:
            self._count["refused"] += 1
            print(f"smartbox events: {error}", file=sys.stderr)
            return
        write_durably(self._target / name, content)
        self._count["copied"] += 1

    def told(self) -> int:
        counts = ", ".join(f"{number} {what}" for what, number in self._count.items()) or "none"
        print(f"pictures in {self._target}: {counts}", file=sys.stderr)
        return 1 if self._count["refused"] else 0


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
