"""Announcements wait for the broker, over a restart too."""

import json
import os
from pathlib import Path

from smartbox.announcements import Announcements
from smartbox.letters import Letter, Letters
from smartbox.statefile import StateFile


def started(path: Path) -> tuple[Announcements, Letters]:
    letters = Letters()
    announcements = Announcements(StateFile(path / "announcements.json"), letters)
    announcements.resume()
    return announcements, letters


def waiting(letters: Letters) -> list[Letter]:
    found = []
    while letter := letters.next():
        found.append(letter)
    return found


def test_what_did_not_arrive_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    announcements, letters = started(tmp_path)
    announcements.post("media/a", {"event": "a"})
    announcements.post("media/b", {"event": "b"})
    first, second = waiting(letters)
    assert (first.topic, json.loads(first.body)) == ("media/a", {"event": "a"})
    first.arrived()
    _, letters = started(tmp_path)
    (again,) = waiting(letters)
    assert (again.topic, again.body) == (second.topic, second.body)
    again.arrived()
    again.arrived()  # the broker may say so twice
    assert waiting(started(tmp_path)[1]) == []


def test_they_are_bounded(tmp_path: Path) -> None:
    announcements = Announcements(StateFile(tmp_path / "announcements.json"), Letters(), bound=3)
    for n in range(5):
        announcements.post(f"media/{n}", {})
    assert [letter.topic for letter in waiting(started(tmp_path)[1])] == ["media/2", "media/3", "media/4"]


def test_a_disk_that_refuses_costs_only_the_life_beyond_a_restart(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    os.close(os.open(blocked, os.O_CREAT))
    letters = Letters()
    announcements = Announcements(StateFile(blocked / "announcements.json"), letters)
    announcements.post("media/a", {"event": "a"})
    assert [letter.topic for letter in waiting(letters)] == ["media/a"]
