"""The installed, hardened service under a real systemd, with a real camera, engine and broker; then it is broken.

Bounds are those of docs/design/appliance.md; each test prints what it measured.
"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mosquitto import Consumer, Mosquitto, wait_for
from tests.ports import free_port
from tests.rtsp import RtspServer
from tests.systemd.conftest import Service
from tests.systemd.nspawn import Machine

pytestmark = pytest.mark.systemd

TRIGGER = "/var/lib/smartbox/go-wrong"
ACTIVE = "systemctl is-active --quiet smartbox"


def events(consumer: Consumer, kind: str = "") -> list[dict[str, Any]]:
    return [json.loads(m.payload) for m in consumer.on(f"event/{kind}")]


def begins(consumer: Consumer) -> list[dict[str, Any]]:
    return [e for e in events(consumer, "alarm/intrusion") if e["type"].endswith(".begin")]


def last(consumer: Consumer, topic: str) -> Any:
    messages = consumer.on(topic)
    return json.loads(messages[-1].payload) if messages and messages[-1].payload else None


def running(service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer, **config: Any) -> str:
    """The service is up and has raised its alarm; the episode's id."""
    service.configure(mosquitto.url, camera.url("/red"), **config)
    service.start()
    wait_for(lambda: begins(consumer), f"the alarm\n{service.machine.state()}", 40)
    return str(begins(consumer)[0]["data"]["episode"])


def assert_nothing_lost(consumer: Consumer) -> None:
    """Every sequence number up to the highest came (again is allowed)."""
    wait_for(lambda: not missing(consumer), f"the gap closes: {missing(consumer)}", 40)


def missing(consumer: Consumer) -> list[int]:
    """Sequence numbers that did not come, between those that did. A new process starts a new block of 10 000."""
    blocks: dict[int, set[int]] = {}
    for event in events(consumer):
        blocks.setdefault(event["seq"] // 10_000, set()).add(event["seq"])
    return [n for seen in blocks.values() for n in range(min(seen), max(seen)) if n not in seen]


def crashes(consumer: Consumer) -> list[dict[str, Any]]:
    """System events of a start after a crash."""
    return [e for e in events(consumer, "system") if '"crash"' in json.dumps(e)]


def wait_for_another_process(machine: Machine, pid: int, timeout: float) -> float:
    """Until the service is ready again as another process than `pid`; seconds."""
    began = time.monotonic()

    def again() -> bool:
        shown = machine.show("ActiveState", "MainPID")  # at one moment: right after a kill -9 it is active without any
        return shown["ActiveState"] == "active" and shown["MainPID"] not in ("0", str(pid))

    wait_for(again, "the service is back", timeout)
    return time.monotonic() - began


def assert_the_episode_goes_on(consumer: Consumer, episode: str) -> None:
    wait_for(lambda: last(consumer, "active/nobody/yard"), "the open episode is listed again", 40)
    assert {e["episode"] for e in last(consumer, "active/nobody/yard")} == {episode}
    assert {b["data"]["episode"] for b in begins(consumer)} == {episode}


def test_the_sandbox_is_tight(machine: Machine) -> None:
    out = machine.run("systemd-analyze security smartbox --no-pager | tail -1")
    score = float(out.split("smartbox.service:")[1].split()[0])
    print(f"\nexposure level {score}")
    assert score <= 2.0


def test_camera_engine_broker_and_picture_work_inside(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    began = time.monotonic()
    episode = running(service, mosquitto, camera, consumer)
    print(f"\nfrom start to the alarm at the broker: {time.monotonic() - began:.1f} s")
    shown = machine.show("ActiveState", "SubState", "Type", "StatusText", "User", "NRestarts")
    assert (shown["ActiveState"], shown["SubState"], shown["User"]) == ("active", "running", "smartbox")
    begin = begins(consumer)[0]
    assert begin["data"]["model"]["backend"] == "onnxruntime"
    assert begin["data"]["objects"][0]["label"] == "person"
    picture = begin["data"]["evidence"][0]
    found = machine.run(f"find /var/lib/smartbox/evidence -name {picture['name']}").strip()
    assert machine.run(f"sha256sum {found}").split()[0] == picture["sha256"]
    wait_for(lambda: consumer.on(f"picture/{episode}"), "the small picture", 20)
    assert consumer.on(f"picture/{episode}")[0].payload[:2] == b"\xff\xd8"
    wait_for(lambda: (last(consumer, "state") or {}).get("state") == "ready", "state ready", 20)


def test_no_secret_is_to_be_seen(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    running(service, mosquitto, camera, consumer)
    assert "hunter2" not in machine.journal()
    assert machine.try_run("runuser -u smartbox -- cat /etc/smartbox/secrets/camera_url").returncode != 0
    pid = machine.main_pid()
    assert "hunter2" not in machine.run(f"tr '\\0' '\\n' < /proc/{pid}/environ; tr '\\0' ' ' < /proc/{pid}/cmdline")
    assert all(b"hunter2" not in m.payload for m in consumer.messages)


def test_the_journal_knows_the_camera(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    running(service, mosquitto, camera, consumer)
    wait_for(
        lambda: "source yard is online" in machine.journal("SMARTBOX_SOURCE=yard"),
        f"a line of that camera\n{machine.state()}",
        20,
    )


def test_kill_9(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    episode = running(service, mosquitto, camera, consumer)
    pid = machine.main_pid()
    machine.run(f"kill -9 {pid}")
    again = wait_for_another_process(machine, pid, 30)
    print(f"\nback {again:.1f} s after kill -9")
    assert again <= 10
    wait_for(lambda: crashes(consumer), "the event that tells of it", 40)
    assert_the_episode_goes_on(consumer, episode)
    assert_nothing_lost(consumer)


@pytest.mark.parametrize("how", ["hang", "hang-with-lock"])
def test_a_hung_engine(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer, how: str
) -> None:
    engine = {"type": "hang", "trigger": TRIGGER, "how": how}
    episode = running(service, mosquitto, camera, consumer, backends=[engine])
    pid = machine.main_pid()
    machine.run(f"runuser -u smartbox -- touch {TRIGGER}")
    again = wait_for_another_process(machine, pid, 60)
    print(f"\nback {again:.1f} s after the engine hung ({how})")
    assert again <= 30
    assert "Watchdog timeout" in machine.journal()
    assert_the_episode_goes_on(consumer, episode)
    assert_nothing_lost(consumer)


def test_stop_under_load(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    running(service, mosquitto, camera, consumer)
    began = time.monotonic()
    machine.run("systemctl stop smartbox")
    took = time.monotonic() - began
    print(f"\nstopped in {took:.1f} s")
    assert took <= 5
    assert machine.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    wait_for(lambda: (last(consumer, "state") or {}).get("state") == "stopped", "state stopped", 10)
    assert machine.run("ls /var/lib/smartbox/running /var/lib/smartbox/*-wal 2>/dev/null", check=False).strip() == ""


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("version: 1\nbox: {site: test, id: box-1}\nmqtt: {url: mqtt://127.0.0.1}\nruels: {}\n", "ruels"),
        ("version: 1\nbox: {site: test\n", "not valid YAML"),
    ],
)
def test_a_bad_configuration_is_refused_once(machine: Machine, service: Service, config: str, reason: str) -> None:
    service.write(config)
    machine.try_run("systemctl start smartbox", 60)
    machine.wait_until("failed", "systemctl is-failed --quiet smartbox", 20)
    time.sleep(3)  # RestartSec is 2: it would be back by now
    shown = machine.show("ActiveState", "ExecMainStatus", "NRestarts", "Result")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0", "Result": "exit-code"}
    log = machine.journal()
    assert reason in log
    assert "Traceback" not in log


def test_starts_with_everything_missing(
    machine: Machine,
    service: Service,
    mosquitto: Mosquitto,
    outside: Any,
    rtsp_server: Callable[..., RtspServer],
) -> None:
    """No broker and no camera: ready, degraded, and well by itself once they are there."""
    mosquitto.stop()
    port = free_port()
    service.configure(mosquitto.url, f"rtsp://admin:hunter2@127.0.0.1:{port}/red")
    began = time.monotonic()
    service.start()
    took = time.monotonic() - began
    print(f"\nready after {took:.1f} s with nothing there")
    assert took <= 10
    machine.wait_until("says what is missing", "systemctl show -p StatusText smartbox | grep -q 'no broker'", 20)
    mosquitto.start()
    rtsp_server({"/red": outside / "red.mp4"}, user="admin", password="hunter2", port=port)
    consumer = Consumer(mosquitto.port, "late")
    began = time.monotonic()
    wait_for(lambda: begins(consumer), "the alarm", 150)
    print(f"alarm {time.monotonic() - began:.1f} s after camera and broker came")
    wait_for(lambda: (last(consumer, "state") or {}).get("state") == "ready", "state ready", 60)
    consumer.close()


def test_reload(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    """A good configuration is taken in place, the open episode goes on; a bad one changes nothing."""
    episode = running(service, mosquitto, camera, consumer)
    pid = machine.main_pid()
    sessions = len(consumer.on("birth"))
    reload = machine.try_run("systemctl reload smartbox", 100)
    assert reload.returncode == 0, f"{reload.stderr}\n{machine.state()}"
    wait_for(lambda: len(consumer.on("birth")) > sessions, f"a new birth\n{machine.state()}", 40)
    assert machine.main_pid() == pid
    assert_the_episode_goes_on(consumer, episode)
    machine.wait_until("reloaded", ACTIVE, 40)
    for bad in ("version: 7\n", service.text.replace("red-park", "no-such-bundle")):
        service.write(bad)
        machine.mark()
        machine.run("systemctl reload smartbox")
        wait_for(lambda: "reload refused" in machine.journal(), "the refusal in the journal", 20)
    time.sleep(3)
    machine.run(ACTIVE)
    assert machine.main_pid() == pid


def test_out_of_memory(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer
) -> None:
    """A leak until the kernel kills it: back, and it says so.

    A container's systemd may not set MemoryMax where memory cgroups are of version 1, so the limit is put on
    from outside, by the same means.
    """
    engine = {"type": "hang", "trigger": TRIGGER, "how": "leak"}
    episode = running(service, mosquitto, camera, consumer, backends=[engine])
    pid = machine.main_pid()
    with machine.memory_limit(pid, 600_000_000):
        machine.run(f"runuser -u smartbox -- touch {TRIGGER}")
        again = wait_for_another_process(machine, pid, 60)
    print(f"\nback {again:.1f} s after the leak began")
    assert "status=9/KILL" in machine.journal(), machine.state()
    assert again <= 10
    wait_for(lambda: crashes(consumer), "the event that tells of it", 40)
    assert_the_episode_goes_on(consumer, episode)


@pytest.fixture(params=["ip-cameras-only", "no-jit", "small-memory"])
def drop_in(request: pytest.FixtureRequest, machine: Machine) -> Iterator[str]:
    folder = "/etc/systemd/system/smartbox.service.d"
    machine.run(f"mkdir -p {folder} && cp /opt/smartbox/share/drop-ins/{request.param}.conf {folder}")
    machine.run("systemctl daemon-reload")
    yield str(request.param)
    machine.run(f"rm -r {folder}; systemctl daemon-reload")


def test_drop_ins(
    machine: Machine, service: Service, mosquitto: Mosquitto, camera: RtspServer, consumer: Consumer, drop_in: str
) -> None:
    """Everything works under them too, and LRSSD on either engine."""
    running(service, mosquitto, camera, consumer)
    score = machine.run("systemd-analyze security smartbox --no-pager | tail -1").split("smartbox.service:")[1]
    print(f"\n{drop_in}: exposure level {score.split()[0]}")
    for backend in ("onnxruntime", "tflite"):
        example = machine.run("cat /opt/smartbox/share/deploy/smartbox.example.yaml")
        assert "backends: [auto, onnxruntime]}\n" in example
        service.write(example.replace("backends: [auto, onnxruntime]}\n", f"backends: [{backend}]}}\n", 1))
        machine.mark()
        machine.run("systemctl restart smartbox", timeout=100)
        machine.wait_until("the camera is online", "systemctl show -p StatusText smartbox | grep -q '1/1 sources'", 60)
        assert "model_failing" not in machine.journal()
        assert "fallback" not in machine.journal()
