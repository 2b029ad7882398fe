"""A training's CSV as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path


def draw(table: Path, path: Path, shares: Sequence[str]) -> None:
    """Column `loss` over column `step`, and columns of shares (0–1; may have gaps) on a second axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, left = plt.subplots(figsize=(8, 4.5))
    right = left.twinx()
    left.plot([int(r["step"]) for r in rows], [float(r["loss"]) for r in rows], color="tab:red", label="loss")
    for column in shares:
        points = [(int(r["step"]), float(r[column])) for r in rows if r[column]]
        right.plot([x for x, _ in points], [y for _, y in points], label=column, marker="." if len(points) < 60 else "")
    left.set(xlabel="step", ylabel="loss")
    right.set(ylabel="share right", ylim=(0, 1.02))
    figure.legend(loc="center")
    figure.savefig(path, dpi=100)
    plt.close(figure)
