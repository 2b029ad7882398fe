"""Several detectors in turns on one machine: whatever else runs there meanwhile delays them alike."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from smartbox import bench, peers, plugins
from smartbox.backends._base import Session
from smartbox.bundle import Bundle
from smartbox.decoders import Decoder
from smartbox.errors import BackendError


@dataclass(frozen=True, slots=True)
class Place:
    """Milliseconds of a whole picture: resize, convert, infer, decode. One thread each.

    best: the fastest run, which nothing else on the machine disturbed. cpu: processor time, the middle one; on one
    thread that is what a picture takes, and other work on the machine does not count.
    """

    name: str
    backend: str
    peer: bool
    error: str | None = None
    best: float | None = None
    p50: float | None = None
    p95: float | None = None
    cpu: float | None = None
    ratio: float | None = None
    """How many times as long as the fastest of ours takes, by `cpu`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    name: str
    bundle: Bundle
    backend: str
    decoder: Decoder | None
    peer: bool


def run(bundle: Bundle, backends: list[str], others: list[Path], runs: int) -> list[Place]:
    """`bundle` on each of `backends`, and the peers in `others`, `runs` times each and by turns.

    ConfigError when a path is no peer; an engine that fails is a place with its reason.
    """
    with ExitStack() as stack:
        entries = [_Entry(bundle.name, bundle, name, None, False) for name in backends]
        for path in others:
            peer = peers.read(path, Path(stack.enter_context(TemporaryDirectory(prefix="smartbox-peer-"))))
            entries.append(_Entry(peer.name, peer.bundle, peer.backend, peer.decoder, True))
        failed: dict[_Entry, str] = {}
        ready: dict[_Entry, Callable[[], object]] = {}
        picture = bench.scene(bundle)
        for entry in entries:
            try:
                session: Session = plugins.load("backends", entry.backend)().open(entry.bundle)
                stack.callback(session.close)
                once = bench.whole_picture(entry.bundle, session, picture, entry.decoder)
                if once is None:
                    raise BackendError("it takes no picture")
                once()
                ready[entry] = once
            except BackendError as error:
                failed[entry] = str(error)
        times = _turns(ready, runs)
    return [_place(entry, times, failed) for entry in entries]


def _turns(ready: Mapping[_Entry, Callable[[], object]], runs: int) -> dict[_Entry, list[tuple[float, float]]]:
    """Milliseconds by the clock and of the processor."""
    times: dict[_Entry, list[tuple[float, float]]] = {entry: [] for entry in ready}
    for i in range(runs + 2):
        for entry, once in ready.items():
            once()  # its own data into the caches: a camera's next picture finds them there too
            began, busy = time.perf_counter(), time.process_time()
            once()
            if i >= 2:
                times[entry].append(((time.perf_counter() - began) * 1e3, (time.process_time() - busy) * 1e3))
    return times


def _place(entry: _Entry, times: Mapping[_Entry, list[tuple[float, float]]], failed: Mapping[_Entry, str]) -> Place:
    if entry not in times:
        return Place(entry.name, entry.backend, entry.peer, error=failed[entry])
    ours = [float(np.median(values, 0)[1]) for other, values in times.items() if not other.peer]
    walls, cpu = np.array(times[entry])[:, 0], float(np.median(times[entry], 0)[1])
    p50, p95 = (float(p) for p in np.percentile(walls, (50, 95)))
    ratio = cpu / min(ours) if ours else None
    return Place(entry.name, entry.backend, entry.peer, None, float(walls.min()), p50, p95, cpu, ratio)
