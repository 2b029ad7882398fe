"""Row 35: whatever comes down is a command, a configuration, or a refusal that says why; never a traceback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox import configured
from smartbox.clock import ManualClock
from smartbox.cloud.command import NAMES, Command, RefusedError, parse
from smartbox.cloud.commands import Commands, Restart
from smartbox.cloud.desired import RejectedError, Wanted, read
from smartbox.cloud.ledger import Ledger
from smartbox.daemon import Daemon
from smartbox.errors import SmartboxError
from smartbox.keys import PublicKey
from smartbox.letters import Letters
from smartbox.mqtt import Received
from tests.link.signing import Signer

SIGNER = Signer()
KEYS = [PublicKey.parse(SIGNER.public, "ed25519")]
UTC = ManualClock().utc()

# JSON may hold halves of surrogate pairs, which are no text; and numbers that are no floats.
WORD = st.text(st.characters(exclude_categories=()), max_size=12)
NUMBER = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | NUMBER | WORD | st.sampled_from(["!secret x", "!secret ../x", "60s", "../../etc"])
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=3))
ARGS = st.dictionaries(
    st.sampled_from(["source", "rule", "for", "note", "name", "url", "urls", "parts", "part_size", "certificate"])
    | WORD,
    VALUE,
    max_size=4,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("x") | VALUE,
        "expires_at": st.sampled_from(["2026-09-21T20:00:00Z", "2026-09-21", "9999-12-31T23:59:59+23:59"]) | VALUE,
        "args": ARGS | VALUE,
        "more": VALUE,
    },
)
PAYLOAD = st.binary(max_size=200) | (NEARLY | VALUE).map(lambda v: json.dumps(v).encode())
few = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(st.sampled_from(NAMES) | WORD, PAYLOAD, st.booleans())
def test_a_command_or_a_reason(name: str, payload: bytes, retained: bool) -> None:
    try:
        command = parse(name, payload, retained, UTC)
    except RefusedError as refusal:
        assert str(refusal) and refusal.status in ("refused", "expired")
    else:
        assert command.name in NAMES and not retained and command.expires > UTC


@few
@given(st.sampled_from(["resync", "up"]) | WORD, PAYLOAD)
def test_every_answer_can_be_sent(name: str, payload: bytes) -> None:
    """On a topic of its own, as JSON; for a name that cannot stand in a topic there is none."""
    letters = Letters()
    directory = Path("/proc/no-such-place")  # nothing can be stored here, so nothing is accepted
    commands = Commands(Ledger(directory / "commands.jsonl"), letters, {}, ManualClock())
    assert commands.receive(name, Received(f"cmd/{name}", payload, False))
    letter = letters.next()
    if letter is not None:
        assert set("+#").isdisjoint(letter.topic) and letter.topic.encode()
        assert {"id", "status", "detail"} == set(json.loads(letter.body))


@few
@given(st.binary(max_size=300) | PAYLOAD.map(SIGNER.sign))
def test_a_document_or_a_reason(token: bytes) -> None:
    with pytest.raises(RejectedError):
        read(token, KEYS, "park-a/box-1")


@few
@given(st.dictionaries(WORD, VALUE, max_size=4))
def test_a_document_for_this_box_is_read_as_it_was_signed(sections: dict[str, Any]) -> None:
    if {"version", "box", "cloud"}.isdisjoint(sections):
        assert read(SIGNER.document(3, sections), KEYS, "park-a/box-1") == Wanted(3, sections)


SECTIONS = st.dictionaries(
    st.sampled_from(["mqtt", "models", "sources", "zones", "rules", "evidence", "homeassistant"]) | WORD,
    st.dictionaries(
        WORD | st.sampled_from(["url", "a", "keep"]),
        st.dictionaries(st.sampled_from(["type", "zones", "polygon", "source", "bundle"]) | WORD, VALUE, max_size=3)
        | VALUE,
        max_size=2,
    )
    | VALUE,
    max_size=3,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fuzz")
    path = directory / "smartbox.yaml"
    path.write_text(
        f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {directory}/state}}\nmqtt: {{url: mqtt://127.0.0.1:1}}\n"
    )
    return path


@few
@given(sections=SECTIONS)
def test_sections_fit_or_every_problem_is_named(file: Path, sections: dict[str, Any]) -> None:
    for path, message in configured.check(file, sections):
        assert isinstance(path, str) and message


@pytest.fixture(scope="module")
def handlers(file: Path) -> Iterator[dict[str, Any]]:
    config, desired = configured.load(file)
    daemon = Daemon(config, desired=desired)
    yield daemon.orders
    daemon.outbox.close()


@few
@given(name=st.sampled_from(NAMES), args=ARGS)
def test_every_command_takes_its_arguments_or_says_why_not(
    handlers: dict[str, Any], name: str, args: dict[str, Any]
) -> None:
    try:
        detail = handlers[name](Command(name, "x", UTC + 60, args))
    except SmartboxError as error:
        assert str(error)
    else:
        assert isinstance(detail, Restart) or json.dumps(dict(detail))
