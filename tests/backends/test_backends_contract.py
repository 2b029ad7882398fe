"""What every backend promises; finds each member by itself."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox import decoders, plugins
from smartbox.agreement import compare
from smartbox.backends._base import Session
from smartbox.bundle import Bundle, installed
from smartbox.errors import BackendError
from smartbox.preprocess import prepare
from tests import tiny
from tests.judging import judge

NAMES = plugins.names("backends")
ABSENT: dict[str, dict[str, Any]] = {
    "onnxruntime": {"providers": ["NoSuchExecutionProvider"]},
    "openvino": {"device": "GPU.7"},
    "mnn": {"device": "CUDA"},
    "tflite": {"delegates": ["/nowhere/libedgetpu.so.1"]},
    "scripted": {"refuse": "the device is not there"},
}
every = pytest.mark.parametrize("name", NAMES)
SHIPPED = installed([Path(__file__).resolve().parents[2] / "models"])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write(tmp_path_factory.mktemp("bundle") / "tiny")


def settings(name: str, **changes: Any) -> Any:
    plugin = plugins.load("backends", name)
    if not plugin.installed():
        pytest.skip(f"no runtime of {name} here: {', '.join(plugin.modules)}")
    assert name in tiny.FILES and name in ABSENT, f"give backend {name!r} a tiny model in tiny.py and an absent device"
    return plugin(**changes)


@every
def test_bad_settings_are_refused(name: str) -> None:
    for bad in ({"no_such_key": 1}, {"batch": 0}):
        with pytest.raises(ValidationError):
            settings(name, **bad)


@every
def test_the_same_model_gives_the_same_outputs(name: str, bundle: Bundle) -> None:
    session: Session = settings(name).open(bundle)
    inputs, golden = bundle.golden()
    outputs = session.run(inputs)
    session.close()
    assert session.name == name
    assert list(outputs) == [o.name for o in bundle.manifest.outputs]
    for key, value in outputs.items():
        assert value.dtype == np.float32
        assert value.shape == golden[key].shape
        np.testing.assert_allclose(value, golden[key], atol=tiny.OUT_SCALE / 2 + 0.05)


@every
def test_any_batch_whatever_the_file_says(name: str, bundle: Bundle) -> None:
    session: Session = settings(name).open(bundle)
    one = session.run({"image": tiny.INPUT[:1]})
    session.close()
    session = settings(name).open(bundle)
    three = session.run({"image": tiny.INPUT[[0, 1, 0]]})
    session.close()
    assert len(three["scores"]) == 3
    for key, value in one.items():
        np.testing.assert_array_equal(three[key][[0, 2]], np.repeat(value, 2, 0))


@every
def test_outputs_stay_what_they_were(name: str, bundle: Bundle) -> None:
    """A later run must not write into arrays that were handed out."""
    session: Session = settings(name).open(bundle)
    first = session.run({"image": tiny.INPUT[:1]})
    kept = {key: value.copy() for key, value in first.items()}
    session.run({"image": tiny.INPUT[1:]})
    session.close()
    for key, value in first.items():
        np.testing.assert_array_equal(value, kept[key])


@every
@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"picture": tiny.INPUT},
        {"image": tiny.INPUT.astype(np.float32)},
        {"image": tiny.INPUT[0]},
        {"image": tiny.INPUT[:, :1]},
        {"image": tiny.INPUT[:0]},
        {"image": tiny.INPUT, "more": tiny.INPUT},
    ],
    ids=["none", "name", "dtype", "axis", "shape", "empty", "more"],
)
def test_tensors_that_do_not_fit_are_refused(name: str, bundle: Bundle, inputs: dict[str, Any]) -> None:
    session: Session = settings(name).open(bundle)
    with pytest.raises(BackendError, match=name):
        session.run(inputs)
    session.run({"image": tiny.INPUT})  # and it goes on
    session.close()


@every
def test_close_again_is_harmless_and_run_after_it_is_refused(name: str, bundle: Bundle) -> None:
    session: Session = settings(name).open(bundle)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run({"image": tiny.INPUT})


@every
def test_sessions_are_independent(name: str, bundle: Bundle) -> None:
    first, second = settings(name).open(bundle), settings(name).open(bundle)
    first.close()
    assert len(second.run({"image": tiny.INPUT})["scores"]) == 2
    second.close()


@every
def test_sessions_of_several_threads_give_what_one_gives(name: str, bundle: Bundle) -> None:
    """Opened here, used and closed there, as the inference worker does; two at once."""
    sessions = [settings(name).open(bundle) for _ in range(2)]

    def work(session: Session) -> list[Any]:
        found = [session.run({"image": tiny.INPUT}) for _ in range(20)]
        session.close()
        return found

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, sessions)
    for outputs in [*first, *second]:
        for key, value in outputs.items():
            np.testing.assert_array_equal(value, first[0][key])


@every
def test_more_cores_change_nothing_but_time(name: str, bundle: Bundle) -> None:
    if "threads" not in plugins.load("backends", name).model_fields:
        pytest.skip(f"{name} has no threads to set")
    inputs, golden = bundle.golden()
    session: Session = settings(name, threads=2).open(bundle)
    outputs = session.run(inputs)
    session.close()
    for key, value in outputs.items():
        np.testing.assert_allclose(value, golden[key], atol=tiny.OUT_SCALE / 2 + 0.05)


@every
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_ships_agrees_with_its_golden_outputs(name: str, path: Path) -> None:
    shipped = Bundle.open(path)
    if name not in shipped.manifest.files:
        pytest.skip(f"{path.name} has nothing for {name}")
    assert shipped.manifest.golden is not None
    engine = settings(name)
    session: Session = engine.open(shipped)
    inputs, golden = shipped.golden()
    found = compare(session.run(inputs), golden, shipped.manifest.golden.tolerance_of(name))
    session.close()
    judge(found, engine)


def test_what_ships_is_there_for_every_engine() -> None:
    engines = {name for name in NAMES if name != "scripted"}
    lacking = {path.name: engines - set(Bundle.open(path).manifest.files) for path in SHIPPED}
    assert lacking.pop("lrssd-park-lite") <= {"mnn"}  # `lab formats` makes it: all weights in git stay below 8 MiB
    assert not any(lacking.values()), lacking
    weights = {file for path in SHIPPED for file in path.iterdir() if file.suffix in (".onnx", ".tflite", ".mnn")}
    assert sum(file.stat().st_size for file in weights) <= 8 * 2**20


@every
def test_an_absent_device_is_a_backend_error(name: str, bundle: Bundle) -> None:
    with pytest.raises(BackendError) as refused:
        settings(name, **ABSENT[name]).open(bundle)
    assert str(next(iter(ABSENT[name].values()))).strip("[]'") in str(refused.value)


@every
@pytest.mark.parametrize("cut", [0, 10, 0.5, 0.97])
def test_a_file_that_is_no_model_is_a_backend_error(name: str, tmp_path: Path, cut: float) -> None:
    """Sealed with right sums, so that only the engine can notice."""
    if name == "mnn" and cut:
        pytest.skip("MNN reads on behind the end of a cut file; the bundle's sums refuse it before that")
    whole = tiny.FILES[name][1]()
    part = (b"not a model: " + whole)[:1500] if cut == 0 else whole[: int(cut if cut > 1 else cut * len(whole))]
    broken = tiny.write(tmp_path / "tiny", name, files={name: part})
    with pytest.raises(BackendError):
        settings(name).open(broken)


@every
def test_a_corrupt_or_missing_file_is_a_backend_error(name: str, tmp_path: Path) -> None:
    whole = tiny.write(tmp_path / "tiny", name)
    path = tmp_path / "tiny" / tiny.FILES[name][0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackendError, match="corrupt"):
        settings(name).open(whole)
    path.unlink()
    with pytest.raises(BackendError, match="missing"):
        settings(name).open(whole)


@every
def test_a_bundle_without_weights_for_it_says_what_it_has(name: str, tmp_path: Path) -> None:
    other = next(n for n in tiny.FILES if n != name)
    with pytest.raises(BackendError, match=f"no file for backend '{name}'; it has {other}"):
        settings(name).open(tiny.write(tmp_path / "tiny", other))


@every
def test_outputs_that_the_manifest_does_not_promise_are_refused(name: str, bundle: Bundle) -> None:
    outputs = [{"name": "scores", "shape": [None, None, 7]}, {"name": "boxes", "shape": [None, None, 4]}]
    wrong = Bundle(bundle.path, tiny.manifest(outputs=outputs, files=bundle.manifest.model_dump()["files"]))
    with pytest.raises(BackendError):
        session = settings(name).open(wrong)
        session.run({"image": tiny.INPUT})  # what only plays cannot know before


@every
def test_a_picture_goes_all_the_way(name: str, bundle: Bundle) -> None:
    tensor, view = prepare(np.repeat(np.repeat(tiny.INPUT[1], 50, 0), 50, 1), bundle.manifest.inputs[0])
    session: Session = settings(name).open(bundle)
    outputs = session.run({"image": np.stack([tensor, tensor])})
    session.close()
    assert tensor.shape == (2, 2, 3)
    assert decoders.build(bundle.manifest).labels == ("car", "person")
    assert outputs["boxes"][1].shape == (3, 4)
    assert view.scale == (0.5, 0.5)
