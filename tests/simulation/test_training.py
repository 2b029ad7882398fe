"""Training frames."""

from itertools import pairwise

import numpy as np

from smartbox.simulation import TRAINING_SEEDS, frames
from smartbox.simulation.people import person_mesh, random_person, standing
from smartbox.simulation.vehicles import random_vehicle, vehicle_mesh

CLASSES = {"person", "bicycle", "car", "motorcycle", "bus", "truck"}


def test_frames_are_deterministic_labelled_and_varied() -> None:
    made = list(frames(TRAINING_SEEDS, 10, 320, 180, per_scene=2))
    again = list(frames(TRAINING_SEEDS, 3, 320, 180, per_scene=2))
    assert len(made) == 10
    for (image, boxes), (other, same) in zip(made, again, strict=False):
        assert np.array_equal(image, other) and boxes == same
    for image, boxes in made:
        assert image.shape == (180, 320, 3) and image.dtype == np.uint8
        for label, (x0, y0, x1, y1), visible in boxes:
            assert label in CLASSES and 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and 0.25 <= visible <= 1
    labels = {label for _, boxes in made for label, _, _ in boxes}
    assert "person" in labels and labels & {"car", "bus", "truck"}
    assert all(np.abs(a[0].astype(int) - b[0]).mean() > 2 for a, b in pairwise(made))


def test_bodies_have_their_sizes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        look = random_person(rng)
        points = person_mesh(look, standing()).points
        assert abs(points[:, 2].max() - look.height) < 0.12 and points[:, 2].min() > -0.05
    for kind in ("car", "bus", "truck"):
        look_v = random_vehicle(rng, kind)  # type: ignore[arg-type]
        points = vehicle_mesh(look_v).points
        assert abs(np.ptp(points[:, 0]) - look_v.length) < 0.5
        assert 1.2 < points[:, 2].max() < 4.2


def test_skins_look_outward() -> None:
    """Faces are culled by their side: of a closed body about half may be seen from anywhere."""
    rng = np.random.default_rng(2)
    mesh = vehicle_mesh(random_vehicle(rng, "car"))
    centres = mesh.points[mesh.faces].mean(1)
    outward = (mesh.normals() * (centres - centres.mean(0))).sum(1)
    assert (outward > -0.05).mean() > 0.8
