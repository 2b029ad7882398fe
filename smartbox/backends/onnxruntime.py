"""onnxruntime: the default engine; accelerators through its execution providers."""

from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from smartbox.backends._base import BackendSettings, Session, Tensors, pick, stays_in_memory, weights
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import Manifest


class Plugin(BackendSettings):
    """ONNX files on the CPU, or on what an execution provider reaches."""

    modules: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    threads: int = Field(default=1, ge=1, le=256)
    """Cores for one inference. 1 leaves the others to the decoders of the cameras."""
    providers: tuple[str, ...] = Field(default=("CPUExecutionProvider",), min_length=1)
    """Execution providers, first choice first. One that is absent is refused, never replaced in silence."""
    provider_options: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Per provider, its own options. A sealed bundle takes none that keeps a compiled model on the disk."""

    def open(self, bundle: Bundle) -> Session:
        """Load and warm up. BackendError when a provider is absent or the file is no ONNX model."""
        for options in self.provider_options.values():
            stays_in_memory(bundle, "onnxruntime", options)
        data = weights(bundle, "onnxruntime")
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as state
        except ImportError as error:
            raise BackendError(f"onnxruntime cannot be imported: {error}; pip install onnxruntime") from error
        self._require(onnxruntime.get_available_providers(), "this onnxruntime was built with")
        foreign = foreign_errors(state)
        try:
            try:
                engine = self._engine(onnxruntime, data, precise=True)
            except foreign:  # it cannot, where layers share the zero of their weights
                engine = self._engine(onnxruntime, data, precise=False)
        except foreign as error:
            raise BackendError(f"onnxruntime: {bundle.name}: {error}") from error
        self._require(engine.get_providers(), "this machine could start")
        session = _Session(bundle.manifest, engine, foreign)
        session.warm_up()
        return session

    def _require(self, present: list[str], who: str) -> None:
        if absent := [p for p in self.providers if p not in present]:
            raise BackendError(f"onnxruntime: provider {', '.join(absent)} is absent; {who} {', '.join(present)}")

    def _engine(self, onnxruntime: Any, data: bytes, *, precise: bool) -> Any:
        """precise: on x86 without VNNI take the slower 8-bit kernels, whose sums are not cut off at 16 bits.

        Elsewhere it changes nothing.
        """
        options = self._options(onnxruntime)
        options.add_session_config_entry("session.x64quantprecision", str(int(precise)))
        providers = [(p, self.provider_options.get(p, {})) for p in self.providers]
        return onnxruntime.InferenceSession(data, options, providers=providers)

    def _options(self, onnxruntime: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions, stderr is the journal
        # Spinning threads win microseconds and burn whole cores that the video decoders need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options


def shapes(data: bytes) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Names and shapes of a model's inputs and outputs; what is free is no number. BackendError when it is none."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise BackendError(f"onnxruntime cannot be imported: {error}; pip install onnxruntime") from error
    try:
        engine = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except foreign_errors(state) as error:
        raise BackendError(f"onnxruntime: {error}") from error
    ins, outs = engine.get_inputs(), engine.get_outputs()
    return {i.name: list(i.shape) for i in ins}, {o.name: list(o.shape) for o in outs}


class _Session(Session):
    def __init__(self, manifest: Manifest, engine: Any, foreign: tuple[type[Exception], ...]) -> None:
        fixed = engine.get_inputs()[0].shape[:1]
        super().__init__("onnxruntime", manifest, fixed[0] if fixed and isinstance(fixed[0], int) else None)
        self._engine = engine
        self._foreign = foreign
        self._feeds = pick("input", manifest.inputs, {i.name: i.shape for i in engine.get_inputs()})
        self._fetches = pick("output", manifest.outputs, {o.name: o.shape for o in engine.get_outputs()})

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        feeds = {self._feeds[name]: tensor for name, tensor in inputs.items()}
        try:
            values = self._engine.run(list(self._fetches.values()), feeds)
        except self._foreign as error:
            raise BackendError(f"onnxruntime: {self._manifest.name}: {error}") from error
        return dict(zip(self._fetches, values, strict=True))

    def _close(self) -> None:
        self._engine = None


def foreign_errors(state: Any) -> tuple[type[Exception], ...]:
    """onnxruntime's errors have no common root but Exception itself."""
    own = [c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*own, RuntimeError, ValueError)
