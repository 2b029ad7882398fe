"""Names of sound devices, and when the list of them is out of date."""

from pathlib import Path
from typing import Any

import pytest

from smartbox.portaudio import Device, Library, PortAudioError, devices, find

NAMES = ["HDA Intel: ALC257 Analog (hw:0,0)", "USB PnP Sound Device: Audio (hw:1,0)", "sysdefault", "default"]
KNOWN = [Device(i, name, 48_000, 2) for i, name in enumerate(NAMES)]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("USB PnP Sound Device: Audio (hw:1,0)", 1),
        ("USB PnP Sound Device: Audio (hw:3,0)", 1),  # it was in another port when this was written
        ("USB PnP Sound Device: Audio", 1),
        ("usb pnp", 1),
        ("HDA Intel", 0),
        ("default", 3),
    ],
)
def test_a_device_is_found_by_its_name_not_by_its_place(wanted: str, index: int) -> None:
    assert find(wanted, KNOWN, "microphone").index == index


def test_a_device_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(PortAudioError, match=r"^there is no speaker 'Bose'; found: HDA Intel: ALC257 Analog, USB"):
        find("Bose", KNOWN, "speaker")
    with pytest.raises(PortAudioError, match=r"no microphone '\(hw:2,0\)'; found: HDA"):
        find("(hw:2,0)", KNOWN, "microphone")  # a place is no name, not even the beginning of one
    with pytest.raises(PortAudioError, match="no microphone 'default'; found: none at all"):
        find("default", [], "microphone")


def test_what_only_plays_is_no_microphone() -> None:
    class Api:
        def get_device_count(self) -> int:
            return 2

        def get_device_info_by_index(self, i: int) -> dict[str, Any]:
            channels = {"maxInputChannels": i, "maxOutputChannels": 1 - i}
            return {"name": "ab"[i], "index": i, "defaultSampleRate": 44100.0, **channels}

    assert devices(Api(), "microphone") == [Device(1, "b", 44100, 1)]
    assert devices(Api(), "speaker") == [Device(0, "a", 44100, 1)]


def test_a_card_that_came_makes_the_list_stale_until_it_is_made_anew(tmp_path: Path) -> None:
    pytest.importorskip("pyaudio")
    cards = tmp_path / "cards"
    library = Library(cards)
    library.enter()
    assert not library.stale
    cards.write_text(" 0 [Device]: USB-Audio - USB PnP Sound Device")
    assert library.stale
    library.enter()  # somebody is in already: the list is the old one
    assert library.stale
    library.leave()
    library.leave()
    library.enter()
    assert not library.stale
    library.leave()
