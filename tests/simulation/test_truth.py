"""The arithmetic of alarms."""

import pytest

from smartbox.simulation import ROUND, SCENES, Alarm, Shot, Watch, alarms, zones
from smartbox.simulation.actors import Stay
from smartbox.simulation.park import WATCHES
from smartbox.simulation.truth import slot_names

# Within three minutes each rule of the demo must have begun and ended; the lot is free for 60 s before it ends.
ENDS_AFTER = {"sleep": 3.0, "fire_lane": 5.0, "parking": 65.0, "intrusion": 5.0}


@pytest.mark.parametrize("seed", [1, 2, 40, 999_999])
@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_breaks_its_rule_in_time(scene: str, seed: int) -> None:
    found = alarms(Shot(scene, seed), WATCHES[scene])  # type: ignore[arg-type, index]
    assert len(found) == (2 if scene == "gate" else 1)
    for alarm in found:
        watch = WATCHES[scene][0]  # type: ignore[index]
        assert (alarm.rule, alarm.kind) == (watch.rule, watch.kind)
        assert alarm.alarm_s == pytest.approx(alarm.start_s + watch.dwell)
        assert alarm.end_s - alarm.start_s > 1.3 * watch.dwell  # clearly longer
        assert alarm.end_s + ENDS_AFTER[watch.kind] < ROUND - 5


def test_hard_negatives_are_clearly_shorter() -> None:
    """With a dwell of half a second more is found: that is what must not be reported."""
    watch = WATCHES["lane"][0]
    shot = Shot("lane", 3)
    brief = alarms(shot, [Watch("r", "fire_lane", 0.5, watch.polygon)])
    lengths = sorted(a.end_s - a.start_s for a in brief)
    assert len(lengths) == 2
    assert lengths[0] < 0.5 * watch.dwell


def test_a_short_nap_is_no_alarm() -> None:
    watch = WATCHES["post"][0]
    naps = alarms(Shot("post", 3), [Watch("r", "sleep", 1.0, watch.polygon)])
    assert len(naps) == 2
    assert min(n.end_s - n.start_s for n in naps) < 5 < watch.dwell


def test_the_lot_is_full_when_the_last_slot_is() -> None:
    shot = Shot("lot", 5)
    (full,) = alarms(shot, [Watch("lot", "parking", 4.0, slots=slot_names())])
    stands = [part for actor in shot.actors(0) for part in actor.plan if isinstance(part, Stay)]
    last, first = max(s.start for s in stands), min(s.end for s in stands)
    assert full == Alarm("lot", "parking", "lot", full.start_s, full.end_s, full.start_s + 4.0)
    assert last - 3 < full.start_s < last  # it has all but stopped
    assert first < full.end_s < first + 5


def test_overstay_goes_on_from_round_to_round() -> None:
    """Who stands at the end of a round stands at the start of the next: the slot was never free."""
    watch = Watch("lot", "parking", 4.0, slots=slot_names(), overstay=175.0)
    one, two = (alarms(Shot("lot", 5), [watch], rounds * ROUND) for rounds in (1, 2))
    assert sum(a.subject.startswith("slot:") for a in one) == 3
    assert sum(a.subject == "lot" for a in two) == 2
    assert any(a.subject.startswith("slot:") and a.end_s - a.start_s > ROUND for a in two)


def test_absence_counts_from_the_first_visit_on() -> None:
    polygon = zones("post")["post"]
    (left,) = alarms(Shot("post", 2), [Watch("left", "absence", 20.0, polygon)])
    assert 60 < left.start_s < 140 and left.end_s == ROUND and left.alarm_s == left.start_s + 20


def test_the_recording_may_end_within_an_episode() -> None:
    watch = WATCHES["gate"]
    whole = alarms(Shot("gate", 1), watch)
    cut = alarms(Shot("gate", 1), watch, whole[0].end_s - 2)
    assert len(cut) == 1 and cut[0].start_s == whole[0].start_s and cut[0].end_s < whole[0].end_s


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match=r"'r'.*loitering"):
        alarms(Shot("gate", 1), [Watch("r", "loitering", 5.0)])
