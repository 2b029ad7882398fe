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
from tests.dashboard.conftest import Wire, jpeg, opened
from tests.dashboard.nodered import SCRIPT, NodeRed
from tests.link.certificates import Authority
from tests.mosquitto import Consumer, Mosquitto, wait_for
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PASSWORD = "not-in-any-log"
LOGIN = {"SMARTBOX_MQTT_USER": "dashboard", "SMARTBOX_MQTT_PASSWORD": PASSWORD}
DEPLOY = ROOT / "deploy"
OPEN = {
    **{"episode": "0192f3a0-0000-7000-8000-000000000001", "kind": "intrusion", "class": "alarm", "severity": "high"},
    **{"zone": "yard", "started_at": "2026-11-24T10:00:00.000Z", "subjects": ["track:1"], "labels": ["person"]},
}


class Guarded:
    """A mosquitto with TLS, users and the shipped ACLs; the test's box `one` talks to its plain port on loopback."""

    def __init__(self, directory: Path, host: str = "127.0.0.1", more: str = "") -> None:
        """host: whom its certificate names; more: settings of its TLS listener."""
        self.authority = Authority(directory / "tls")
        self.certificate, self.key = self.authority.server(host)
        users, acl = directory / "users", directory / "acl"
        tool = shutil.which("mosquitto_passwd")
        assert tool is not None, "it comes with mosquitto"
        users.touch(0o600)
        for name in ("one", "dashboard"):
            subprocess.run([tool, "-b", users, name, PASSWORD], check=True, capture_output=True)
        texts = [DEPLOY / "broker" / "smartbox.acl", DEPLOY / "dashboards" / "dashboard.acl"]
        acl.write_text("\n".join(path.read_text() for path in texts))
        acl.chmod(0o600)
        port = free_port()
        tls = f"listener {port} 127.0.0.1\ncertfile {self.certificate}\nkeyfile {self.key}\n{more}"
        self.broker = Mosquitto(directory, f"allow_anonymous false\npassword_file {users}\nacl_file {acl}\n{tls}")
        self.broker.start()
        self.url = f"mqtts://127.0.0.1:{port}"
        self.login = {**LOGIN, "SMARTBOX_MQTT_CA": str(self.authority.ca)}

    def say(self, topic: str, document: object) -> None:
        where = ["-h", "127.0.0.1", "-p", str(self.broker.port), "-u", "one", "-P", PASSWORD]
        message = ["-t", f"smartbox/v1/a/one/{topic}", "-m", json.dumps(document), "-r", "-q", "1"]
        subprocess.run(["mosquitto_pub", *where, *message], check=True)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Callable[..., Guarded]]:
    """guard(host, more) -> a broker that is running."""
    made: list[Guarded] = []

    def make(host: str = "127.0.0.1", more: str = "") -> Guarded:
        made.append(Guarded(tmp_path / f"guarded-{len(made)}", host, more))
        return made[-1]

    yield make
    for one in made:
        one.broker.stop()


@pytest.fixture
def guarded(guard: Callable[..., Guarded]) -> Guarded:
    return guard()


def test_tls_a_password_and_no_more_rights_than_its_buttons(
    browser: Browser, guarded: Guarded, another: Callable[..., NodeRed]
) -> None:
    guarded.say("state", {"state": "ready", "session": 1, "ts": "2026-11-24T10:00:00.000Z"})
    guarded.say("birth", {"session": 1, "version": "9", "capabilities": {"commands": ["test-alarm"]}})
    guarded.say("source/gate", {"state": "online", "reason": None, "since": "2026-11-24T10:00:00.000Z"})
    dashboard = another(guarded.url, **guarded.login).start()
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


@pytest.mark.parametrize("wrong", ["an unknown authority", "another host's certificate"])
def test_a_certificate_that_is_not_right_is_no_connection(
    wrong: str, browser: Browser, guard: Callable[..., Guarded], another: Callable[..., NodeRed]
) -> None:
    unknown = wrong == "an unknown authority"
    broker = guard("127.0.0.1" if unknown else "broker.example")
    dashboard = another(broker.url, **(LOGIN if unknown else broker.login)).start()
    wait_for(lambda: "Connection failed" in dashboard.log.read_text(), "it tried")
    browser.size(1400, 900)
    browser.visit(dashboard.url("alarms"))
    browser.until(
        "document.querySelector('.sb-banner').innerText.includes('No connection to the broker')", "so it says"
    )
    assert "Connected" not in dashboard.log.read_text()


def test_a_client_certificate(
    browser: Browser, guard: Callable[..., Guarded], another: Callable[..., NodeRed], tmp_path: Path
) -> None:
    ours = Authority(tmp_path / "clients")
    certificate, key = ours.server("dashboard.example")
    broker = guard("127.0.0.1", f"require_certificate true\ncafile {ours.ca}")
    pair = {"SMARTBOX_MQTT_CERT": str(certificate), "SMARTBOX_MQTT_KEY": str(key)}
    opened(browser, another(broker.url, **broker.login, **pair).start(), "alarms")


def test_with_a_name_of_its_own_it_misses_nothing_while_it_is_away(
    browser: Browser, broker: Mosquitto, wire: Wire, another: Callable[..., NodeRed], tmp_path: Path
) -> None:
    dashboard = another(broker.url, SMARTBOX_MQTT_CLIENT_ID="dashboard-1").start()
    opened(browser, dashboard, "alarms")
    dashboard.stop()
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [{**OPEN, "episode": "while-away"}])
    wire.say("a/one/picture/while-away", jpeg(tmp_path / "a.jpg"), retain=False)
    dashboard.start()
    opened(browser, dashboard, "alarms")
    browser.until("document.querySelector('[data-episode=while-away] img').naturalWidth", "the picture")


def test_a_password_in_the_clear_is_refused(browser: Browser, another: Callable[..., NodeRed]) -> None:
    dashboard = another("mqtt://broker.example", **LOGIN).start()
    browser.size(1400, 900)
    browser.visit(dashboard.url("alarms"))
    browser.until("document.querySelector('.sb-banner').innerText.includes('mqtts:// only')", "the reason")
    assert "Connection" not in dashboard.log.read_text()


@pytest.mark.parametrize("theirs", [False, True], ids=["our-pages", "pages-of-a-dashboard-that-was-there"])
def test_it_can_be_imported_into_any_node_red(
    theirs: bool,
    browser: Browser,
    dashboard: NodeRed,
    broker: Mosquitto,
    wire: Wire,
    another: Callable[..., NodeRed],
    tmp_path: Path,
) -> None:
    """Stock settings, posted as the editor does it. `dashboard`: for it, all is installed."""
    own = another(broker.url)
    program = ROOT / "build" / "dashboard" / "node_modules" / "node-red" / "red.js"
    own.command = ["node", program, "--userDir", tmp_path / "stock", "--port", str(own.port)]
    own.start(page="")
    flow = json.loads((DEPLOY / "dashboards" / "smartbox.json").read_text())
    if theirs:
        flow = [{**node, "ui": "their-ui"} if node.get("ui") else node for node in flow if node["type"] != "ui-base"]
        flow.append({"id": "their-ui", "type": "ui-base", "name": "theirs", "path": "/dashboard"})
    request = urllib.request.Request(
        f"http://127.0.0.1:{own.port}/flows", json.dumps(flow).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=30).close()
    wire.state("a/one", "ready")
    wire.say("a/one/active/yard-closed/gate", [OPEN])
    opened(browser, own, "alarms")
    browser.until("document.querySelector('.sb-alarm')", "an alarm")
    wire.say(f"a/one/picture/{OPEN['episode']}", jpeg(tmp_path / "a.jpg"), retain=False)
    for _ in "once", "on a page that comes later":
        browser.until("document.querySelector('.sb-alarm img').naturalWidth", "its picture")
        opened(browser, own, "alarms")
    browser.run("document.querySelector('.sb-seen').click()")
    browser.until("!document.querySelector('.sb-alarm') && document.querySelector('.sb-row')", "it was seen")
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
