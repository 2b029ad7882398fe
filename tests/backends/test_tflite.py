"""What is particular to TFLite."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from smartbox.backends._flatbuffer import check_tflite
from smartbox.backends.tflite import Plugin
from smartbox.errors import BackendError
from tests import tiny


def test_a_library_that_is_no_delegate_is_refused(tmp_path: Path) -> None:
    if not Plugin.installed():
        pytest.skip("no TFLite runtime here")
    bundle = tiny.write(tmp_path / "tiny", "tflite")
    with pytest.raises(BackendError, match=r"libm\.so\.6 is a library but no TFLite delegate"):
        Plugin(delegates=("libm.so.6",)).open(bundle)


def test_every_cut_is_noticed_before_the_runtime_sees_it() -> None:
    whole = tiny.tflite_bytes()
    check_tflite(whole, "tiny")
    for length in range(len(whole)):
        with pytest.raises(BackendError, match=r"cut or corrupt|TFL3|no graph"):
            check_tflite(whole[:length], "tiny")


def test_scrambled_bytes_are_refused_or_harmless_to_the_check() -> None:
    whole, rng = tiny.tflite_bytes(), random.Random(3)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        try:
            check_tflite(bytes(data), "tiny")
        except BackendError as error:
            assert "tiny" in str(error)


def test_a_runtime_that_is_not_there_is_named(tmp_path: Path) -> None:
    absent = next((m for m in Plugin.modules if find_spec(m) is None), None)
    if absent is None:
        pytest.skip("both runtimes are installed")
    with pytest.raises(BackendError, match=absent):
        Plugin(runtime=absent).open(tiny.write(tmp_path / "tiny", "tflite"))  # type: ignore[arg-type]
