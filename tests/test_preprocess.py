"""Pictures to tensors, and boxes back to the frame."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from smartbox.errors import BackendError
from smartbox.manifest import InputSpec
from smartbox.preprocess import prepare
from smartbox.types import Frame


def spec(**changes: Any) -> InputSpec:
    data: dict[str, Any] = {"name": "image", "shape": (None, 32, 64, 3), "layout": "NHWC", "colour": "BGR"}
    return InputSpec.model_validate(data | changes)


def picture(height: int = 48, width: int = 48) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_letterbox_at_the_top_left_with_padding() -> None:
    tensor, view = prepare(picture(), spec())
    assert tensor.shape == (32, 64, 3)
    assert tensor.dtype == np.uint8
    assert (tensor[:, 32:] == 114).all()
    assert np.array_equal(tensor[:, :32], cv2.resize(picture(), (32, 32), interpolation=cv2.INTER_LINEAR))
    assert view.to_frame(np.array([[0, 0, 32, 32]], np.float32)).tolist() == [[0, 0, 1, 1]]


def test_stretch_fills_everything() -> None:
    tensor, view = prepare(picture(), spec(resize="stretch"))
    assert np.array_equal(tensor, cv2.resize(picture(), (64, 32), interpolation=cv2.INTER_LINEAR))
    assert view.to_frame(np.array([[32, 16, 64, 32]], np.float32)).tolist() == [[0.5, 0.5, 1, 1]]


def test_same_size_is_untouched() -> None:
    image = picture(32, 64)
    tensor, _ = prepare(image, spec())
    assert np.array_equal(tensor, image)


def test_a_great_reduction_averages_all_pixels() -> None:
    checkers = np.indices((256, 512)).sum(0) % 2 * np.uint8(255)
    tensor, _ = prepare(np.repeat(checkers[..., None], 3, 2).astype(np.uint8), spec())
    assert np.abs(tensor.astype(int) - 128).max() <= 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"colour": "RGB"}, lambda b: b[..., ::-1]),
        ({"dtype": "float32"}, lambda b: b.astype(np.float32)),
        ({"dtype": "float32", "scale": 1 / 255}, lambda b: b / np.float32(255)),
        ({"dtype": "float32", "mean": (1, 2, 3), "std": (4, 5, 6)}, lambda b: (b - np.array([1.0, 2, 3])) / [4, 5, 6]),
        ({"dtype": "float32", "mean": (127.5,), "std": (127.5,)}, lambda b: (b - 127.5) / 127.5),
        ({"dtype": "int8", "quantization": {"scale": 1, "zero_point": -128}}, lambda b: b.astype(int) - 128),
        ({"dtype": "uint8", "scale": 1 / 255, "quantization": {"scale": 1 / 255}}, lambda b: b),
    ],
)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_colour_values_and_layout(changes: dict[str, Any], expected: Any, layout: str) -> None:
    shape = (None, 32, 64, 3) if layout == "NHWC" else (None, 3, 32, 64)
    wanted = spec(layout=layout, shape=shape, **changes)
    image = picture(32, 64)
    tensor, _ = prepare(image, wanted)
    assert tensor.dtype == np.dtype(wanted.dtype)
    assert tensor.flags.c_contiguous
    got = tensor if layout == "NHWC" else tensor.transpose(1, 2, 0)
    np.testing.assert_allclose(got, expected(image), atol=1e-5)


def test_grey_takes_the_frames_own_luma() -> None:
    luma = np.arange(64 * 32, dtype=np.uint8).reshape(32, 64)

    def never() -> Any:
        raise AssertionError("the colour picture is not needed")

    frame = Frame("cam", 0, 0.0, 0.0, (64, 32), never, lambda: luma)
    tensor, _ = prepare(frame, spec(shape=(None, 32, 64, 1), colour="Y"))
    assert np.array_equal(tensor[..., 0], luma)
    tensor, _ = prepare(picture(32, 64), spec(shape=(None, 1, 32, 64), colour="Y", layout="NCHW"))
    assert tensor.shape == (1, 32, 64)


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.sampled_from(["letterbox", "stretch"]),
)
def test_a_regions_boxes_lead_back_to_the_frame(width: int, height: int, region: Any, resize: str) -> None:
    x0, x1 = sorted((region[0], region[2]))
    y0, y1 = sorted((region[1], region[3]))
    tensor, view = prepare(picture(height, width), spec(resize=resize), (x0, y0, x1, y1))
    assert tensor.shape == (32, 64, 3)
    rw, rh = (x / s for x, s in zip((x1 - x0, y1 - y0), view.scale, strict=True))
    corners = np.array([[0, 0, rw, rh]], np.float32)
    pixel = np.array([1 / width, 1 / height] * 2)
    assert (np.abs(view.to_frame(corners) - [[x0, y0, x1, y1]]) <= pixel * 1.001 + 1e-5).all()


def test_a_mark_in_a_crop_is_found_where_it_is() -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    image[200:240, 300:360] = 255
    tensor, view = prepare(image, spec(), (0.4, 0.3, 0.7, 0.75))
    ys, xs = np.nonzero((tensor[..., 0] > 127) & (tensor[..., 0] != 114))
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
    np.testing.assert_allclose(view.to_frame(box), [[0.5, 0.5, 0.6, 0.6]], atol=0.02)


def test_a_sound_model_takes_no_picture() -> None:
    with pytest.raises(BackendError, match="takes no picture"):
        prepare(picture(), InputSpec(name="mel", shape=(None, 64, 98), dtype="float32"))
