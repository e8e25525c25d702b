"""Weights on disk: segcli's safetensors with a ModelInfo, and published checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import pickletools
import re
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from segcli.errors import UsageError
from segcli.files import replacing, reporting
from segcli.types import ModelInfo, Resize

if TYPE_CHECKING:
    from torch import Tensor

_INFO = "segcli_model"  # metadata key of the ModelInfo, as JSON
DATA_SHA256 = "data_sha256"
"""Metadata key of the sha256 of all that follows the header."""
_MAX_HEADER = 100_000_000  # bytes; safetensors' own limit
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6: a magic number
_WRAPPERS = ("state_dict", "model", "model_state_dict")  # what training scripts put around weights


def save(
    path: Path,
    state: Mapping[str, Tensor],
    info: ModelInfo,
    *,
    notes: Mapping[str, str] | None = None,
    half: bool = False,
) -> None:
    """Write weights and info atomically.

    `half` stores float32 as float16, except tensors out of its range; `load` returns float32.
    `notes` are texts for the header, which also contains the sha256 of the tensors. Raises
    OutputError.
    """
    import torch
    from safetensors.torch import save as serialise

    tensors = {}
    for name, tensor in state.items():
        # A copy: safetensors refuses tensors that share memory, as tied weights do.
        copy = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        halved = copy.half() if half and copy.dtype == torch.float32 else copy
        tensors[name] = halved if halved.is_floating_point() and halved.isfinite().all() else copy
    unknown = "0" * 64
    described = {_INFO: json.dumps(_described(info)), DATA_SHA256: unknown, "format": "pt"}
    data = memoryview(serialise(tensors, metadata={**(notes or {}), **described}))
    begin = 8 + int.from_bytes(data[:8], "little")
    digest = hashlib.sha256(data[begin:]).hexdigest()
    header = bytes(data[:begin]).replace(
        f'"{DATA_SHA256}":"{unknown}"'.encode(), f'"{DATA_SHA256}":"{digest}"'.encode()
    )
    # Not save_file, which makes a file that only its owner can read.
    with reporting(path), replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(header)
        file.write(data[begin:])
        file.flush()
        os.fsync(file.fileno())


def read_metadata(path: Path) -> dict[str, str] | None:
    """The text in a safetensors header, without torch; None if it is not a safetensors file.

    Raises UsageError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= _MAX_HEADER:
                return None
            header = json.loads(file.read(size))
    except OSError as error:
        raise UsageError(f"cannot read weights {path}: {error.strerror or error}") from error
    except ValueError:
        return None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) else None


def read_info(path: Path) -> ModelInfo | None:
    """The ModelInfo of weights that segcli wrote, without torch; None for any other file.

    Raises UsageError when the file cannot be read or comes from a newer segcli.
    """
    text = (read_metadata(path) or {}).get(_INFO)
    if text is None:
        return None
    try:
        fields = json.loads(text)
        return ModelInfo(
            **{
                **fields,
                "categories": tuple(fields["categories"]),
                "category_ids": tuple(fields["category_ids"]),
                "resize": Resize(**fields["resize"]),
                "default_scores": _tuple_of(fields.get("default_scores")),
                **_keypoints_of(fields),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"the header of {path} does not describe a model this segcli knows ({error}); "
            "it may come from a newer version"
        ) from error


def _described(info: ModelInfo) -> dict[str, Any]:
    """The info as JSON; unknown values are left out, because older versions do not know them."""
    return {name: value for name, value in asdict(info).items() if value is not None}


def _keypoints_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The names and the skeleton as tuples, where the header has them."""
    found: dict[str, Any] = {}
    if "keypoints" in fields:
        found["keypoints"] = tuple(str(name) for name in fields["keypoints"])
    if "skeleton" in fields:
        found["skeleton"] = tuple((int(a), int(b)) for a, b in fields["skeleton"])
    return found


def _tuple_of(scores: list[float] | None) -> tuple[float, ...] | None:
    return None if scores is None else tuple(float(score) for score in scores)


def load(path: Path) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Load weights of `save` on the CPU, float16 as float32. Raises UsageError for other files."""
    info = read_info(path)
    if info is None:
        raise UsageError(
            f"{path} has no segcli weights (safetensors with a model description in the header); "
            "convert a published checkpoint with `segcli weights convert`"
        )
    state = _read_safetensors(path)
    return info, {k: t.float() if t.is_floating_point() else t for k, t in state.items()}


def read_published(path: Path) -> dict[str, Tensor]:
    """The tensors of a published checkpoint by their published names, on the CPU.

    .pth, .pt and .bin are read with torch's weights-only reader, .safetensors directly, and
    detectron2's .pkl with an unpickler that accepts only arrays and containers; the format is
    detected from the content. Wrappers of training scripts are removed. Raises UsageError; never
    executes code from a file.
    """
    import torch

    is_safetensors = read_metadata(path) is not None
    found: Any = _read_safetensors(path) if is_safetensors else _read_pickled(path)
    for _ in range(len(_WRAPPERS) + 1):  # a pickled mapping can contain itself
        if not isinstance(found, Mapping):
            break
        inner = next((found[k] for k in _WRAPPERS if isinstance(found.get(k), Mapping)), None)
        if inner is None:
            break
        found = inner
    state = {}
    for name, value in found.items() if isinstance(found, Mapping) else ():
        if isinstance(value, torch.Tensor):
            state[str(name)] = value.detach()
        elif hasattr(value, "__array_interface__") and value.dtype.kind in "fiub":
            state[str(name)] = torch.tensor(value)
    if not state:
        raise UsageError(f"{path} has no named tensors; expected a published checkpoint")
    if all(name.startswith("module.") for name in state):  # saved from torch's DataParallel
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def digest(path: Path) -> str:
    """The file's sha256 in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read weights {path}: {error.strerror or error}") from error


def check_match(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, source: str, model: str
) -> None:
    """Raise UsageError with the first differences if `state` does not fit `expected`."""
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    differences = [
        f"{len(names)} {what}, first {names[0]}"
        for what, names in (("missing", missing), ("not its own", extra), ("reshaped", reshaped))
        if names
    ]
    if differences:
        raise UsageError(f"{source} does not fit {model}: {'; '.join(differences)}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UsageError(f"cannot read weights {path}: {error}; is the file complete?") from error


def _read_pickled(path: Path) -> Any:
    """The object in a torch or detectron2 file; only arrays, tensors, containers and argparse's
    Namespace are created."""
    import torch

    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY_TORCH))
            file.seek(0)
            if start[:2] == b"PK" or start == _LEGACY_TORCH:
                # The settings of a training from argparse: names and values, no code.
                with torch.serialization.safe_globals([Namespace]):
                    return torch.load(path, map_location="cpu", weights_only=True)
            _refuse_big_endian(file)
            return _ArrayUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise UsageError(f"cannot read weights {path}: {error.strerror or error}") from error
    # Bytes that are not a pickle, or a malicious one, can make an unpickler raise anything.
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"cannot read weights from {path}: {first_line or type(error).__name__}; expected a "
            "checkpoint of tensors only (.safetensors, .pth, or detectron2's .pkl); nothing in it "
            "was executed"
        ) from error


def _refuse_big_endian(file: IO[bytes]) -> None:
    """The dtypes that `_ArrayUnpickler` hands out take no byte order from the pickle, so the rare
    file of big-endian arrays would be read as other numbers."""
    if any(argument in (">", b">") for _, argument, _ in pickletools.genops(file)):
        raise pickle.UnpicklingError("its arrays are big-endian; save it on a usual machine")
    file.seek(0)


class _ArrayUnpickler(pickle.Unpickler):
    """Creates NumPy arrays and builtin containers; anything else in a pickle is an error."""

    def find_class(self, module: str, name: str) -> Any:
        maker = _array_makers().get((module, name))
        if maker is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")
        return maker


def _array_makers() -> dict[tuple[str, str], Any]:
    """(module, name) in a pickle -> the function for a part of an array; none runs other code.

    NumPy has moved these functions between modules, so they are found through their users.
    """
    import codecs

    import numpy as np

    makers: dict[tuple[str, str], Any] = {
        # Only a name: a pickle could call the class with memory addresses as data.
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): codecs.encode,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        makers[module, "_reconstruct"] = _empty
        makers[module, "scalar"] = np.float32(0).__reduce__()[0]
    return makers


def _dtype(code: Any, align: bool = False, copy: bool = False) -> Any:
    """NumPy's shared dtype of numbers, which a pickle cannot change; other dtypes are an error."""
    import numpy as np

    if not (isinstance(code, str) and re.fullmatch(r"[fiu][1248]|b1", code)):
        raise pickle.UnpicklingError(f"it asks for an array of {code!r}, which are not numbers")
    return np.dtype(code)


def _empty(kind: Any, shape: Any, code: Any) -> Any:
    """An array without values; the state that follows in the pickle gives it shape and numbers."""
    import numpy as np

    return np.zeros(0)
