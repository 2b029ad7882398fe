"""`smartbox zones`: the page is whole and offline, and what is clicked in a real browser is a valid configuration."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartbox import build
from smartbox import config as configuration
from smartbox.__main__ import main
from smartbox.commands.check import warnings
from tests.browser import Browser, browser

__all__ = ["browser"]

HEAD: dict[str, Any] = {
    "version": 1,
    "box": {"site": "s", "id": "b"},
    "mqtt": {"url": "embedded"},
    "sources": {
        "gate": {"type": "simulator", "scene": "lot", "width": 320, "height": 180, "paced": False},
        "far": {"type": "simulator", "scene": "gate", "paced": False},
    },
}
ZONES: dict[str, Any] = {
    "yard": {"source": "gate", "polygon": [[0.05, 0.35], [0.95, 0.35], [0.95, 1.0], [0.05, 1.0]]},
    "exit": {"source": "gate", "line": [[0.1, 0.7], [0.9, 0.7]]},
    "no": {
        "source": "gate",
        "slots": {"</script>": [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2]], "7": [[0, 0], [0.1, 0], [0, 0.1]]},
    },
    "elsewhere": {"source": "far", "polygon": [[0, 0], [1, 0], [1, 1]]},
}


def write(path: Path, zones: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({**HEAD, "zones": zones}))
    return path


@pytest.fixture
def page(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def make(zones: dict[str, Any]) -> Path:
        out = tmp_path / "zones.html"
        assert main(["zones", "-c", str(write(tmp_path / "a.yaml", zones)), "gate", "-o", str(out)]) == 0
        return out

    return make


def test_the_page_is_whole_and_asks_for_nothing(page: Callable[..., Path]) -> None:
    html = page(ZONES).read_text()
    assert "data:image/jpeg;base64," in html
    assert "/*SCRIPT*/" not in html and "/*DATA*/" not in html
    assert set(re.findall(r"https?://[^\s\"']+", html)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched
    assert "default-src 'none'" in html
    assert html.count("</script>") == 2  # the slot called so is escaped


def test_an_unknown_source_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.yaml", {})
    assert main(["zones", "-c", str(path), "gaet"]) == 2
    assert "no source 'gaet'; it has far, gate" in capsys.readouterr().err


def test_a_dead_camera_and_a_page_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = {**HEAD, "sources": {**HEAD["sources"], "dead": {"type": "file", "path": str(tmp_path / "none.mp4")}}}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(head))
    assert main(["zones", "-c", str(path), "dead", "-o", str(tmp_path / "z.html")]) == 1
    assert "dead: there is no file" in capsys.readouterr().err
    assert main(["zones", "-c", str(path), "gate", "-o", str(tmp_path / "none" / "z.html")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


class Drawing:
    """The page in the browser, and its picture's place in the window."""

    def __init__(self, browser: Browser, path: Path) -> None:
        self.browser, self.path = browser, path
        browser.run(
            "window.onbeforeunload = null; addEventListener('beforeunload', e => e.stopImmediatePropagation(), true)"
        )
        browser.open(path)
        box = "document.querySelector('#stage image').getBoundingClientRect()"
        self.x, self.y, self.w, self.h = browser.run(f"const r = {box}; return [r.x, r.y, r.width, r.height]")

    def step(self, what: str, x: float, y: float) -> tuple[str, float, float]:
        return what, self.x + x * self.w, self.y + y * self.h

    def click(self, *points: tuple[float, float]) -> None:
        for point in points:
            self.browser.point(self.step("click", *point))

    def drag(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        self.browser.point(self.step("down", *a), self.step("move", *b), self.step("up", *b))

    def press(self, *keys: str) -> None:
        self.browser.press(*keys)

    def zones(self) -> dict[str, Any]:
        """What the YAML on the page says."""
        text = self.browser.run("return document.getElementById('yaml').textContent")
        found: dict[str, Any] = yaml.safe_load(text)["zones"]
        return found

    def faults(self) -> list[str]:
        found: list[str] = self.browser.run("return [...document.querySelectorAll('.bad')].map(e => e.textContent)")
        return found


def test_zones_that_are_there_come_back_unchanged(browser: Browser, page: Callable[..., Path], tmp_path: Path) -> None:
    drawing = Drawing(browser, page(ZONES))
    assert drawing.zones() == ZONES
    assert drawing.faults() == []
    browser.run("document.getElementById('others').click()")
    assert set(drawing.zones()) == {"yard", "exit", "no"}
    assert browser.log() == []


def test_polygon_line_and_slots_become_a_valid_configuration(
    browser: Browser, page: Callable[..., Path], tmp_path: Path
) -> None:
    drawing = Drawing(browser, page({}))
    drawing.press("p")
    drawing.click((0.2, 0.3), (0.6, 0.3), (0.6, 0.8), (0.2, 0.8))
    drawing.press("Enter", *"fire-lane", "Enter")  # its name is chosen at once
    drawing.press("l")
    drawing.click((0.1, 0.5), (0.9, 0.5))
    drawing.press("Enter", "f", "s")
    drawing.click((0.3, 0.4), (0.7, 0.4), (0.7, 0.6), (0.3, 0.6))
    browser.run("document.getElementById('pieces').value = 4; document.getElementById('split').click()")
    zones = drawing.zones()
    loaded = configuration.load(write(tmp_path / "b.yaml", zones)).zones
    assert drawing.faults() == []
    assert set(loaded) == {"fire-lane", "line-1", "lot"}
    for (x, y), (u, v) in zip(
        loaded["fire-lane"].polygon, [(0.2, 0.3), (0.6, 0.3), (0.6, 0.8), (0.2, 0.8)], strict=True
    ):
        assert (x, y) == pytest.approx((u, v), abs=0.003)
    line = loaded["line-1"].line
    assert line is not None and line[0][0] > 0.8  # turned round
    assert list(loaded["lot"].slots) == ["P1", "P2", "P3", "P4"]
    assert loaded["lot"].slots["P2"][1] == pytest.approx((0.5, 0.4), abs=0.003)


def test_the_picture_s_edge_attracts(browser: Browser, page: Callable[..., Path]) -> None:
    drawing = Drawing(browser, page({}))
    drawing.press("p")
    drawing.click((0.004, 0.006), (0.997, 0.006), (0.997, 0.995), (0.004, 0.006))
    assert drawing.zones()["zone-1"]["polygon"] == [[0, 0], [1, 0], [1, 1]]


def test_undo_drag_new_corner_and_delete(browser: Browser, page: Callable[..., Path]) -> None:
    square = [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]
    drawing = Drawing(browser, page({"yard": {"source": "gate", "polygon": square}}))

    def polygon() -> list[list[float]]:
        found: list[list[float]] = drawing.zones()["yard"]["polygon"]
        return found

    drawing.click((0.3, 0.5))
    drawing.drag((0.6, 0.6), (0.8, 0.9))
    assert polygon()[2] == pytest.approx([0.8, 0.9], abs=0.01)
    drawing.press("Control+z")
    assert polygon() == square
    drawing.click((0.3, 0.5))
    drawing.drag((0.4, 0.2), (0.4, 0.1))
    assert len(polygon()) == 5
    drawing.press("Backspace")
    assert polygon() == square
    drawing.drag((0.3, 0.5), (0.9, 0.5))  # stops at the edge, undistorted
    assert polygon()[1][0] == 1
    assert polygon()[1][0] - polygon()[0][0] == pytest.approx(0.4, abs=0.001)
    drawing.press("Control+z", "Escape")
    drawing.click((0.3, 0.5))
    drawing.press("Right")
    assert polygon()[0] == [0.201, 0.2]
    drawing.press("Backspace")
    assert "yard" not in drawing.zones()
    drawing.press("Control+z")
    assert polygon()[0] == [0.201, 0.2]


def test_what_is_wrong_cannot_be_copied(browser: Browser, page: Callable[..., Path]) -> None:
    drawing = Drawing(browser, page({"far": {"source": "far", "polygon": [[0, 0], [1, 0], [1, 1]]}}))
    drawing.press("p")
    drawing.click((0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.9))
    drawing.press("Enter", *"far", "Enter")
    assert drawing.faults() == ["far is taken", "its edges cross one another"]
    assert browser.run("return document.getElementById('copy').disabled")


def test_a_half_drawn_polygon_is_taken_back_corner_by_corner(browser: Browser, page: Callable[..., Path]) -> None:
    drawing = Drawing(browser, page({}))
    drawing.press("p")
    drawing.click((0.2, 0.2), (0.4, 0.2), (0.9, 0.9))
    drawing.press("Backspace")
    drawing.click((0.4, 0.6))
    drawing.press("Enter")
    assert drawing.zones()["zone-1"]["polygon"][2] == pytest.approx([0.4, 0.6], abs=0.005)
    drawing.press("Escape", "l")
    drawing.click((0.5, 0.5))
    drawing.press("Escape")
    assert set(drawing.zones()) == {"zone-1"}


@pytest.mark.parametrize(("lowest", "warned"), [(0.98, True), (1.0, False), (0.9, False)])
def test_check_warns_of_a_zone_that_ends_just_above_the_lower_edge(tmp_path: Path, lowest: float, warned: bool) -> None:
    file = tmp_path / "smartbox.yaml"
    file.write_text(
        f"""\
version: 1
box: {{site: t, id: b, state_dir: {tmp_path}}}
mqtt: {{url: mqtt://127.0.0.1}}
sources: {{gate: {{type: http, url: http://127.0.0.1/a}}}}
zones: {{yard: {{source: gate, polygon: [[0, 0.2], [1, 0.2], [1, {lowest}], [0, {lowest}]]}}}}
"""
    )
    said = [text for text in warnings(build.parts(configuration.load(file))) if text.startswith("zones.yard")]
    assert [f"ends at {lowest}" in text and "draw it to 1.0" in text for text in said] == [True] * warned
