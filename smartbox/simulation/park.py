"""The park of the demo: which rules watch its four cameras, and their short times."""

from collections.abc import Mapping

from smartbox.simulation.stages import Scene, zones
from smartbox.simulation.truth import Watch, slot_names

WATCHES: Mapping[Scene, tuple[Watch, ...]] = {
    "post": (Watch("guard-awake", "sleep", 15.0, zones("post")["post"]),),
    "lane": (Watch("lane-clear", "fire_lane", 15.0, zones("lane")["lane"]),),
    "lot": (Watch("lot-full", "parking", 5.0, slots=slot_names()),),
    "gate": (Watch("yard-closed", "intrusion", 3.0, zones("gate")["yard"]),),
}
"""As deploy/demo.yaml says it; a test compares the two."""
