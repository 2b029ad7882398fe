"""A small simulated park: scenes, actors, cameras and exact truth, for demos, tests and training."""

from smartbox.simulation.film import Film, Shot
from smartbox.simulation.scripts import ROUND
from smartbox.simulation.stages import SCENES, slots, zones
from smartbox.simulation.training import TRAINING_SEEDS, frames
from smartbox.simulation.truth import Alarm, Watch, alarms

__all__ = ["ROUND", "SCENES", "TRAINING_SEEDS", "Alarm", "Film", "Shot", "Watch", "alarms", "frames", "slots", "zones"]
