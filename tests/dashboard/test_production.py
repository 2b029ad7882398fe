"""The dashboard away from the tests' own set-up: TLS, password, shipped ACL, a stock Node-RED; and `make dashboard`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.conftest import ROOT
from tests.dashboard.conftest import opened
from tests.dashboard.nodered import SCRIPT, NodeRed
from tests.link.certificates import Authority
from tests.mosquitto import Consumer, Mosquitto, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PASSWORD = "not-in-any-log"
LOGIN = {"SMARTBOX_MQTT_USER": "dashboard", "SMARTBOX_MQTT_PASSWORD": PASSWORD}
DEPLOY = ROOT / "deploy"


class Guarded:
    """A mosquitto with TLS, users and the shipped ACLs; a box `one` and the consumer `cloud` are connected in plain."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "tls")
        certificate, key = self.authority.server("127.0.0.1")
        users, acl = directory / "users", directory / "acl"
        tool = shutil.which("mosquitto_passwd")
        assert tool is not None, "it comes with mosquitto"
        users.touch(0o600)
        for name in ("one", "cloud", "dashboard"):
            subprocess.run([tool, "-b", users, name, PASSWORD], check=True, capture_output=True)
        texts = [DEPLOY / "broker" / "smartbox.acl", DEPLOY / "dashboards" / "dashboard.acl"]
        acl.write_text("\n".join(path.read_text() for path in texts))
        acl.chmod(0o600)
        self.port = free_port()
        tls = f"listener {self.port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}"
        self.broker = Mosquitto(directory, f"allow_anonymous false\npassword_file {users}\nacl_file {acl}\n{tls}")
        self.broker.start()

    def say(self, topic: str, document: object) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.broker.port), "-u", "one", "-P", PASSWORD]
        message = ["-t", f"smartbox/v1/a/one/{topic}", "-m", json.dumps(document), "-r", "-q", "1"]
        subprocess.run(["mosquitto_pub", *where, *message], check=True)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "guarded")
    yield made
    made.broker.stop()


def test_tls_a_password_and_no_more_rights_than_its_buttons(
    browser: Browser, guarded: Guarded, another: Callable[..., NodeRed]
) -> None:
    guarded.say("state", {"state": "ready", "session": 1, "ts": "2026-11-24T10:00:00.000Z"})
    guarded.say("birth", {"session": 1, "version": "9", "capabilities": {"commands": ["test-alarm"]}})
    guarded.say("source/gate", {"state": "online", "reason": None, "since": "2026-11-24T10:00:00.000Z"})
    url = f"mqtts://127.0.0.1:{guarded.port}"
    dashboard = another(url, **LOGIN, SMARTBOX_MQTT_CA=str(guarded.authority.ca)).start()
    box = Consumer(guarded.broker.port, "box", "smartbox/v1/a/one/cmd/+", login=("one", PASSWORD))
    opened(browser, dashboard, "boxes")
    button = "document.querySelector('[data-box=\"a/one\"] [data-test=gate]')"
    browser.until(f"!{button}.disabled", "the box over TLS")
    browser.run(f"{button}.click()")
    browser.until(f"{button}.innerText.includes('again')", "are you sure")
    browser.run(f"{button}.click()")
    wait_for(lambda: box.on("cmd/test-alarm"), "the command")
    box.close()
    assert PASSWORD not in dashboard.log.read_text()


def test_the_acl_lets_it_say_nothing_else(guarded: Guarded) -> None:
    box = Consumer(guarded.broker.port, "box", "smartbox/v1/a/one/cmd/+", login=("one", PASSWORD))
    where = [
        "-h",
        "127.0.0.1",
        "-p",
        str(guarded.broker.port),
        "-u",
        "dashboard",
        "-P",
        PASSWORD,
        "-q",
        "1",
        "-m",
        "{}",
    ]
    for topic in ("cmd/factory-reset", "cmd/reload", "desired", "state", "cmd/test-alarm"):
        subprocess.run(["mosquitto_pub", *where, "-t", f"smartbox/v1/a/one/{topic}"], check=False)
    wait_for(lambda: box.on("cmd/test-alarm"), "the last of them")
    assert [m.topic.rpartition("/")[2] for m in box.messages] == ["test-alarm"]
    box.close()


def test_an_unknown_authority_is_no_connection(
    browser: Browser, guarded: Guarded, another: Callable[..., NodeRed]
) -> None:
    dashboard = another(f"mqtts://127.0.0.1:{guarded.port}", **LOGIN).start()
    wait_for(lambda: "Connection failed" in dashboard.log.read_text(), "it tried")
    browser.size(1400, 900)
    browser.visit(dashboard.url("alarms"))
    browser.until(
        "document.querySelector('.sb-banner').innerText.includes('No connection to the broker')", "so it says"
    )


def test_a_password_in_the_clear_is_refused(browser: Browser, another: Callable[..., NodeRed]) -> None:
    dashboard = another("mqtt://broker.example", **LOGIN).start()
    browser.size(1400, 900)
    browser.visit(dashboard.url("alarms"))
    browser.until("document.querySelector('.sb-banner').innerText.includes('mqtts:// only')", "the reason")
    assert "Connection" not in dashboard.log.read_text()


def test_it_can_be_imported_into_any_node_red(
    tmp_path: Path, browser: Browser, dashboard: NodeRed, broker: Mosquitto, another: Callable[..., NodeRed]
) -> None:
    """Stock settings, other flows already there, posted as the editor does. `dashboard`: for it, all is installed."""
    own = another(broker.url)
    program = ROOT / "build" / "dashboard" / "node_modules" / "node-red" / "red.js"
    own.command = ["node", program, "--userDir", tmp_path / "stock", "--port", str(own.port)]
    own.start(page="")
    theirs = [{"id": "theirs", "type": "tab", "label": "theirs"}]
    flow = theirs + json.loads((DEPLOY / "dashboards" / "smartbox.json").read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{own.port}/flows", json.dumps(flow).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()
    opened(browser, own, "alarms")
    assert "[error]" not in own.log.read_text()


def test_make_dashboard_starts_everything_and_ends_it(tmp_path: Path, browser: Browser) -> None:
    port, mqtt = free_port(), free_port()
    environment = {**os.environ, "BOXES": "2", "PORT": str(port), "MQTT_PORT": str(mqtt)}
    command = [sys.executable, SCRIPT.parent / "demo", tmp_path]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            url = next(line.strip() for line in demo.stdout if "http://" in line)
            browser.size(1400, 900)
            browser.visit(url.replace("alarms", "boxes"))
            for box in ("box-1", "box-2"):
                browser.until(f"document.querySelector('[data-box=\"demo/{box}\"][data-state=ready]')", box, 120)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(60) == 0
        finally:
            demo.terminate()
    assert "stopped" in (tmp_path / "box-2.log").read_text()
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    assert not left
