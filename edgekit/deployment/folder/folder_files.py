"""The base model's files of a folder of a model in parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from edgekit.artifacts.manifest import MANIFEST, PREDICTORS, Manifest, write_manifest
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile
from edgekit.artifacts.safetensors_files import write_safetensors
from edgekit.deployment.edits.for_cpu import rewrite_parts_for_cpu
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.graphs.appending import check_appendable
from edgekit.graphs.parts import cut, save_sharing_weights, slots_of


def check_parts(file: OnnxFile) -> None:
    """Raise EdgekitError if an exported graph cannot be written in parts."""
    path, meta = file.path, file.meta
    if uses_winograd(file.graph):
        raise EdgekitError(
            f"{path}: is made for CPUs already", "give the graph it was made from, and --target cpu here"
        )
    if meta.precision != "fp32":
        raise EdgekitError(
            f"{path}: is {meta.precision} already, and a folder holds float32 predictors too",
            f"give the fp32 graph that it was made from, and --precision {meta.precision} here",
        )
    if len(meta.group_sizes) > 1:
        raise EdgekitError(f"{path}: has packs or generations built in", "give the base model's graph, and --pack")
    check_appendable(file)


def write_base(
    folder: Path,
    graph: onnx.ModelProto,
    meta: ModelMeta,
    predictors: Mapping[str, np.ndarray],
    overlaps: str,
    for_cpu: bool,
) -> Manifest:
    """Write a base model's graph in parts, and what adds classes to it; the manifest names no packs yet.

    ``meta`` describes the graph, and ``predictors`` are its predictors' weights in float32. ``for_cpu`` rewrites the
    parts for onnxruntime's CPU kernels, where that gains.
    """
    parts = cut(graph)
    if for_cpu:
        rewrite_parts_for_cpu(parts)
    save_sharing_weights(folder, parts)
    write_safetensors(folder / PREDICTORS, predictors, meta)
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
    manifest = Manifest(meta, files, slots_of(parts), overlaps=overlaps)
    write_manifest(folder / MANIFEST, manifest)
    return manifest
