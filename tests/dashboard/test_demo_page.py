"""The real demo, box and all, as its operator sees it; with SCREENSHOTS=DIR the pictures of the guide are made."""

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.browser import Browser
from tests.conftest import ROOT
from tests.dashboard.conftest import opened
from tests.dashboard.nodered import NodeRed
from tests.e2e.conftest import Box, documents
from tests.mosquitto import Consumer, Mosquitto, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUND = 200.0  # s in which the park shows everything once
SCREENSHOTS = os.environ.get("SCREENSHOTS")
ALARM = "document.querySelector('.sb-alarm img')?.naturalWidth && document.querySelector('.sb-alarm').dataset.episode"


def demo(directory: Path, broker: Mosquitto) -> Path:
    values = yaml.safe_load((ROOT / "deploy" / "demo.yaml").read_text())
    values["box"]["state_dir"] = str(directory / "state")
    values["mqtt"] = {"url": broker.url}
    for source in values["sources"].values():
        source["seed"] = 1
    path = directory / "demo.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def box(tmp_path: Path, broker: Mosquitto) -> Iterator[Box]:
    """The demo in a process of its own."""
    made = Box(demo(tmp_path, broker), tmp_path / "box.log").start()
    yield made
    if made.running:
        made.kill()


def shoot(browser: Browser, name: str, width: int = 1100, height: int = 760) -> None:
    """With few colours, so that it is small."""
    if not SCREENSHOTS:
        return
    browser.size(width, height)
    whole = Path(SCREENSHOTS) / f"{name}-whole.png"
    browser.screenshot(whole)
    colours = "split[a][b];[a]palettegen=max_colors=128[p];[b][p]paletteuse=dither=none"
    small = whole.with_name(f"{name}.png")
    subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-i", whole, "-filter_complex", colours, small], check=True)
    whole.unlink()


def test_the_demo_on_the_dashboard(alarms: Browser, dashboard: NodeRed, broker: Mosquitto, box: Box) -> None:
    consumer = Consumer(broker.port, "watcher", "smartbox/v1/demo/#")
    browser = alarms

    # An alarm comes with the picture that the box sent, and goes when the box says that it is over.
    episode = browser.until(ALARM, f"an alarm with its picture\n{box.log[-2000:]}", ROUND)
    source = browser.run(f"return document.querySelector('[data-episode=\"{episode}\"] img').src")
    (sent,) = consumer.on(f"picture/{episode}")
    assert base64.b64decode(source.partition(",")[2]) == sent.payload
    begin = next(d for d in documents(consumer, "event/alarm") if d["id"] == episode)
    text = browser.run(f"return document.querySelector('[data-episode=\"{episode}\"]').innerText")
    assert begin["data"]["camera"] in text and begin["data"]["zone"] in text
    shoot(browser, "dashboard-alarm")
    shoot(browser, "dashboard-phone", 390, 760)
    browser.size(1400, 900)
    browser.until(f"!document.querySelector('.sb-alarm[data-episode=\"{episode}\"]')", "the alarm is over", ROUND)
    ended = f"document.querySelector('.sb-events [data-episode=\"{episode}\"][data-phase=end]')"
    browser.until(ended, "its end among the events")
    assert any(
        d["data"]["episode"] == episode for d in documents(consumer, "event/alarm") if d["data"]["phase"] == "end"
    )

    # The car park's numbers are the retained ones.
    def counts() -> dict[str, int]:
        shown = browser.run(
            "return [...document.querySelectorAll('[data-count]')].map(e => [e.dataset.count, e.innerText])"
        )
        return {state: int(number) for state, number in shown}

    wait_for(lambda: counts() == documents(consumer, "occupancy/lot")[-1]["counts"], "the retained numbers")
    slots = browser.run("return [...document.querySelectorAll('[data-slot]')].map(e => e.innerText)")
    assert len(slots) == 6

    # Health is drawn; the second report is a minute after the first.
    browser.visit(dashboard.url("health"))
    browser.until("document.querySelectorAll('canvas').length >= 5", "the charts")
    if SCREENSHOTS:
        wait_for(lambda: len(consumer.on("tele/health")) > 2, "some health", 180)
    shoot(browser, "dashboard-health")

    # Pulled out of the wall it is lost, and back it is ready.
    state = "document.querySelector('[data-box=\"demo/box-1\"]').dataset.state"
    opened(browser, dashboard, "boxes")
    browser.until(f"{state} === 'ready'", "ready", ROUND)
    shoot(browser, "dashboard-boxes")
    box.kill()
    browser.until(f"{state} === 'lost'", "lost")
    box.start()
    browser.until(f"{state} === 'ready'", "ready again", 60)
    consumer.close()
    assert box.stop() == 0
    browser.until(f"{state} === 'stopped'", "stopped")


def test_the_real_box_does_what_the_buttons_say(
    boxes: Browser, dashboard: NodeRed, broker: Mosquitto, box: Box
) -> None:
    consumer = Consumer(broker.port, "watcher-2", "smartbox/v1/demo/#")
    browser = boxes
    button = "document.querySelector('[data-box=\"demo/box-1\"] [data-test=lane]')"
    browser.until(f"!{button}.disabled && document.querySelector('.sb-is-online')", "the button", 60)
    box.wait_log("source lane is online", 60)
    browser.run(f"{button}.click()")
    browser.until(f"{button}.innerText.includes('again')", "are you sure")
    browser.run(f"{button}.click()")
    browser.until("document.querySelector('[data-answer=done]')", "it is done")
    opened(browser, dashboard, "alarms")
    test = "[...document.querySelectorAll('.sb-alarm')].find(e => e.innerText.includes('Test alarm'))"
    browser.until(f"{test}.querySelector('img').naturalWidth", "the test alarm with a picture")
    assert "lane" in browser.run(f"return {test}.innerText")
    browser.run(f"{test}.querySelector('.sb-seen').click()")
    browser.until(f"!{test}", "it was seen")

    # An alarm's rule is silenced.
    silence = "document.querySelector('.sb-silence')"
    browser.until(silence, "an alarm that can be silenced", ROUND)
    browser.run(f"{silence}.click()")
    browser.until(f"{silence}.innerText.includes('again')", "are you sure")
    browser.run(f"{silence}.click()")
    browser.until("document.querySelector('.sb-silenced')", "what is silent")
    consumer.close()
    assert box.stop() == 0
