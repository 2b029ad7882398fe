"""What every decoder promises; finds each member by itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from smartbox import decoders, plugins
from smartbox.errors import BackendError, ConfigError
from smartbox.manifest import Manifest
from smartbox.types import Detections, Sounds, View

NAMES = plugins.names("decoders")
LABELS = ("car", "person", "bus")
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {  # what each reads, for a 64 x 32 input and three labels
    "boxes": {"boxes": (5, 4), "scores": (5, 3)},
    "lrssd": {"scores": (32 + 8 + 2 + 1, 3), "boxes": (32 + 8 + 2 + 1, 4)},
    "nanodet": {"output": (32 + 8 + 2 + 1, 3 + 4 * 8)},
    "scores": {"scores": (3,)},
    "yolo": {"output": (32 + 8 + 2, 8)},
}
WHOLE = View((1 / 64, 1 / 32), (0.0, 0.0))
every = pytest.mark.parametrize("name", NAMES)


def manifest(name: str, **changes: Any) -> Manifest:
    assert name in SHAPES, f"give decoder {name!r} its shapes in this file"
    return Manifest.model_validate(
        {
            "name": "eyes",
            "version": "1",
            "task": "detect",
            "labels": LABELS,
            "inputs": [{"name": "image", "shape": [None, 32, 64, 3], "layout": "NHWC", "colour": "BGR"}],
            "outputs": [{"name": key, "shape": [None, *shape]} for key, shape in SHAPES[name].items()],
            "decoder": {"type": name, **changes},
            "files": {"onnxruntime": {"path": "x", "sha256": "0" * 64, "bytes": 1}},
        }
    )


def zeros(name: str) -> dict[str, NDArray[np.float32]]:
    return {key: np.zeros(shape, np.float32) for key, shape in SHAPES[name].items()}


@every
def test_it_is_built_from_a_manifest(name: str) -> None:
    decoder = decoders.build(manifest(name))
    assert decoder.labels == LABELS
    found = decoder.decode(zeros(name), WHOLE)
    assert isinstance(found, Detections | Sounds)
    assert found.labels == LABELS


@every
def test_bad_settings_name_their_key(name: str) -> None:
    for changes, key in (({"treshold": 0.5}, "decoder.treshold"), ({"labels": ["x"]}, "decoder.labels")):
        with pytest.raises(ConfigError, match=key):
            decoders.build(manifest(name, **changes))
    with pytest.raises(ConfigError, match=r"models\.eyes: decoder\.nope"):
        decoders.build(manifest(name, nope=1), "models.eyes")


def test_an_unknown_type_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lrssd'"):
        decoders.build(manifest("lrssd").model_copy(update={"decoder": manifest("lrssd", type="lrsd").decoder}))


@every
def test_outputs_that_do_not_fit_are_a_backend_error(name: str) -> None:
    decoder = decoders.build(manifest(name))
    for key, value in zeros(name).items():
        wrong = zeros(name) | {key: np.zeros((value.shape[0], 9) if value.ndim > 1 else 9, np.float32)}
        with pytest.raises(BackendError, match="decoder"):
            decoder.decode(wrong, WHOLE)
    if len(SHAPES[name]) > 1:
        with pytest.raises(BackendError, match="there is no output"):
            decoder.decode({"other": np.zeros((5, 4), np.float32)}, WHOLE)


@every
def test_the_outputs_are_left_alone(name: str) -> None:
    outputs = {key: np.random.default_rng(2).random(shape).astype(np.float32) for key, shape in SHAPES[name].items()}
    kept = {key: value.copy() for key, value in outputs.items()}
    decoders.build(manifest(name)).decode(outputs, WHOLE)
    for key, value in outputs.items():
        np.testing.assert_array_equal(value, kept[key])


@every
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_numbers_give_sound_values(name: str, data: st.DataObject) -> None:
    """Huge and not-a-number included: a broken engine must not break the pipeline."""
    floats = st.floats(width=32, allow_nan=True, allow_infinity=True)
    outputs = {key: data.draw(hnp.arrays(np.float32, shape, elements=floats)) for key, shape in SHAPES[name].items()}
    with np.errstate(all="ignore"):
        found = decoders.build(manifest(name)).decode(outputs, WHOLE)
    assert found.score.dtype == np.float32
    if isinstance(found, Detections):
        assert len(found) <= 100
        assert np.isfinite(found.xyxy).all()
        assert ((found.xyxy >= 0) & (found.xyxy <= 1)).all()
        assert (found.xyxy[:, 2:] > found.xyxy[:, :2]).all()
        assert (np.diff(found.score) <= 0).all()
        assert (found.score >= 0.35).all()
    else:
        assert ((found.score >= 0) & (found.score <= 1)).all()
