"""Any file of weights as named float32 tensors: safetensors and what ``torch.save`` writes, and why a file is none."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgekit.artifacts.metadata import METADATA_KEY
from edgekit.errors import EdgekitError

WRAPPERS = ("model", "state_dict", "model_state_dict")  # keys that training scripts keep the weights under
PREFIXES = ("module.", "model.", "_orig_mod.")  # what DataParallel, Lightning and torch.compile put before the names
SAVE_AGAIN = "where it was made: torch.save(model.state_dict(), 'weights.pth')"
NOT_WEIGHTS = {  # how files begin that are something else under a checkpoint's name
    b"<": "is a web page, not weights",
    b"version https://git-lfs": "is a Git LFS pointer, not weights",
}


@dataclass(frozen=True)
class Weights:
    """A file's tensors by name, floats in float32, the types the file has them in, and edgekit's metadata if any."""

    tensors: dict[str, torch.Tensor]
    dtypes: tuple[str, ...]
    metadata: str | None
    sha256: str  # of the file


def read_weights(path: Path) -> Weights:
    """Read any file of weights, once.

    No code in the file is run. Raises EdgekitError where it holds no weights, or weights that are no finite numbers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error) from None
    for beginning, what in NOT_WEIGHTS.items():
        if data[:64].lstrip().startswith(beginning):
            raise EdgekitError(f"{path}: {what}", "download the file again")
    safe = path.suffix.lower() == ".safetensors"
    tensors, text = _parse_safetensors(path, data) if safe else (_parse_torch(path, data), None)
    dtypes = tuple(sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()}))
    converted = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensor = tensor.float()
            if not torch.isfinite(tensor).all():
                raise EdgekitError(f"{path}: {name} holds NaN or infinity", "take a checkpoint from before it diverged")
        converted[name] = tensor.clone()  # aligned as PyTorch aligns, whatever the file does
    return Weights(converted, dtypes, text, hashlib.sha256(data).hexdigest())


def _parse_safetensors(path: Path, data: bytes) -> tuple[dict[str, torch.Tensor], str | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise _damaged(path, error) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    return tensors if text is not None else _without_prefix(tensors), text


def _parse_torch(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    file = io.BytesIO(data)
    zipped = zipfile.is_zipfile(file)
    if not data or (data.startswith(b"PK") and not zipped):
        raise EdgekitError(f"{path}: is empty or only a part of the file", "download or copy it again")
    if zipped:
        with zipfile.ZipFile(file) as archive:
            if any(n.endswith("constants.pkl") for n in archive.namelist()):
                raise EdgekitError(f"{path}: is a TorchScript archive, not weights", f"save the weights {SAVE_AGAIN}")
    try:
        # Training scripts keep their arguments beside the weights; a Namespace is data only.
        with torch.serialization.safe_globals([argparse.Namespace]):
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise _damaged(path, error) from None
        raise EdgekitError(
            f"{path}: holds Python objects ({found[1]}), such as a whole pickled model; edgekit reads only weights",
            f"save them {SAVE_AGAIN}",
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise _damaged(path, error) from None
    return _state(content, path)


def _damaged(path: Path, error: Exception) -> EdgekitError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EdgekitError(f"{path}: is not a checkpoint or is damaged: {reason[:200]}", "check how it got here")


def _state(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The weights in what a training script saved, without the wrappers."""
    if not isinstance(content, Mapping):
        raise EdgekitError(f"{path}: holds a {type(content).__name__}, not weights", f"save them {SAVE_AGAIN}")
    wrapped = next((k for k in WRAPPERS if isinstance(content.get(k), Mapping)), None)
    if wrapped is not None:
        return _state(content[wrapped], path)
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        if "optimizer" in content or "param_groups" in content:
            raise EdgekitError(f"{path}: holds an optimizer's state and no weights", f"save them {SAVE_AGAIN}")
        keys = ", ".join(str(k) for k in list(content)[:5]) or "nothing"
        raise EdgekitError(f"{path}: holds no weights but {keys}", f"save them {SAVE_AGAIN}")
    return _without_prefix(tensors)


def _without_prefix(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors by the names they have in the model itself."""
    while prefix := next((p for p in PREFIXES if tensors and all(n.startswith(p) for n in tensors)), None):
        tensors = {n.removeprefix(prefix): t for n, t in tensors.items()}
    return tensors
