"""LRSSD beside the plain SSD head on the same backbone: multiply-accumulates, and speed in the same engine.

    python benchmarks/bench_ssd.py [--runs 60] [--size 320] [--labels 6]

Neither net is trained: what a picture costs does not depend on the weights. LRSSD int8, SSD int8 and SSD float run by
turns (A B C A B C …) on one thread, so that whatever else the machine does delays them alike; compare the ratios. SSD
costs more the more labels there are (its predictors are dense and have 4 to 6 boxes a cell), so the labels of
lrssd-park and COCO's 80 are measured; the published claim, half of SSD's complexity, is about the latter. Needs the
extra `lab`.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 - it reads the number of threads when imported
import torch  # noqa: E402

from smartbox import bench, plugins  # noqa: E402
from smartbox.errors import BackendError  # noqa: E402
from smartbox.lab import export, golden, reformat  # noqa: E402
from smartbox.lab.macs import count  # noqa: E402
from smartbox.lab.nets.muffnet import MuffNet  # noqa: E402
from smartbox.lab.quantize import FakeQuant, calibrate  # noqa: E402
from smartbox.lab.recipe import Net, Recipe  # noqa: E402
from smartbox.processor import machine  # noqa: E402

LABELS = (6, 80)
PARK = Net()  # the backbone and features of lrssd-park
TRUE_FLOAT = {"openvino": {"options": {"INFERENCE_PRECISION_HINT": "f32"}}}  # it would use bfloat16 where it can
Times = list[tuple[float, float]]  # milliseconds by the clock, and of the processor


@dataclass(frozen=True)
class Cost:
    """Of one picture: M MACs of the whole net and of what is not backbone."""

    whole: float
    head: float


def recipe(head: str, labels: int, size: int) -> Recipe:
    fields: dict[str, Any] = {
        "name": head,
        "labels": [f"label {i}" for i in range(labels)],
        "size": size,
        "net": PARK.model_dump() | {"head": head},
        "data": [{"folder": "none"}],
        "stages": [{}],
    }
    return Recipe.model_validate(fields)


def cost(plan: Recipe) -> Cost:
    size = (plan.size, plan.size)
    whole, backbone = (count(net, size).macs for net in (plan.net.build(len(plan.labels)), MuffNet(plan.net.backbone)))
    return Cost(whole / 1e6, (whole - backbone) / 1e6)


def bundles(plan: Recipe, directory: Path, floats: bool) -> list[Any]:
    """The untrained net in int8 and, if asked for, in float, in every format."""
    torch.manual_seed(0)
    net = plan.net.build(len(plan.labels))
    x = golden.normalised(export.golden_input(plan.size), export.graph_of(net))
    with torch.no_grad():
        for _ in range(40):  # batch statistics, so that activations are of a usual size
            net.train()(x)
    graph = export.graph_of(net.eval())
    fake = FakeQuant(graph, calibrate(graph, [x]))
    release = export.Release("0")
    found = [export.write(directory / f"{plan.name}-int8", plan, net, fake, release)]
    if floats:
        found.append(reformat.add_formats(export.write(directory / f"{plan.name}-float", plan, net, None, release)))
    return found


def by_turns(ready: dict[str, Callable[[], object]], runs: int) -> dict[str, Times]:
    times: dict[str, Times] = {name: [] for name in ready}
    for i in range(runs + 3):
        for name, once in ready.items():
            once()  # its own weights into the caches, as on a box that runs nothing else
            began, busy = time.perf_counter(), time.process_time()
            once()
            if i >= 3:
                times[name].append(((time.perf_counter() - began) * 1e3, (time.process_time() - busy) * 1e3))
    return times


def engine(backend: str, entrants: dict[str, Any], runs: int) -> dict[str, Times]:
    """Of the graphs alone: what comes before and after is the same."""
    sessions, ready = [], {}
    for name, bundle in entrants.items():
        if backend not in bundle.manifest.files:
            continue
        settings = TRUE_FLOAT.get(backend, {}) if name.endswith("float") else {}
        try:
            session = plugins.load("backends", backend).model_validate({"threads": 1, **settings}).open(bundle)
        except BackendError as error:
            print(f"{backend}, {name}: {error}")
            continue
        sessions.append(session)
        inputs = {"image": export.golden_input(bundle.manifest.inputs[0].size[0])[:1]}
        ready[name] = lambda session=session, inputs=inputs: session.run(inputs)
    try:
        return by_turns(ready, runs)
    finally:
        for session in sessions:
            session.close()


def middle(times: Times) -> float:
    """Processor time: on one thread that is what a picture takes, and other work does not count."""
    return float(np.median(np.array(times)[:, 1]))


def ratio(times: dict[str, Times], slow: str) -> float:
    """Middle one of the turns' own ratios: what disturbs a turn disturbs all of it."""
    ours, others = np.array(times["lrssd int8"])[:, 1], np.array(times[slow])[:, 1]
    return float(np.median(others / np.maximum(ours, 1e-3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--labels", type=int, action="append", help="default 6 and 80")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    for labels in args.labels or LABELS:
        lrssd, ssd = (recipe(head, labels, args.size) for head in ("lrssd", "ssd"))
        ours, plain = cost(lrssd), cost(ssd)
        print(f"\n{labels} labels, {args.size} pixels; LRSSD, SSD and their ratio in M MACs:")
        print(f"whole net {shares(ours.whole, plain.whole)}; head alone {shares(ours.head, plain.head)}")
        with TemporaryDirectory(prefix="smartbox-ssd-") as directory:
            (own,) = bundles(lrssd, Path(directory), floats=False)
            plain8, plain32 = bundles(ssd, Path(directory), floats=True)
            entrants = {"lrssd int8": own, "ssd int8": plain8, "ssd float": plain32}
            print("\n| engine | LRSSD int8, ms | SSD int8 | SSD float | int8 : int8 | float : LRSSD int8 |")
            print("|---|---|---|---|---|---|")
            for backend in bench.candidates(own):
                print(row(backend, engine(backend, entrants, args.runs)))


def shares(ours: float, others: float) -> str:
    return f"{ours:.0f}, {others:.0f}, {ours / others:.0%}"


def row(backend: str, times: dict[str, Times]) -> str:
    ms = [f"{middle(times[name]):.2f}" if name in times else "" for name in ("lrssd int8", "ssd int8", "ssd float")]
    ratios = [f"{ratio(times, name):.2f}" if name in times else "" for name in ("ssd int8", "ssd float")]
    return f"| {' | '.join([backend, *ms, *ratios])} |"


if __name__ == "__main__":
    main()
