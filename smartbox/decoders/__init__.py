"""What tensors mean: outputs of one picture -> Detections or Sounds. One file each; shared parts in `_base.py`."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray
from pydantic import ValidationError

from smartbox import plugins
from smartbox.bundle import problems
from smartbox.errors import ConfigError, Problem
from smartbox.manifest import Manifest
from smartbox.types import Detections, Sounds, View


class Decoder(Protocol):
    """What every member promises. Pure; BackendError when the outputs do not fit its settings."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In class order."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], view: View) -> Detections | Sounds:
        """Outputs of one picture by name, without the batch axis."""


def build(manifest: Manifest, where: str = "") -> Decoder:
    """The decoder that a manifest asks for, its labels and input size filled in; ConfigError names every bad key."""
    path = f"{where}: decoder" if where else "decoder"
    plugin = plugins.load("decoders", manifest.decoder.type, f"{path}.type")
    settings = manifest.decoder.settings
    known: dict[str, Any] = {"labels": manifest.labels}
    if manifest.inputs[0].layout is not None:
        known["size"] = manifest.inputs[0].size
    if twice := sorted(set(known) & set(settings)):
        raise ConfigError([Problem(f"{path}.{key}", "the manifest says this elsewhere; leave it out") for key in twice])
    filled = {key: value for key, value in known.items() if key in plugin.model_fields}
    try:
        decoder: Decoder = plugin.model_validate(filled | settings)
    except ValidationError as error:
        raise ConfigError(problems(error, prefix=path)) from error
    return decoder
