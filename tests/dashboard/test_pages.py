"""What an operator sees of boxes that the test plays by the documented topics: rules, faults, and hostile words."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser
from tests.dashboard.conftest import Wire, jpeg, opened
from tests.dashboard.nodered import NodeRed
from tests.mosquitto import Consumer, Mosquitto, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EPISODE = "0192f3a0-0000-7000-8000-00000000000{}"


def episode(number: int, **more: Any) -> dict[str, Any]:
    return {
        "episode": EPISODE.format(number),
        "kind": "intrusion",
        "class": "alarm",
        "severity": "high",
        "zone": "yard",
        "started_at": "2026-11-24T10:00:00.000Z",
        "subjects": ["track:1"],
        "labels": ["person"],
        **more,
    }


def card(number: int, kind: str = ".sb-alarm") -> str:
    """JavaScript for the card of an open episode."""
    return f"document.querySelector('{kind}[data-episode=\"{EPISODE.format(number)}\"]')"


@pytest.fixture(autouse=True)
def cleared(wire: Wire) -> Iterator[None]:
    """Every test begins without boxes."""
    yield
    for box in ("a/one", "a/two", "b/one"):
        for topic in ("state", "birth", "active/yard-closed/gate", "occupancy/lot", "source/gate"):
            wire.say(f"{box}/{topic}", None)


def test_an_alarm_stands_with_its_picture_until_its_list_is_emptied(
    alarms: Browser, wire: Wire, tmp_path: Path
) -> None:
    wire.state("a/one", "ready")
    alarms.until("document.querySelector('.sb-calm')", "no alarm")
    wire.say("a/one/active/yard-closed/gate", [episode(1)])
    text = alarms.until(f"{card(1)}.innerText", "the alarm")
    assert all(word in text for word in ("Intrusion", "a · one · gate · yard", "since", "high", "person", "no picture"))
    picture = jpeg(tmp_path / "a.jpg")
    wire.say(f"a/one/picture/{EPISODE.format(1)}", picture, retain=False)
    source = alarms.until(
        f"{card(1)}.querySelector('img').naturalWidth === 320 && {card(1)}.querySelector('img').src", "the picture"
    )
    assert base64.b64decode(source.partition(",")[2]) == picture
    wire.say("a/one/active/yard-closed/gate", None)
    alarms.until(f"!{card(1)} && document.querySelector('.sb-calm')", "no alarm again")


def test_what_is_seen_is_quieter_on_every_page(alarms: Browser, wire: Wire, dashboard: NodeRed) -> None:
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [episode(2), episode(3, kind="sleep", **{"class": "notice"})])
    alarms.until(f"{card(2)} && {card(3, '.sb-row')}", "a loud alarm and a quiet notice")
    alarms.run(f"{card(2)}.querySelector('.sb-seen').click()")
    alarms.until(f"!{card(2)} && {card(2, '.sb-row')}.innerText.includes('by dashboard')", "a quiet alarm")
    again = opened(alarms, dashboard, "alarms")
    again.until(card(2, ".sb-row"), "it is quiet on a page that comes later")


def test_a_last_will_counts_only_with_its_session(boxes: Browser, wire: Wire) -> None:
    def shows(state: str) -> None:
        boxes.until(f"document.querySelector('[data-box=\"a/one\"]').dataset.state === '{state}'", state)

    wire.state("a/one", "ready", session=7)
    shows("ready")
    wire.state("a/one", "lost", session=6)
    wire.state("a/two", "ready")
    boxes.until("document.querySelector('[data-box=\"a/two\"]')", "what was said later")
    shows("ready")
    wire.state("a/one", "lost", session=7)
    shows("lost")
    wire.state("a/one", "degraded", session=8)
    shows("degraded")


def test_boxes_of_several_sites_stand_side_by_side(boxes: Browser, wire: Wire) -> None:
    for box in ("a/one", "a/two", "b/one"):
        wire.state(box, "ready")
        wire.say(
            f"{box}/source/gate",
            {"state": "offline", "reason": f"no route to {box}", "since": "2026-11-24T10:00:00.000Z"},
        )
    boxes.until("document.querySelectorAll('.sb-box').length === 3", "three boxes")
    assert "no route to b/one" in boxes.until("document.querySelector('[data-box=\"b/one\"]').innerText", "its sources")


def test_a_dead_broker_is_said_and_what_ended_meanwhile_is_gone(alarms: Browser, wire: Wire, broker: Mosquitto) -> None:
    """A broken line must not look like a quiet site, nor keep an alarm that is over."""
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [episode(4)])
    alarms.until(card(4), "the alarm")
    broker.stop()
    alarms.until("document.querySelector('.sb-banner').innerText.includes('broker')", "no connection to the broker")
    assert alarms.run(f"return Boolean({card(4)})")
    broker.wipe()
    broker.start()
    wire.state("a/one", "ready")
    alarms.until(f"!{card(4)} && !document.querySelector('.sb-banner')", "the line is back and the alarm is over", 60)


def test_a_dead_dashboard_is_said_and_pictures_outlive_its_restart(
    alarms: Browser, wire: Wire, dashboard: NodeRed, tmp_path: Path
) -> None:
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [episode(5)])
    wire.say(f"a/one/picture/{EPISODE.format(5)}", jpeg(tmp_path / "a.jpg"), retain=False)
    alarms.until(f"{card(5)}.querySelector('img')", "the picture")
    dashboard.stop()
    alarms.until("document.querySelector('.sb-banner').innerText.includes('old')", "the dashboard is gone")
    dashboard.start()
    alarms.until(
        f"!document.querySelector('.sb-banner') && {card(5)}.querySelector('img')", "alarm and picture are back", 60
    )


SOURCE = {"state": "online", "reason": None, "since": "2026-11-24T10:00:00.000Z"}


def birth(*commands: str) -> dict[str, Any]:
    return {"session": 1, "version": "9", "capabilities": {"commands": commands}}


def test_a_test_alarm_goes_where_it_is_known_and_is_answered(boxes: Browser, wire: Wire, broker: Mosquitto) -> None:
    for box, commands in (("a/one", ["test-alarm"]), ("a/two", [])):
        wire.state(box, "ready")
        wire.say(f"{box}/birth", birth(*commands))
        wire.say(f"{box}/source/gate", SOURCE)
    consumer = Consumer(broker.port, "box", "smartbox/v1/+/+/cmd/+")
    button = "document.querySelector('[data-box=\"a/one\"] [data-test=gate]')"
    boxes.until(f"!{button}.disabled", "the button")
    other = "document.querySelector('[data-box=\"a/two\"] [data-test=gate]')"
    boxes.until(f"{other}.disabled", "no button where it is not known")
    boxes.run(f"{button}.click()")
    boxes.until(f"{button}.innerText.includes('again')", "it asks whether we are sure")
    assert not consumer.on("cmd/")
    boxes.run(f"{button}.click()")
    wait_for(lambda: consumer.on("cmd/"), "the command")
    (message,) = consumer.on("cmd/")
    command = json.loads(message.payload)
    assert (message.topic, message.retain) == ("smartbox/v1/a/one/cmd/test-alarm", False)
    assert command["args"] == {"source": "gate"}
    refused = {"id": command["id"], "status": "refused", "detail": {"reason": "not now"}}
    wire.say("a/one/cmd/test-alarm/ack", refused, retain=False)
    answer = boxes.until("document.querySelector('[data-answer=refused]').innerText", "the answer")
    assert "not now" in answer
    wire.state("a/one", "lost")
    boxes.until(f"{button}.disabled", "nothing can be said to a box that is lost")
    consumer.close()


def test_a_silenced_rule_is_said_until_it_speaks_again(alarms: Browser, wire: Wire, broker: Mosquitto) -> None:
    """A rule that says nothing must not look like a quiet place."""
    wire.state("a/one", "ready")
    wire.say("a/one/birth", birth("silence"))
    wire.say("a/one/active/yard-closed/gate", [episode(8)])
    consumer = Consumer(broker.port, "box", "smartbox/v1/+/+/cmd/+")
    button = f"{card(8)}.querySelector('.sb-silence')"
    alarms.until(button, "the button")
    alarms.run(f"{button}.click()")
    alarms.until(f"{button}.innerText.includes('yard-closed')", "it says what will be silent")
    alarms.run(f"{button}.click()")
    wait_for(lambda: consumer.on("cmd/silence"), "the command")
    command = json.loads(consumer.on("cmd/silence")[0].payload)
    assert command["args"] == {"rule": "yard-closed", "source": "gate", "for": "30min"}

    def answer(until: str) -> None:
        detail = {"rule": "yard-closed", "sources": ["gate"], "until": until}
        wire.say("a/one/cmd/silence/ack", {"id": command["id"], "status": "done", "detail": detail}, retain=False)

    answer("2099-01-01T00:00:00.000Z")
    text = alarms.until("document.querySelector('.sb-silenced').innerText", "what is silent")
    assert "a/one yard-closed at gate" in text
    alarms.run("document.querySelector('.sb-silenced button').click()")
    wait_for(lambda: len(consumer.on("cmd/silence")) == 2, "the end of it")
    command = json.loads(consumer.on("cmd/silence")[1].payload)
    assert command["args"]["for"] == "0s"
    answer("2026-01-01T00:00:00.000Z")
    alarms.until("!document.querySelector('.sb-silenced')", "it speaks again")
    consumer.close()


def test_hostile_words_are_words(alarms: Browser, wire: Wire) -> None:
    evil = (
        '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
        "{{ constructor.constructor('window.hit=1')() }}"
    )
    wire.state("a/one", "ready")
    for topic in ("state", "active/yard-closed/gate", "occupancy/lot", "event/alarm/x", "tele/health", "source/gate"):
        for body in (b"{", b"\xff\xfe", b"[[[[", b"null", b"7", b'"text"', b"[null, 1, {}]"):
            wire.say(f"a/one/{topic}", body, retain=False)
    wire.say(f"a/one/picture/{EPISODE.format(6)}", evil.encode(), retain=False)
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [episode(6, kind=evil, labels=[evil], zone=evil, severity=evil)])
    text = alarms.until(f"{card(6)}.innerText", "the alarm")
    assert "onerror" in text
    assert alarms.run("return [window.hit, document.querySelectorAll('.sb-alarm img').length]") == [None, 0]


def test_it_fits_a_phone(alarms: Browser, wire: Wire, tmp_path: Path) -> None:
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [episode(7)])
    wire.say(f"a/one/picture/{EPISODE.format(7)}", jpeg(tmp_path / "a.jpg"), retain=False)
    alarms.size(390, 844)
    alarms.until(f"{card(7)}.querySelector('img').naturalWidth", "the alarm with its picture")
    box = f"{card(7)}.querySelector('img').getBoundingClientRect()"
    left, right, page = alarms.run(f"const r = {box}; return [r.left, r.right, document.body.scrollWidth]")
    assert 0 <= left < right <= 390
    assert page <= 390
    height = alarms.run(f"return {card(7)}.querySelector('button').getBoundingClientRect().height")
    assert height >= 44  # a thumb
