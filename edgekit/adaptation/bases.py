"""What can be adapted: a checkpoint (PyTorch) or nothing but edgekit's own ONNX export of one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Protocol

from torchvision.models.detection.roi_heads import RoIHeads

from edgekit.adaptation.features.frozen_trunk import MASK_ROIS, PROPOSALS, TorchTrunk, Trunk, trunk_sha256
from edgekit.adaptation.features.trunk_cache import TRUNK_ROIS, exported_trunk
from edgekit.adaptation.learning.joint import merge
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import read_whole_onnx
from edgekit.deployment.assembly.appending import append_generation, check_appendable
from edgekit.deployment.assembly.reading_back import extract_trunk, read_heads
from edgekit.deployment.assembly.trunk_files import export_trunk
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation, Predictors
from edgekit.progress import Track
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession


class Base(Protocol):
    """A model to add classes to."""

    meta: ModelMeta
    predictors: Predictors
    heads: RoIHeads
    suffix: str  # of the adapted model's file
    trunk_sha256: str

    def check(self, scoring: str) -> None:
        """Raise if no classes can be added to it in this scoring."""

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """The frozen trunk in "torch" or, exported to ``cache`` on first use, in onnxruntime: "onnx" or "tensorrt"."""

    def session(self) -> Session:
        """The model, ready to run."""

    def save_exact(self, output: Path, generation: Generation, meta: ModelMeta) -> str:
        """Write the model with one more generation and return the SHA-256 of the written file's trunk."""

    def save_joint(self, output: Path, predictors: Predictors, meta: ModelMeta) -> str:
        """Write the model with all rows of ``predictors`` in one softmax; return the written trunk's SHA-256."""


class CheckpointBase:
    """A checkpoint of any kind that ``load_model`` reads."""

    suffix = ".safetensors"

    def __init__(self, module: GenerationalRCNN, meta: ModelMeta) -> None:
        self.module, self.meta = module.requires_grad_(False), meta
        self.predictors, self.heads = module.predictors, module.heads
        self.trunk_sha256 = _trunk_of(module)

    def check(self, scoring: str) -> None:
        """See ``Base``: they can, in any."""

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """See ``Base``."""
        size = self.meta.input_size
        if runtime == "torch":
            return TorchTrunk(self.module, size, self.trunk_sha256)

        def make(folder: Path, winograd: bool) -> None:
            for _ in track(range(1), "exporting the frozen trunk"):
                export_trunk(self.module, size, folder, PROPOSALS, TRUNK_ROIS, MASK_ROIS, for_cpu=winograd)

        return exported_trunk(self, runtime, cache, export_trunk, make)

    def session(self) -> Session:
        """See ``Base``."""
        return TorchSession(self.module, self.meta)

    def save_exact(self, output: Path, generation: Generation, meta: ModelMeta) -> str:
        """See ``Base``."""
        save_model(output, GenerationalRCNN(self.module.base, [*self.predictors.generations, generation]), meta)
        return _trunk_of(load_model(output)[0])

    def save_joint(self, output: Path, predictors: Predictors, meta: ModelMeta) -> str:
        """See ``Base``."""
        merged = merge(predictors)
        base = copy.deepcopy(self.module.base)
        base.roi_heads.box_predictor = merged.box_predictor
        if merged.mask_predictor is not None:
            base.roi_heads.mask_predictor = merged.mask_predictor
        save_model(output, GenerationalRCNN(base), meta)
        return _trunk_of(load_model(output)[0])


class OnnxBase:
    """An ONNX file that edgekit exported: its heads are rebuilt from its weights, its body only runs in onnxruntime."""

    suffix = ".onnx"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.module, self.meta = read_heads(path)
        self.predictors, self.heads = self.module.predictors, self.module.heads
        self.trunk_sha256 = _onnx_trunk_sha256(path)

    def check(self, scoring: str) -> None:
        """See ``Base``: an exported graph has the exact scoring built in."""
        check_appendable(self.meta, self.path)
        if scoring != "exact":
            raise EdgekitError(
                f"{self.path}: joint scoring needs the checkpoint", "give the .safetensors it was exported from"
            )

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """See ``Base``."""
        if runtime == "torch":
            raise EdgekitError(f"{self.path}: an ONNX file's trunk cannot run in PyTorch", "leave --trunk at onnx")

        def make(folder: Path, winograd: bool) -> None:
            for _ in track(range(1), "cutting out the frozen trunk"):
                extract_trunk(self.path, folder, TRUNK_ROIS, MASK_ROIS, for_cpu=winograd)

        return exported_trunk(self, runtime, cache, extract_trunk, make)

    def session(self) -> Session:
        """See ``Base``."""
        return OnnxSession(self.path)

    def save_exact(self, output: Path, generation: Generation, meta: ModelMeta) -> str:
        """See ``Base``."""
        append_generation(self.path, output, generation, meta)
        return _onnx_trunk_sha256(output)

    def save_joint(self, output: Path, predictors: Predictors, meta: ModelMeta) -> str:
        """See ``Base``: ``check`` refuses it."""
        raise NotImplementedError


def open_base(
    base: str | Path,
    base_classes: Path | None = None,
    architecture: str | None = None,
    size: tuple[int, int] | None = None,
) -> Base:
    """Open a base model; the options are those of ``load_model`` and only for checkpoints."""
    path = resolve(base)
    if kind_of(path) != "onnx":
        loaded = load_model(base, hints=CheckpointHints(base_classes, architecture), size=size)
        return CheckpointBase(*loaded)
    if base_classes or architecture or size:
        raise EdgekitError(f"{path}: says itself what it is", "leave --base-classes, --architecture and --size")
    return OnnxBase(path)


def _trunk_of(module: GenerationalRCNN) -> str:
    return trunk_sha256({name: tensor.cpu().numpy() for name, tensor in module.base.state_dict().items()})


def _onnx_trunk_sha256(path: Path) -> str:
    """Of all constants of an exported graph but the predictors' and the later generations'."""
    from onnx import numpy_helper

    graph, _ = read_whole_onnx(path)
    later = ("generations.", "model.predictors.added.")
    kept = [t for t in graph.graph.initializer if not t.name.startswith(later)]
    return trunk_sha256({t.name: numpy_helper.to_array(t) for t in kept})
