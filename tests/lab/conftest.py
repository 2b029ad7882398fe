"""The command line as a person meets it, for what needs torch."""

import os
import signal
from pathlib import Path
from threading import Thread
from time import sleep

from tests.cli.conftest import smartbox

__all__ = ["EARS", "smartbox", "stop_at"]

EARS = """
task: sound
name: ears
labels: [smoke_alarm, background]
net: {type: muffnet, options: {spec: {stem: 4, stages: [8, 8, 8], widths: [4, 4, 4], blocks: [1, 1, 1]}, expand: 16}}
input: {name: sound, shape: [98, 64, 1], colour: null}
data:
  - {type: alarms, kind: alarm, label: smoke_alarm, count: 6, vary: {masks: 0}}
  - {type: alarms, kind: other, label: background, count: 6, vary: {masks: 0}}
schedule: {batch: 4, steps: 3}
"""
"""A recipe of a sound net that is trained within seconds, on what needs no recordings."""


def stop_at(table: Path, rows: int) -> None:
    """Ctrl-C as soon as `table` has so many rows; heard also where the tests were started to ignore it (`&`)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        while not table.exists() or len(table.read_text().splitlines()) <= rows:
            sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=watch, daemon=True).start()
