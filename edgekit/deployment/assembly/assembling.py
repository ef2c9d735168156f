"""A checkpoint's graph, put together: the base model's is exported once and kept, generations are appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.input_sizes import check_size
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.pack_files import Pack, Parent, combined, input_size_with, ordered
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.assembly.graph_cache import cached_graph
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.files.code_digest import entry_key
from edgekit.graphs.appending import append
from edgekit.model.checkpoint import (
    base_sha256,
    build_model,
    fingerprint,
    mask_layer_in,
    read_checkpoint,
    split_generations,
)
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.packs import tensors_of
from edgekit.model.sources import Weights
from edgekit.progress import Track, silent


def assemble(
    model: str | Path,
    shape: GraphShape,
    hints: CheckpointHints = CheckpointHints(),
    packs: Sequence[Pack] = (),
    track: Track = silent,
) -> tuple[onnx.ModelProto, ModelMeta]:
    """The static graph of a checkpoint with packs for one image per run, and what the model is."""
    weights, meta = read_checkpoint(model, hints)
    path, shape = resolve(model), replace(shape, size=check_size(input_size_with(packs, meta, shape.size)))
    meta = replace(meta, input_size=shape.input_size, fingerprint=fingerprint(weights.tensors, meta))
    graph = base_graph(path, weights, meta, shape, track)
    grown = combined(meta, packs, path)
    base, built_in = split_generations(weights.tensors, meta.group_sizes)
    added = [tensors_of(generation, mask_layer_in(base)) for generation in built_in]
    append(graph, grown, [*added, *(pack.tensors for pack in ordered(packs, meta.packs))], path)
    return graph, grown


def assemble_base(
    model: str | Path,
    shape: GraphShape,
    hints: CheckpointHints = CheckpointHints(),
    later: Sequence[Pack] = (),
    track: Track = silent,
) -> tuple[onnx.ModelProto, ModelMeta, list[Pack]]:
    """The static graph of a checkpoint's base model, what that is, and the generations built into it as packs.

    The graph suits the packs ``later``, which are to be used with it.
    """
    weights, meta = read_checkpoint(model, hints)
    path, shape = resolve(model), replace(shape, size=check_size(input_size_with(later, meta, shape.size)))
    meta = replace(meta.as_base(), input_size=shape.input_size)
    base, built_in = split_generations(weights.tensors, meta.group_sizes)
    alone = replace(meta, generations=meta.generations[:1], parents=(), fingerprint=base_sha256(base, meta))
    packs: list[Pack] = []
    for number, generation in enumerate(built_in, start=1):
        parents = tuple(Parent(packs[p - 1].name, packs[p - 1].sha256) for p in meta.parents_of(number))
        tensors = tensors_of(generation, mask_layer_in(base))
        pack = Pack(
            name=f"generation-{number}",
            classes=meta.generations[number],
            base=alone.fingerprint,
            tensors=tensors,
            input_size=alone.input_size,
            refines=meta.refined_by(number),
            architecture=meta.architecture,
            parents=parents,
        )
        packs.append(pack)
    return base_graph(path, weights, meta, shape, track), alone, packs


def base_graph(
    path: Path, weights: Weights, meta: ModelMeta, shape: GraphShape, track: Track = silent
) -> onnx.ModelProto:
    """The static graph of a checkpoint's base model alone, for one image per run.

    It comes from the cache if it was ever exported at this shape; then nothing is exported and no module is made.
    """

    def build() -> onnx.ModelProto:
        for _ in track(range(1), "building the base model's graph"):
            module, _ = build_model(path, weights, meta)
            graph = to_onnx(GenerationalRCNN(module.base), shape)
        return graph

    base, _ = split_generations(weights.tensors, meta.group_sizes)
    return cached_graph("graphs", entry_key(base_graph, [base_sha256(base, meta), asdict(shape)]), build)


def write_checkpoint_trunk(
    path: Path, weights: Weights, meta: ModelMeta, folder: Path, rois: int, mask_rois: int, for_cpu: bool
) -> None:
    """Write the trunk of a checkpoint, at the input size of ``meta``, as ``write_trunk``."""
    write_trunk(base_graph(path, weights, meta, GraphShape(meta.input_size)), folder, rois, mask_rois, for_cpu)
