"""A line that says how far a long piece of work is, for people only."""

import io

import pytest

from smartbox.progress import Progress, each


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_told_how_far_it_is_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("simulate gate", "frames", 40) as progress:
        progress.at(10)
        progress.at(11)  # so soon that it is not drawn
    lines = terminal.getvalue().split("\r")
    assert lines[1].startswith("simulate gate: 10 of 40 frames, ") and lines[1].endswith(" s left\033[K")
    assert lines[2:] == ["\033[K"]


def test_nothing_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(each("abc", "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_work_that_is_given_up_leaves_the_line_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for _ in each(range(3), "pictures"):
        break
    assert terminal.getvalue().endswith("\r\033[K")
