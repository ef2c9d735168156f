"""Model files and what they say of themselves: checkpoints (safetensors) and ONNX."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import EdgekitError
from edgekit.files import atomic_path
from edgekit.reading import refuse_special

if TYPE_CHECKING:
    import onnx

METADATA_KEY = "edgekit"
EMBEDDED = {"demo": Path(__file__).parent / "assets" / "maskrcnn_mobilenet_v2_fpn.safetensors"}
# torchvision's names of models whose weights it has: downloaded into its own cache on first use.
TORCHVISION = (
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
KINDS = {
    ".safetensors": "checkpoint",
    ".pt": "checkpoint",
    ".pth": "checkpoint",
    ".onnx": "onnx",
    ".engine": "engine",  # see runtime/engine_file.py
}
BACKGROUND = "__background__"


@dataclass(frozen=True)
class ModelMeta:
    """What a model file says of itself.

    ``generations`` holds the class names each adaptation added, the base model's first and led by the background, so
    that a label is a position in ``categories``. ``input_size`` is (height, width) in pixels. ``input_type`` says
    what a graph takes: "uint8" canvases or "float", their values in planes (see ``data.images.graph_input``).
    ``best_only`` says that a graph drops what a better-scored detection of another generation covers. ``recognised``
    says how a checkpoint that says nothing of itself was understood. ``mask_files`` describes the files beside a graph
    that make its masks, by name: their "sha256" and, of a graph, its "generation" and "slots" (a run's); the others
    hold weights.
    """

    architecture: str
    generations: tuple[tuple[str, ...], ...]
    input_size: tuple[int, int]
    scoring: str = "exact"
    precision: str = "fp32"
    input_type: str = "uint8"
    batch_norm_eps: float = 1e-5
    best_only: bool = False
    mask_files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recognised: Mapping[str, str] = field(default_factory=dict)
    parent_sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names by label; label 0 is the background."""
        return tuple(name for generation in self.generations for name in generation)

    @property
    def old_classes(self) -> tuple[str, ...]:
        """The base model's classes, without the background."""
        return tuple(name for name in self.generations[0] if name != BACKGROUND)

    @property
    def new_classes(self) -> tuple[str, ...]:
        """The classes that adaptations added."""
        return tuple(name for generation in self.generations[1:] for name in generation)

    @property
    def group_sizes(self) -> list[int]:
        """How many classes are scored together, the base model's first (which count the background)."""
        return [len(g) for g in self.generations] if self.scoring == "exact" else [len(self.categories)]

    def until(self, generations: int, source: Path) -> ModelMeta:
        """The metadata of the model as it was after ``generations`` adaptations; ``source`` is the file to name."""
        added = len(self.generations) - 1
        if self.scoring != "exact":
            raise EdgekitError(f"{source}: is scored jointly, so no earlier generation is in it", "leave --generations")
        if not 0 <= generations <= added:
            raise EdgekitError(
                f"{source}: has {added} added generations, not {generations}", f"give 0 to {added} for --generations"
            )
        return replace(self, generations=self.generations[: generations + 1])

    def to_json(self) -> str:
        """The metadata as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: Path) -> ModelMeta:
        """Parse ``to_json``'s text; ``source`` is the file to name in an error."""
        try:
            values = json.loads(text)
            values["generations"] = tuple(tuple(g) for g in values["generations"])
            height, width = values["input_size"]
            return cls(**{**values, "input_size": (int(height), int(width))})
        except (ValueError, TypeError, KeyError) as error:
            raise EdgekitError(
                f"{source}: its edgekit metadata is damaged: {error}", "write the file again with this edgekit"
            ) from None


def tool_versions() -> dict[str, str]:
    """The versions of the packages that shape a model file, of those installed."""
    found = {}
    for package in ("edgekit", "torch", "torchvision", "onnx", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def resolve(model: str | Path) -> Path:
    """The file a model argument means: the name of an embedded or of torchvision's model, or a path.

    torchvision's weights are downloaded if they are not in its cache yet. Raises if there is no such file.
    """
    if str(model) in TORCHVISION:
        return _torchvision_weights(str(model))
    path = EMBEDDED.get(str(model), Path(model))
    if not path.exists():
        known = ", ".join((*EMBEDDED, *TORCHVISION))
        raise EdgekitError(f"{model}: no such file", f"give a model file or a model's name: {known}")
    if path.is_dir():
        raise EdgekitError(f"{model}: is a folder, not a model file", f"give one of: {', '.join(KINDS)}")
    refuse_special(path)
    return path


def _torchvision_weights(name: str) -> Path:
    """The file of torchvision's default weights in its cache, downloaded if it is not there."""
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(name)["DEFAULT"].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.exists():
        expected = path.stem.rsplit("-", 1)[1]  # torchvision's file names end in the first digits of their SHA-256
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), expected, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # no network, a full disk, a wrong checksum
            raise EdgekitError(f"{name}: {url} cannot be downloaded: {error}", f"put that file at {path}") from None
    return path


def tensors_sha256(tensors: Mapping[str, np.ndarray], about: str = "") -> str:
    """The SHA-256 in hex of ``about`` and of all tensors' names, types, shapes and bytes."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def write_checkpoint(path: Path, tensors: Mapping[str, np.ndarray], meta: ModelMeta) -> None:
    """Write named arrays with their metadata as safetensors."""
    from safetensors.numpy import save

    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    data = save(arrays, metadata={METADATA_KEY: meta.to_json()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)  # not by safetensors, whose own error hides a full disk


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], ModelMeta]:
    """Read what ``write_checkpoint`` wrote."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise EdgekitError(f"{path}: is no safetensors file or is damaged: {error}", "check how it got here") from None
    if text is None:
        raise EdgekitError(f"{path}: holds weights but no edgekit metadata", "give a checkpoint that edgekit wrote")
    return tensors, ModelMeta.from_json(text, path)


def write_onnx(path: Path, model: onnx.ModelProto, meta: ModelMeta) -> None:
    """Write an ONNX model with the metadata in its ``metadata_props``."""
    import onnx
    from onnx import helper

    helper.set_model_props(model, {METADATA_KEY: meta.to_json()})
    model.producer_name = METADATA_KEY
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def read_onnx(path: Path) -> tuple[onnx.ModelProto, ModelMeta]:
    """Read what ``write_onnx`` wrote."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EdgekitError(f"{path}: is no ONNX model or is damaged: {reason}", "export it again") from None
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    if text is None:
        raise EdgekitError(
            f"{path}: is an ONNX model but not edgekit's", "make one with: edgekit export MODEL -o OUT.onnx"
        )
    return model, ModelMeta.from_json(text, path)


def read_whole_onnx(path: Path) -> tuple[onnx.ModelProto, ModelMeta]:
    """Read an ONNX model that must not have its masks in graphs of their own."""
    model, meta = read_onnx(path)
    if meta.mask_files:
        raise EdgekitError(f"{path}: has its masks in graphs of their own", "export it again with --masks all")
    return model, meta


def proof_of(model: Path) -> Path:
    """Where the proof of an adapted model is."""
    return model.with_suffix(".retention.json")


def kind_of(path: Path) -> str:
    """``checkpoint``, ``onnx`` or ``engine``, by the file's suffix."""
    if path.suffix.lower() not in KINDS:
        raise EdgekitError(f"{path}: not a kind of model edgekit reads", f"give one of: {', '.join(KINDS)}")
    return KINDS[path.suffix.lower()]
