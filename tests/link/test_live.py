"""Rules and zones from above without a restart: what stays goes on, what changed ends, a lost broker takes it back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import scripted_bundle, seen
from tests.link.box import Box, Cloud
from tests.link.signing import Signer
from tests.mosquitto import Mosquitto, wait_for

ZONES = "zones: {all: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}\n"
STAYS = {"type": "intrusion", "zones": ["all"], "dwell": "0s", "labels": ["person"]}


@pytest.fixture
def box(tmp_path: Path, mosquitto: Mosquitto, signer: Signer) -> Iterator[Box]:
    """A camera on which somebody always stands, and two rules that see it."""
    model = scripted_bundle(tmp_path / "eyes", seen("person"))
    more = f"cloud: {{keys: ['{signer.public}'], confirm_after: 0s, revert_after: 2s}}\n"
    more += f"models: {{eyes: {{bundle: {model.path}, backends: [scripted]}}}}\n"
    more += "sources: {gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}\n" + ZONES
    more += f"rules: {json.dumps({'stays': STAYS, 'goes': STAYS})}\n"
    box = Box(tmp_path / "box", mosquitto.url, more).start()
    yield box
    box.stop()


def phases(cloud: Cloud, rule: str) -> list[tuple[str, str | None]]:
    found: list[dict[str, Any]] = [json.loads(m.payload)["data"] for m in cloud.on("event/alarm/intrusion")]
    return [(data["phase"], data["end_reason"]) for data in found if data["rule"]["id"] == rule]


def reported(cloud: Cloud, version: int, status: str) -> None:
    def come() -> bool:
        report = cloud.last("reported")
        return bool(report) and (report["version"], report["status"]) == (version, status)

    wait_for(come, f"{status} {version}", 60)


def test_what_stays_goes_on_and_what_changed_ends(box: Box, cloud: Cloud, signer: Signer) -> None:
    wait_for(lambda: phases(cloud, "stays") and phases(cloud, "goes"), "both alarms", 60)
    cloud.command("silence", "q", rule="stays", **{"for": "1h"})
    cloud.answer("q", "done")
    rules = {"stays": STAYS, "new": {**STAYS, "severity": "low"}}
    cloud.publish("desired", signer.document(1, {"rules": rules}), retain=True)
    reported(cloud, 1, "applied")
    wait_for(lambda: phases(cloud, "goes")[-1] == ("end", "config"), "the end of what is gone")
    wait_for(lambda: phases(cloud, "new"), "the new rule's alarm")
    # Where the machine is busy for seconds the same person is a track of another number, and a second alarm.
    assert ("end", "config") not in phases(cloud, "stays") and box.starts == 1
    wait_for(lambda: cloud.last("birth")["config_version"] == 1, "the birth of the new configuration")
    assert set(cloud.last("birth")["rules"]) == {"stays", "new"}
    wait_for(lambda: cloud.last("active/goes/gate") is None and cloud.last("active/new/gate"), "what is active")
    assert cloud.last("active/stays/gate")
    cloud.command("silence", "q2", rule="goes", **{"for": "1h"})
    assert "known are stays, new" in cloud.answer("q2", "failed")["detail"]["reason"]
    (runner,) = [r for r in box.daemon._pipelines["gate"].runners if r.rule_id == "stays"]  # type: ignore[union-attr]
    assert runner.silent_until > box.daemon.clock.monotonic()  # type: ignore[union-attr]


def test_an_open_episode_is_acknowledged(box: Box, cloud: Cloud) -> None:
    wait_for(lambda: phases(cloud, "stays"), "the alarm", 60)
    episode = cloud.last("active/stays/gate")[0]["episode"]
    cloud.command("acknowledge", "a", episode=episode, by="Ada")
    seq = cloud.answer("a", "done")["detail"]["seq"]

    def update() -> list[dict[str, Any]]:
        return [e for e in map(json.loads, (m.payload for m in cloud.on("event/alarm/"))) if e["seq"] == seq]

    wait_for(update, "the update")
    data = update()[0]["data"]
    assert (data["phase"], data["episode"]) == ("update", episode)
    assert data["detail"]["acknowledged"]["by"] == "Ada"

    def listed() -> list[Any]:
        active = cloud.last("active/stays/gate") or []
        return [item.get("acknowledged") for item in active if item["episode"] == episode]

    wait_for(lambda: listed() == [data["detail"]["acknowledged"]], "who has seen it, retained")
    box.stop()
    cloud.messages.clear()
    box.start()
    wait_for(lambda: listed() == [data["detail"]["acknowledged"]], "the same after a restart", 60)
    for args in ({"episode": "none", "by": "Ada"}, {"episode": episode}):
        cloud.command("acknowledge", f"no-{len(args)}", **args)
        assert "args." in cloud.answer(f"no-{len(args)}", "failed")["detail"]["reason"]


def test_it_is_taken_back_when_the_broker_is_lost(box: Box, cloud: Cloud, signer: Signer, mosquitto: Mosquitto) -> None:
    """Not confirmed yet, and the broker goes: the box starts anew with what was before."""
    wait_for(lambda: phases(cloud, "stays"), "the alarm", 60)
    follower = box.daemon.remote._follower  # type: ignore[union-attr]
    follower._settings = follower._settings.model_copy(update={"confirm_after": 3600.0})  # type: ignore[union-attr]
    cloud.publish("desired", signer.document(1, {"rules": {}}), retain=True)
    wait_for(lambda: (cloud.last("reported") or {}).get("trial") == 1, "the trial")
    mosquitto.stop()
    wait_for(lambda: box.starts == 2, "a restart")
    mosquitto.start()
    reported(cloud, 1, "reverted")
    assert set(cloud.last("birth")["rules"]) == {"stays", "goes"}


def test_zones_too(box: Box, cloud: Cloud, signer: Signer) -> None:
    wait_for(lambda: phases(cloud, "stays"), "the alarm", 60)
    elsewhere = {"all": {"source": "gate", "polygon": [[0.9, 0.0], [1, 0], [1, 0.1]]}}
    cloud.publish("desired", signer.document(1, {"zones": elsewhere}), retain=True)
    wait_for(lambda: phases(cloud, "stays")[-1] == ("end", "config"), "the end")
    reported(cloud, 1, "applied")
    assert box.starts == 1
