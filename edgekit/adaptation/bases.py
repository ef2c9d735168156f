"""Models that classes can be added to: a checkpoint, or an ONNX file that edgekit exported, each read once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from edgekit.adaptation.features.frozen_trunk import PROPOSALS, TorchTrunk, Trunk
from edgekit.adaptation.features.trunk_cache import exported_trunk
from edgekit.adaptation.learning.joint import merged_model
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import OnnxFile, open_onnx
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.deployment.assembly.appending import append_generation, check_appendable
from edgekit.deployment.assembly.assembling import prepare_export
from edgekit.deployment.assembly.reading_back import extract_trunk, read_heads
from edgekit.deployment.assembly.trunk_files import export_trunk
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import build_model, read_checkpoint, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation, Predictors
from edgekit.model.sources import Weights
from edgekit.progress import Track
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession

PREDICTORS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")  # all other tensors are the trunk's
LATER = ("generations.", "model.predictors.added.")  # how the names of later generations' weights begin in a graph


class CheckpointBase:
    """A checkpoint of any kind that ``read_checkpoint`` reads."""

    suffix = ".safetensors"

    def __init__(self, path: Path, weights: Weights, meta: ModelMeta, size: tuple[int, int] | None = None) -> None:
        self.weights, self.sha256 = weights, weights.sha256
        module, self.meta = build_model(path, weights, meta, size)
        self.module = module.requires_grad_(False)
        self.predictors, self.heads = module.predictors, module.heads
        self.trunk_sha256 = _trunk_sha256({name: t.cpu().numpy() for name, t in module.base.state_dict().items()})

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """The frozen trunk in "torch" or, exported to ``cache`` on first use, in onnxruntime: "onnx" or "tensorrt"."""
        size = self.meta.input_size
        if runtime == "torch":
            return TorchTrunk(self.module, size, self.trunk_sha256)
        write = partial(export_trunk, self.module, size, proposals=PROPOSALS)
        return exported_trunk(write, self.trunk_sha256, size, runtime, cache, track)

    def session(self) -> Session:
        """The module in PyTorch."""
        return TorchSession(self.module, self.meta)

    def save(self, output: Path, predictors: Predictors, generation: Generation, meta: ModelMeta) -> None:
        """Write a checkpoint with one more generation; in joint scoring of changed old ``predictors`` too, merged."""
        if meta.scoring == "exact":
            added = [*self.predictors.generations, generation]
            save_model(output, GenerationalRCNN(self.module.base, added), meta)
            return
        larger = Predictors(predictors.box_predictor, predictors.mask_predictor, [generation])
        save_model(output, GenerationalRCNN(merged_model(self.module.base, larger)), meta)

    def prepare_export(self, path: Path, track: Track) -> None:
        """Build what the newest generation adds to the base model's graph, if that is in the cache; the checkpoint lies
        at ``path`` now."""
        if self.meta.scoring == "exact":
            prepare_export(path, self.weights, self.meta, track)


class OnnxBase:
    """An ONNX file that edgekit exported: its heads are rebuilt from its weights, its body only runs in onnxruntime."""

    suffix = ".onnx"

    def __init__(self, file: OnnxFile) -> None:
        from onnx import numpy_helper

        check_appendable(file.meta, file.path)
        module = read_heads(file)
        self.file, self.sha256, self.meta = file, file.sha256, file.meta
        self.predictors, self.heads = module.predictors, module.heads
        kept = [t for t in file.graph.graph.initializer if not t.name.startswith(LATER)]
        self.trunk_sha256 = _trunk_sha256({t.name: numpy_helper.to_array(t) for t in kept})

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """The graph's own nodes up to the feature table and the proposals, and heads exported from its weights."""
        if runtime == "torch":
            raise EdgekitError(f"{self.file.path}: an ONNX file's trunk cannot run in PyTorch", "omit --trunk")
        write = partial(extract_trunk, self.file)
        return exported_trunk(write, self.trunk_sha256, self.meta.input_size, runtime, cache, track)

    def session(self) -> Session:
        """The graph in onnxruntime, as it was read."""
        return OnnxSession(self.file)

    def save(self, output: Path, _predictors: Predictors, generation: Generation, meta: ModelMeta) -> None:
        """Write the graph with the generation's nodes appended; an exported graph has exact scoring built in."""
        append_generation(self.file, output, generation, meta)

    def prepare_export(self, _path: Path, _track: Track) -> None:
        """Nothing is to be prepared: it is an export."""


Adaptable = CheckpointBase | OnnxBase  # what was written is read back as one, too


def open_base(
    base: str | Path, hints: CheckpointHints = CheckpointHints(), size: tuple[int, int] | None = None
) -> Adaptable:
    """Read a model to add classes to; ``hints`` and ``size``, of ``load_model``, are only for checkpoints."""
    path = resolve(base)
    if kind_of(path) != "onnx":
        return CheckpointBase(path, *read_checkpoint(base, hints), size)
    hints.refuse(path)
    if size:
        raise EdgekitError(f"{path}: has its input size built in", "omit --size")
    return OnnxBase(open_onnx(path))


def _trunk_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    kept = {n: t for n, t in tensors.items() if not n.startswith("edgekit.") and not any(p in n for p in PREDICTORS)}
    return tensors_sha256(kept)
