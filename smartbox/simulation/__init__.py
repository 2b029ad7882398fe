"""A small simulated park: scenes, actors, cameras and exact truth, for demos, tests and training."""

from smartbox.simulation.training import TRAINING_SEEDS, frames

__all__ = ["TRAINING_SEEDS", "frames"]
