"""Files to presigned URLs, against a real HTTPS server: whole, in parts, again where the line broke, nowhere else."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from smartbox.clock import ManualClock
from smartbox.cloud.command import CommandError
from smartbox.cloud.fetch import fetch
from smartbox.cloud.https import Line
from smartbox.cloud.media import WHOLE, Uploader
from tests.link.box import Box, Cloud
from tests.link.certificates import Authority
from tests.link.https import Storage
from tests.mosquitto import Mosquitto, wait_for

PICTURE = bytes(range(256)) * 100
NAME = "0190-a.jpg"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


Start = Callable[..., Storage]


@pytest.fixture
def storage(authority: Authority) -> Iterator[Start]:
    running: list[Storage] = []

    def start(host: str = "localhost", **rest: Any) -> Storage:
        running.append(Storage(*authority.server(host), **rest))
        return running[-1]

    yield start
    for each in running:
        each.close()


def send(
    tmp_path: Path, authority: Authority, hosts: tuple[str, ...], content: bytes = PICTURE, **args: Any
) -> Mapping[str, Any]:
    evidence = tmp_path / "evidence"
    evidence.mkdir(exist_ok=True)
    (evidence / NAME).write_bytes(content)
    clock = ManualClock()  # its waits are over at once
    uploader = Uploader(evidence, hosts, clock, authority.ca)
    return uploader.upload({"name": NAME, **args}, clock.monotonic() + 600, threading.Event(), lambda detail: None)


def line_of(clock: ManualClock, authority: Authority) -> Line:
    return Line(clock, authority.ca, clock.monotonic() + 600, threading.Event())


def test_a_whole_file_arrives_with_its_hash(tmp_path: Path, authority: Authority, storage: Start) -> None:
    server = storage()
    url = server.url("/bucket/a.jpg?X-Amz-Signature=abc&partNumber=1")
    headers = {"x-amz-meta-box": "box-1", "Content-Type": "image/jpeg"}
    done = send(tmp_path, authority, (f"localhost:{server.port}",), url=url, headers=headers)
    assert server.stored == {"/bucket/a.jpg?X-Amz-Signature=abc&partNumber=1": PICTURE}
    assert done["sha256"] == hashlib.sha256(PICTURE).hexdigest() and done["bytes"] == len(PICTURE)
    assert done["parts"] == [{"number": 1, "etag": f'"{hashlib.md5(PICTURE).hexdigest()}"'}]
    sent = next(iter(server.headers.values()))
    assert sent["x-amz-meta-box"] == "box-1" and sent["Content-Type"] == "image/jpeg"


def test_a_part_that_breaks_is_sent_again_without_those_before_it(
    tmp_path: Path, authority: Authority, storage: Start
) -> None:
    """The line is cut in the middle of part 2, then the server is busy."""

    def answer(path: str, nth: int) -> int:
        return {1: 0, 2: 503}.get(nth, 200) if path == "/2" else 200

    server = storage(answer=answer)
    urls = [server.url(f"/{n}") for n in (1, 2, 3)]
    done = send(tmp_path, authority, (f"localhost:{server.port}",), urls=urls, part_size=10_000)
    assert server.tries == {"/1": 1, "/2": 3, "/3": 1}
    assert server.stored["/1"] + server.stored["/2"] + server.stored["/3"] == PICTURE
    assert [part["number"] for part in done["parts"]] == [1, 2, 3]


def test_a_failed_upload_says_which_parts_are_there_and_goes_on_from_them(
    tmp_path: Path, authority: Authority, storage: Start
) -> None:
    server = storage(answer=lambda path, nth: 403 if path == "/2" else 200)
    hosts = (f"localhost:{server.port}",)
    urls = [server.url(f"/{n}") for n in (1, 2, 3)]
    with pytest.raises(CommandError, match="403") as failed:
        send(tmp_path, authority, hosts, urls=urls, part_size=10_000)
    assert [part["number"] for part in failed.value.detail["parts"]] == [1]
    assert failed.value.detail["failed_part"] == 2 and server.tries["/2"] == 1, "a refusal is final"
    rest = [{"number": 2, "url": server.url("/new-2")}, {"number": 3, "url": server.url("/3")}]
    send(tmp_path, authority, hosts, parts=rest, part_size=10_000)
    assert server.stored["/1"] + server.stored["/new-2"] + server.stored["/3"] == PICTURE
    assert server.tries["/1"] == 1


def test_a_redirect_is_not_followed(tmp_path: Path, authority: Authority, storage: Start) -> None:
    server = storage(answer=lambda path, nth: 302)
    with pytest.raises(CommandError, match="302"):
        send(tmp_path, authority, (f"localhost:{server.port}",), url=server.url("/a"))
    assert set(server.tries) == {"/a"}


def test_a_certificate_for_another_host_or_by_another_authority_is_refused(
    tmp_path: Path, authority: Authority, storage: Start
) -> None:
    other = storage("elsewhere.example")
    with pytest.raises(CommandError, match=r"certificate refused.*ostname mismatch"):
        send(tmp_path, authority, (f"localhost:{other.port}",), url=other.url("/a"))
    server = storage()
    with pytest.raises(CommandError, match="certificate refused"):
        send(tmp_path, Authority(tmp_path / "wrong"), (f"localhost:{server.port}",), url=server.url("/a"))
    assert not server.tries and not other.tries


@pytest.mark.parametrize(
    ("hosts", "url", "said"),
    [
        ((), "https://media.example/a", r"not in cloud\.upload_hosts \(empty\)"),
        (("media.example",), "http://media.example/a", "must be https"),
        (("media.example",), "file:///etc/passwd", "must be https"),
        (("media.example",), "https://media.example.evil.example/a", "is not in"),
        (("media.example",), "https://media.example:8443/a", "8443 is not in"),
        (("media.example",), "https://user@media.example/a", "must be https"),
        (("media.example",), "https://media.example@evil.example/a", "must be https"),
        (("*.media.example",), "https://media.example/a", "is not in"),
        (("*.media.example",), "https://evilmedia.example/a", "is not in"),
        (("media.example",), "https://media.example:99999/a", "url:"),
        (("media.example",), "https://[::1/a", "url:"),
        (("*.media.example",), "https://a..media.example/a", "is no host"),
        (("*.media.example",), f"https://{'x' * 64}.media.example/a", "is no host"),
        (("*.media.example",), "https://a_b.media.example/a", "is no host"),
        (("*.media.example",), "https://.media.example/a", "is no host"),
        (("media.example",), "https://media.example../a", "is no host"),
        (("media.example",), "https://media.example./a", "is not in"),
        (("media.example",), "https://[::1]/a", "is not in"),
        (("*.media.example",), "https://[v1.a:..media.example]/a", "is no host"),
        (("media.example",), "https://10.0.0.1/a", "is not in"),
    ],
)
def test_only_hosts_on_the_list(
    tmp_path: Path, authority: Authority, hosts: tuple[str, ...], url: str, said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        send(tmp_path, authority, hosts, url=url)


@pytest.mark.parametrize("host", ["a..media.example", f"{'x' * 64}.media.example"])
def test_a_model_comes_from_no_impossible_host(tmp_path: Path, authority: Authority, host: str) -> None:
    line = line_of(ManualClock(), authority)
    with pytest.raises(CommandError, match="is no host"):
        fetch(f"https://{host}/eyes.sealed", "0" * 64, tmp_path / "eyes.sealed", ("*.media.example",), line)


def test_a_host_that_cannot_be_asked_for_is_final(authority: Authority) -> None:
    clock, tries = ManualClock(), []
    line = line_of(clock, authority)

    def look_up() -> None:
        tries.append(socket.getaddrinfo("a..media.example", 443))

    with pytest.raises(CommandError, match="label"):
        line.insist("https://a..media.example/a", look_up)
    assert not tries and clock.monotonic() == ManualClock().monotonic(), "no second try"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"name": "../smartbox.yaml", "url": "https://a.example/"}, "no such file"),
        ({"name": "/etc/passwd", "url": "https://a.example/"}, "no such file"),
        ({"name": ".hidden", "url": "https://a.example/"}, "no such file"),
        ({}, "one of url, urls and parts"),
        ({"url": "https://a.example/", "urls": ["https://a.example/"]}, "one of url, urls and parts"),
        ({"urls": ["https://a.example/"]}, "part_size goes with"),
        ({"urls": ["https://a.example/"], "part_size": 100}, "need 256 urls, not 1"),
        ({"parts": [{"number": 300, "url": "https://a.example/"}], "part_size": 100}, "no part 300"),
        ({"url": "https://a.example/", "headers": {"Host": "b"}}, "'Host' may not be set"),
        ({"url": "https://a.example/", "headers": {"x-amz-a": "b\r\nHost: c"}}, "may not be set"),
        ({"url": "https://a.example/", "sha256": "0" * 64}, "its sha256 is"),
        ({"url": "https://a.example/", "to": 1}, "args.to"),
        ({"url": 5}, "args.url"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: Path, authority: Authority, args: dict[str, Any], said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        send(tmp_path, authority, ("a.example",), **args)


def test_what_is_large_goes_in_parts_only(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(CommandError, match="go in parts"):
        send(tmp_path, authority, ("a.example",), b"\0" * (WHOLE + 1), url="https://a.example/")


def test_by_command_from_a_snapshot_to_the_storage(
    tmp_path: Path, authority: Authority, storage: Start, mosquitto: Mosquitto
) -> None:
    server = storage()
    more = f"cloud: {{upload_hosts: ['localhost:{server.port}'], https_ca: {authority.ca}}}\n"
    more += "sources: {gate: {type: simulator, scene: gate, fps: 5}}"
    cloud, box = Cloud(mosquitto.port), Box(tmp_path / "box", mosquitto.url, more).start()
    try:
        wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
        cloud.command("snapshot", "s")
        shot = cloud.answer("s", "done")
        name, sha256 = shot["detail"]["name"], shot["detail"]["sha256"]
        cloud.command("upload", "u", name=name, url=server.url("/b?sig=s3cret"), sha256=sha256)
        detail = cloud.answer("u", "done")["detail"]
        assert hashlib.sha256(server.stored["/b?sig=s3cret"]).hexdigest() == detail["sha256"] == sha256
        assert "s3cret" not in str(cloud.acks("u"))
    finally:
        box.stop()
        cloud.close()
