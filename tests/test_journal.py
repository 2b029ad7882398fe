"""The log lines as they leave the process, on real streams."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartbox import journal


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    logging.captureWarnings(False)
    root.setLevel(level)
    root.handlers[:] = handlers


def written(path: Path, environ: dict[str, str]) -> str:
    with path.open("w") as stream:
        if "JOURNAL_STREAM" in environ:
            stat = os.fstat(stream.fileno())
            environ = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        journal.setup(stream=stream, environ=environ)
        log = logging.getLogger("smartbox.reader")
        log.warning("cannot open %s", "rtsp://admin:hunter2@10.0.0.5/ch1", extra={"source": "east"})
        try:
            raise OSError("rtsp://admin:hunter2@10.0.0.5/ch1: timed out")
        except OSError:
            log.exception("reader stopped")
        logging.getLogger().removeHandler(logging.getLogger().handlers[0])
    return path.read_text()


def test_people_get_the_time_and_no_password(tmp_path: Path) -> None:
    text = written(tmp_path / "log", {})
    assert " WARNING smartbox.reader: cannot open rtsp://admin:***@10.0.0.5/ch1\n" in text
    assert text.splitlines()[0][:2] == "20"
    assert "hunter2" not in text


def test_the_journal_gets_a_priority_on_every_line(tmp_path: Path) -> None:
    class NoSystemd:
        """systemd-python may be there or not on the machine that runs this; here it is not."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name.partition(".")[0] == "systemd":
                raise ImportError(name)

    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "systemd"}
    sys.meta_path.insert(0, NoSystemd())
    try:
        lines = written(tmp_path / "log", {"JOURNAL_STREAM": "here"}).splitlines()
    finally:
        sys.meta_path.pop(0)
        sys.modules.update(kept)
    assert lines[0] == "<4>smartbox.reader: cannot open rtsp://admin:***@10.0.0.5/ch1"
    assert {line[:3] for line in lines[1:]} == {"<3>"}
    assert "hunter2" not in "".join(lines)


def test_an_inherited_journal_stream_is_not_ours(tmp_path: Path) -> None:
    journal.setup(stream=(tmp_path / "log").open("w"), environ={"JOURNAL_STREAM": "1:2"})
    handler = logging.getLogger().handlers[0]
    assert not isinstance(handler, journal.JournalFields)
    assert isinstance(handler, logging.StreamHandler)
    handler.stream.close()


def test_fields_carry_what_was_given_and_nothing_secret() -> None:
    sent: list[tuple[str, dict[str, str]]] = []
    handler = journal.JournalFields(lambda message, **kw: sent.append((message, kw)))
    handler.setFormatter(journal.RedactingFormatter("%(message)s"))
    log = logging.Logger("smartbox.reader")
    log.addHandler(handler)
    log.error("open %s", "rtsp://a:hunter2@h/", extra={"source": "east", "url": "rtsp://a:hunter2@h/"})
    message, kw = sent[0]
    assert message == "open rtsp://a:***@h/"
    assert (kw["PRIORITY"], kw["SMARTBOX_SOURCE"]) == ("3", "east")
    assert "hunter2" not in str(kw)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_priority(level: int, expected: int) -> None:
    assert journal.priority(level) == expected
