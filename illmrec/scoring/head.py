"""The exported projection heads, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from illmrec.atomic import digest_file
from illmrec.errors import ModelError

HIDDEN = "hidden"
USERS, ITEMS = "users", "items"


def pick_providers() -> list[str]:
    """Return the execution providers to ask for: CUDA where a device answers, and always the CPU.

    The list of available providers names CUDA even where no GPU is, so the device itself is asked.
    """
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers() and Path("/dev/nvidia0").exists()
    return ["CUDAExecutionProvider", "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]


def open_session(content: bytes, *, threads: int = 0) -> Any:
    """Return an ONNX Runtime session over a model's bytes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=pick_providers())


class Head:
    """The exported projections of users and items, run by ONNX Runtime; torch is not needed.

    Vectors have one slice of width d for each of the F feature types, so a dot product is the sum of the types' shares.

    Args:
        path: the ONNX file.
        sha256: expected digest of the file; None to accept any.

    Raises:
        ModelError: when the file is missing, differs from the digest, refers to weights outside itself or is no head.

    Example:
        >>> head = illmrec.Head(Path("artifacts/shop/head/head.onnx"))
        >>> head.kinds, head.llm_width
        (('image', 'cf', 'text'), 32)
        >>> head.project_users(np.zeros((5, head.llm_width), np.float32)).shape == (5, head.width)
        True
    """

    def __init__(self, path: Path, sha256: str | None = None) -> None:
        if not path.is_file():
            raise ModelError("there is no such file.", path=path, hint="Run `illmrec export`.")
        if sha256 is not None and digest_file(path) != sha256:
            raise ModelError(
                f"the file's sha256 is {digest_file(path)}, expected {sha256}.", path=path, hint="Register again."
            )
        content = path.read_bytes()
        refuse_outside_data(content, path)
        try:
            self._session = open_session(content)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes of its own that share no base but Exception
            raise ModelError(f"ONNX Runtime cannot load it: {error}", path=path) from None
        inputs = {value.name: int(value.shape[1]) for value in self._session.get_inputs()}
        if HIDDEN not in inputs or [value.name for value in self._session.get_outputs()] != [USERS, ITEMS]:
            raise ModelError(f"is no head: inputs {sorted(inputs)}.", path=path, hint="Run `illmrec export`.")
        self.llm_width = inputs.pop(HIDDEN)
        self.widths: Mapping[str, int] = inputs
        self.width = int(self._session.get_outputs()[0].shape[1])

    @property
    def kinds(self) -> tuple[str, ...]:
        """Feature types, in the order of the slices of a projected vector."""
        return tuple(self.widths)

    def project_users(self, hidden: npt.NDArray[np.float32], block: int = 4096) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, F * d]`` of user representations ``float32 [n, d_llm]``."""
        # ONNX Runtime wants every input; one row of zeros feeds the side that is not asked for.
        idle = {kind: np.zeros((1, width), np.float32) for kind, width in self.widths.items()}
        starts = range(0, len(hidden), block)
        parts = [self._session.run([USERS], {HIDDEN: hidden[start : start + block]} | idle)[0] for start in starts]
        return np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def project_items(
        self, features: Mapping[str, npt.NDArray[np.floating[Any]]], block: int = 4096
    ) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, F * d]`` of item features, one ``[n, d_f]`` per type."""
        idle = {HIDDEN: np.zeros((1, self.llm_width), np.float32)}
        count = len(features[self.kinds[0]])
        parts = []
        for start in range(0, count, block):
            rows = {kind: np.asarray(features[kind][start : start + block], np.float32) for kind in self.kinds}
            parts.append(self._session.run([ITEMS], rows | idle)[0])
        return np.concatenate(parts)


def refuse_outside_data(content: bytes, path: Path) -> None:
    """Refuse a graph with a tensor that lies in another file, wherever in the graph the tensor hides.

    It would be read from wherever the graph says.

    Raises:
        ModelError: when there is one, or the bytes are no graph.
    """
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # noqa: BLE001 - protobuf's decode error depends on the installed implementation
        raise ModelError(f"is not an ONNX file: {error}", path=path) from None
    for tensor in _walk_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            hint = "Nothing of it was loaded. Export it as one file and register again."
            raise ModelError(f"tensor {tensor.name!r} lies outside the file.", path=path, hint=hint)


def _walk_tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor of a message of ONNX: initializers, constants, those of inner graphs and functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in [value] if hasattr(value, "ListFields") else value:
            if hasattr(inner, "ListFields"):
                yield from _walk_tensors(inner)
