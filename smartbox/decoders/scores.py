"""Classifiers: one score per label, of a sound or of a crop."""

from typing import Literal

import numpy as np

from smartbox.decoders._base import DecoderSettings, Outputs, sigmoid, tensor
from smartbox.errors import BackendError
from smartbox.types import Sounds, View


class Plugin(DecoderSettings):
    """One output with a number per label."""

    output: str | None = None
    """The output's name; default: the only one."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What is still to be done: softmax where labels exclude one another, sigmoid where they do not."""

    def decode(self, outputs: Outputs, view: View) -> Sounds:  # noqa: ARG002  a label has no place
        name = self.output or next(iter(outputs))
        values = tensor(outputs, name).reshape(-1)
        if len(values) != len(self.labels):
            raise BackendError(f"decoder: output {name!r} has {len(values)} numbers for {len(self.labels)} labels")
        if self.activation == "softmax":
            values = np.exp(values - values.max())
            values /= values.sum()
        elif self.activation == "sigmoid":
            values = sigmoid(values)
        heard = np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0)  # a broken engine's NaN is nothing heard
        return Sounds(heard.astype(np.float32), self.labels)
