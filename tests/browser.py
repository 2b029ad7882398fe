"""A real browser for tests: headless Chromium by the WebDriver protocol (W3C), a few calls of it. Fixture `browser`."""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference to an element
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Backspace": "\ue003", "Control": "\ue009", "Right": "\ue014"}

_UNTIL = """
const [wait, done] = arguments
const look = () => { try { return %s } catch (error) { return null } }
const end = value => {
  observer.disconnect()
  removeEventListener('load', again, true)
  clearTimeout(timer)
  done(value)
}
const again = () => { const found = look(); if (found) end(found) }
const observer = new MutationObserver(again)
addEventListener('load', again, true) // a picture that was decoded changes no element
const timer = setTimeout(end, wait, null)
observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true })
again()
"""


class Browser:
    """One window of 1400 x 900."""

    def __init__(self, profile: Path) -> None:
        self._driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._driver.stdout is not None
        port = next(
            line.rpartition(" ")[2].strip(" .\n") for line in self._driver.stdout if "successfully on port" in line
        )
        self._base = f"http://127.0.0.1:{port}/session"
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,900"]
        options = {"args": [*args, f"--user-data-dir={profile}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        self._base += "/" + self._call("", {"capabilities": wanted})["sessionId"]

    def open(self, path: Path) -> None:
        self._call("/url", {"url": path.resolve().as_uri()})

    def visit(self, url: str) -> None:
        self._call("/url", {"url": url})

    def size(self, width: int, height: int) -> None:
        """Of the page, in pixels; below what a window can be, as a phone shows it."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def run(self, script: str, *args: Any) -> Any:
        """The value that `script` returns."""
        return self._call("/execute/sync", {"script": script, "args": list(args)})

    def until(self, condition: str, what: str, deadline: float = 30.0) -> Any:
        """The value of this expression once it is true; it looks again at each change of the document."""
        end = time.monotonic() + deadline
        while (left := end - time.monotonic()) > 0:
            found = self._call("/execute/async", {"script": _UNTIL % condition, "args": [min(20.0, left) * 1000]})
            if found:
                return found
        pytest.fail(
            f"after {deadline:g} s still not: {what}; the page says:\n{self.run('return document.body.innerText')}"
        )

    def point(self, *steps: tuple[str, float, float]) -> None:
        """Pointer steps at window pixels: `click`, `down`, `move` or `up`, x, y."""
        actions: list[dict[str, Any]] = []
        for what, x, y in steps:
            actions.append({"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)})
            if what in ("click", "down"):
                actions.append({"type": "pointerDown", "button": 0})
            if what in ("click", "up"):
                actions.append({"type": "pointerUp", "button": 0})
        self._call("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})

    def press(self, *keys: str) -> None:
        """Keys one after the other; `Control+z` holds the first."""
        actions = []
        for chord in keys:
            held = [KEYS.get(k, k) for k in chord.split("+")]
            actions += [{"type": "keyDown", "value": k} for k in held]
            actions += [{"type": "keyUp", "value": k} for k in reversed(held)]
        self._call("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def screenshot(self, path: Path) -> None:
        with urllib.request.urlopen(self._base + "/screenshot", timeout=30) as answer:
            path.write_bytes(base64.b64decode(json.load(answer)["value"]))

    def log(self) -> list[str]:
        """What the browser complained about so far."""
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"})]

    def close(self) -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(self._base, method="DELETE"), timeout=30).close()
        finally:
            self._driver.terminate()
            self._driver.wait(30)
            if self._driver.stdout is not None:
                self._driver.stdout.close()

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self._base + path, json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Skips loudly where no Chromium is installed."""
    if not (shutil.which("chromedriver") and shutil.which("chromium")):
        pytest.skip("no browser: apt install chromium chromium-driver")
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()
