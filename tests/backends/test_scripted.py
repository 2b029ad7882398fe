"""What is particular to the scripted backend."""

import threading
from pathlib import Path

import numpy as np
import pytest

from smartbox import decoders
from smartbox.backends.scripted import Plugin
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.types import View
from tests import tiny

IMAGE = {"image": tiny.INPUT[:1]}
WHOLE = View((0.5, 0.5), (0.0, 0.0))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny.write(tmp_path / "tiny", "scripted")


def script(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_detections_come_back_through_the_decoder(bundle: Bundle, tmp_path: Path) -> None:
    line = (
        '{"source": "a", "time": 1.5, "detections": [{"label": "person", "score": 0.9, "xyxy": [0.1, 0.2, 0.3, 0.9]}]}'
    )
    session = Plugin(file=script(tmp_path, line, '{"detections": []}')).open(bundle)
    outputs = session.run({"image": tiny.INPUT[:1]})
    found = decoders.build(bundle.manifest).decode({k: v[0] for k, v in outputs.items()}, WHOLE)
    assert found.label(0) == "person"
    np.testing.assert_allclose(found.xyxy, [[0.1, 0.2, 0.3, 0.9]], atol=1e-6)
    outputs = session.run(IMAGE)
    assert len(decoders.build(bundle.manifest).decode({k: v[0] for k, v in outputs.items()}, WHOLE)) == 0
    session.close()


def test_plays_on_or_starts_again(bundle: Bundle, tmp_path: Path) -> None:
    path = script(tmp_path, '{"detections": []}', '{"error": "lost the device"}')
    for loop, third in ((True, True), (False, False)):
        session = Plugin(file=path, loop=loop).open(bundle)
        session.run(IMAGE)
        with pytest.raises(BackendError, match="lost the device"):
            session.run(IMAGE)
        if third:
            session.run(IMAGE)
        else:
            with pytest.raises(BackendError):
                session.run(IMAGE)
        session.close()


def test_a_hang_ends_when_closed(bundle: Bundle, tmp_path: Path) -> None:
    session = Plugin(file=script(tmp_path, '{"hang": true}')).open(bundle)
    errors: list[BackendError] = []

    def ask() -> None:
        try:
            session.run(IMAGE)
        except BackendError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    session.close()
    thread.join(10)
    assert not thread.is_alive()
    assert "scripted" in str(errors[0])


@pytest.mark.parametrize("text", ["", "{", '{"detections": [{"label": "car"}]}', "[]", '{"outputs": 3}'])
def test_a_bad_line_is_named(bundle: Bundle, tmp_path: Path, text: str) -> None:
    with pytest.raises(BackendError, match=r"script\.jsonl"):
        Plugin(file=script(tmp_path, text)).open(bundle)


def test_an_unknown_label_is_named(bundle: Bundle, tmp_path: Path) -> None:
    path = script(tmp_path, '{"detections": [{"label": "dog", "score": 1, "xyxy": [0, 0, 1, 1]}]}')
    session = Plugin(file=path).open(bundle)
    with pytest.raises(BackendError, match="'dog' is not one of car, person"):
        session.run(IMAGE)
    session.close()
