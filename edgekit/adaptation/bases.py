"""Models that classes can be added to: a checkpoint, or an ONNX file that edgekit exported, each read once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch

from edgekit.adaptation.features.frozen_trunk import OnnxTrunk, TorchTrunk, Trunk, TrunkFiles
from edgekit.adaptation.features.trunk_cache import exported_trunk
from edgekit.adaptation.learning.joint import merged_model
from edgekit.artifacts.input_sizes import choose_input_size
from edgekit.artifacts.manifest import BASE, BOX_HEAD, check_files, mask_head, read_manifest
from edgekit.artifacts.manifest import PREDICTORS as FOLDER_PREDICTORS
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import OnnxFile, open_onnx, write_onnx
from edgekit.artifacts.pack_files import SUFFIX as PACK
from edgekit.artifacts.pack_files import Pack, input_size_with, read_installed
from edgekit.artifacts.safetensors_files import read_safetensors, tensors_sha256
from edgekit.data.annotations.dataset import Photo
from edgekit.deployment.assembly.assembling import write_checkpoint_trunk
from edgekit.deployment.assembly.reading_back import heads_of, read_heads
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.deployment.folder.installing import with_packs_installed
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import append, check_appendable, with_packs_appended
from edgekit.model.checkpoint import build_model, fingerprint, read_checkpoint, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.packs import grown_fingerprint, tensors_of, with_packs
from edgekit.model.predictors import Generation, Predictors
from edgekit.model.sources import Weights
from edgekit.progress import Track
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.parts_session import PartsSession
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession

PREDICTORS = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")  # all other tensors are the trunk's
LATER = ("generations.", "model.predictors.added.", "pack.")  # how the names of later generations' weights begin
SHAPES = "numbers."  # how the names of a graph's shapes begin, which all generations share


class CheckpointBase:
    """A checkpoint of any kind that ``read_checkpoint`` reads, with packs."""

    suffix = ".safetensors"

    def __init__(
        self,
        path: Path,
        weights: Weights,
        meta: ModelMeta,
        size: tuple[int, int] | None = None,
        packs: Sequence[Pack] = (),
    ) -> None:
        self.path, self.weights, self.sha256, self.packs = path, weights, weights.sha256, packs
        module, meta = build_model(path, weights, meta, input_size_with(packs, meta, size))
        self.own_meta = replace(meta, fingerprint=fingerprint(weights.tensors, meta))
        module, self.meta = with_packs(module, self.own_meta, packs, path)
        self.module = module.requires_grad_(False)
        self.predictors, self.heads = module.predictors, module.heads
        self.trunk_sha256 = _trunk_sha256({name: t.cpu().numpy() for name, t in module.base.state_dict().items()})

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """The frozen trunk in "torch" or, exported to ``cache`` on first use, in onnxruntime: "onnx" or "tensorrt"."""
        size = self.meta.input_size
        if runtime == "torch":
            return TorchTrunk(self.module, size, self.trunk_sha256)
        write = partial(write_checkpoint_trunk, self.path, self.weights, self.own_meta)
        return exported_trunk(write, self.trunk_sha256, size, runtime, cache, track)

    def session(self) -> Session:
        """The module in PyTorch."""
        return TorchSession(self.module, self.meta)

    @property
    def has_default_size(self) -> bool:
        """Whether nobody has chosen the input size yet."""
        return not self.packs and self.meta.input_size == self.meta.settings.input_size

    def with_input_size(self, size: tuple[int, int]) -> CheckpointBase:
        """The same base with another input size."""
        return CheckpointBase(self.path, self.weights, self.own_meta, size)

    def with_pack(self, pack: Pack) -> CheckpointBase:
        """The same base with one more pack."""
        return CheckpointBase(self.path, self.weights, self.own_meta, packs=[*self.packs, pack])

    def save(self, output: Path, predictors: Predictors, generation: Generation, meta: ModelMeta) -> None:
        """Write a checkpoint with one more generation; in joint scoring of changed old ``predictors`` too, merged."""
        if meta.scoring == "exact":
            added = [*self.predictors.generations, generation]
            save_model(output, GenerationalRCNN(self.module.base, added, meta.parents), meta)
            return
        larger = Predictors(predictors.box_predictor, predictors.mask_predictor, [generation])
        save_model(output, GenerationalRCNN(merged_model(self.module.base, larger)), meta)


class OnnxBase:
    """An ONNX file that edgekit exported, with packs: its predictors are rebuilt from its weights, its trunk only runs
    in onnxruntime."""

    suffix = ".onnx"

    def __init__(self, file: OnnxFile, packs: Sequence[Pack] = ()) -> None:
        from onnx import numpy_helper

        check_appendable(file)
        self.own_file, self.sha256 = file, file.sha256
        self.file = with_packs_appended(file, packs)
        self.meta = self.file.meta
        module = read_heads(self.file)
        self.predictors, self.heads = module.predictors, module.heads
        kept = [t for t in file.graph.graph.initializer if not t.name.startswith(LATER)]
        weights = {t.name: numpy_helper.to_array(t) for t in kept}
        self.trunk_sha256 = _trunk_sha256({n: t for n, t in weights.items() if not n.startswith(SHAPES)})
        self.graph_sha256 = _trunk_sha256(weights)  # also of how many proposals there are

    def trunk(self, runtime: str, cache: Path, track: Track) -> Trunk:
        """The graph's own nodes."""
        if runtime == "torch":
            raise EdgekitError(f"{self.file.path}: an ONNX file's trunk cannot run in PyTorch", "omit --trunk")
        write = partial(write_trunk, self.own_file.graph)
        return exported_trunk(write, self.graph_sha256, self.meta.input_size, runtime, cache, track)

    def session(self) -> Session:
        """The graph in onnxruntime, as it was read, with its packs."""
        return OnnxSession(self.file)

    def with_pack(self, pack: Pack) -> OnnxBase:
        """The same base with one more pack."""
        return OnnxBase(self.file, [pack])

    def save(self, output: Path, _predictors: Predictors, generation: Generation, meta: ModelMeta) -> None:
        """Write the graph with the generation's nodes appended; an exported graph has exact scoring built in."""
        graph = onnx.ModelProto()
        graph.CopyFrom(self.file.graph)
        meta = replace(meta, fingerprint=grown_fingerprint(meta.fingerprint, generation))
        append(graph, meta, [tensors_of(generation, first_mask_layer(self.predictors))], output)
        if uses_winograd(graph):
            rewrite_for_cpu(graph)  # the new mask branch too
        write_onnx(output, graph, meta)


class PartsBase:
    """A model in parts with the packs in its folder: its trunk is the one that is deployed, in any precision.

    ``packs`` are used too, but not installed.
    """

    suffix = PACK

    def __init__(self, folder: Path, packs: Sequence[Pack] = ()) -> None:
        self.folder, self.added, manifest = folder, tuple(packs), read_manifest(folder)
        check_files(folder, manifest)
        self.manifest, own = manifest, manifest.meta
        tensors, _ = read_safetensors(folder / FOLDER_PREDICTORS)
        installed = read_installed(folder, manifest)  # what fits was decided when they were installed
        module, meta = with_packs(heads_of(tensors, [], own), own, installed, folder, force=True)
        module, self.meta = with_packs(module, meta, packs, folder)
        self.predictors, self.heads = module.predictors, module.heads
        self.sha256 = self.trunk_sha256 = manifest.base_sha256

    def trunk(self, runtime: str, _cache: Path, _track: Track) -> Trunk:
        """The deployed trunk, in onnxruntime."""
        if runtime == "torch":
            raise EdgekitError(f"{self.folder}: its trunk cannot run in PyTorch", "omit --trunk")
        mask = self.folder / mask_head(max(self.manifest.slots)) if self.manifest.slots else None
        body, box_head = self.folder / BASE, self.folder / BOX_HEAD
        files = TrunkFiles(body, box_head, mask, self.sha256, self.meta.input_size, self.meta.input_type)
        return OnnxTrunk(files, "tensorrt" if runtime == "tensorrt" else "")

    def session(self) -> Session:
        """The folder's graphs in onnxruntime, in a copy of the folder if there are packs to install for that."""
        if not self.added:
            return PartsSession(self.folder)
        with TemporaryDirectory() as temporary:
            copy = Path(temporary) / self.folder.name
            shutil.copytree(self.folder, copy, copy_function=_link)
            with_packs_installed(copy, self.manifest, self.added)
            return PartsSession(copy)

    def with_pack(self, pack: Pack) -> PartsBase:
        """The same base with one more pack."""
        return PartsBase(self.folder, [*self.added, pack])


Adaptable = CheckpointBase | OnnxBase | PartsBase  # what was written is read back as one, too


def open_base(
    base: str | Path,
    packs: Sequence[Pack] = (),
    hints: CheckpointHints = CheckpointHints(),
    size: tuple[int, int] | None = None,
) -> Adaptable:
    """Read a model, with packs, to add classes to; ``hints`` and ``size``, of ``load_model``, are for checkpoints."""
    path = resolve(base)
    kind = kind_of(path)
    if kind == "checkpoint":
        return CheckpointBase(path, *read_checkpoint(base, hints), size, packs)
    hints.refuse(path)
    if size:
        raise EdgekitError(f"{path}: has its input size built in", "omit --size")
    if kind == "parts":
        return PartsBase(path, packs)
    return OnnxBase(open_onnx(path), packs)


def suited_base(base: Adaptable, photos: Sequence[Photo]) -> Adaptable:
    """The base with the input size that suits the photos, where it can have any and nobody has chosen one."""
    if not isinstance(base, CheckpointBase) or not base.has_default_size:
        return base
    choice = choose_input_size(base.meta.settings, [(photo.height, photo.width) for photo in photos])
    return base if choice.size == choice.default else base.with_input_size(choice.size)


def first_mask_layer(predictors: Predictors) -> dict[str, torch.Tensor]:
    """The tensors of the base model's first mask layer; none of a Faster R-CNN."""
    return dict(predictors.mask_predictor.conv5_mask.state_dict()) if predictors.mask_predictor is not None else {}


def _trunk_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    kept = {n: t for n, t in tensors.items() if not n.startswith("edgekit.") and not any(p in n for p in PREDICTORS)}
    return tensors_sha256(kept)


def _link(source: str, target: str) -> None:
    """Have ``target`` be the same file where one file system holds both, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
