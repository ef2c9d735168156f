"""The engines of a model in parts: one for each of its graphs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.manifest import BOX_HEAD, CHOOSE, MANIFEST, Manifest, engine_of, write_manifest
from edgekit.artifacts.metadata import ModelMeta
from edgekit.deployment.tensorrt.build import build_part
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.files.whole_files import sha256
from edgekit.progress import Track
from edgekit.runtime.engine_file import sidecar_of


def options_of(values: Mapping[str, Any]) -> EngineOptions:
    """How the engines of a folder are built, as its manifest has it."""
    return EngineOptions(**{**values, "compute_capability": tuple(values["compute_capability"]), "timing_cache": None})


def build_engines(
    folder: Path, graphs: Iterable[str], meta: ModelMeta, options: EngineOptions, track: Track
) -> list[str]:
    """Build the engines of a folder's graphs beside these; returns the names of the files made."""
    made = []
    for graph in graphs:
        name = engine_of(graph)
        build_part(folder / graph, folder / name, meta, options, track)
        made += [name, str(sidecar_of(Path(name)))]
    return made


def with_engines(folder: Path, manifest: Manifest, options: EngineOptions, track: Track) -> Manifest:
    """Build the engines of a folder that has no packs yet; the manifest with them, which is written too."""
    graphs = [name for name in manifest.files if name.endswith(".onnx") and name not in (CHOOSE, BOX_HEAD)]
    made = build_engines(folder, graphs, manifest.meta, options, track)
    files = {**manifest.files, **{name: sha256(folder / name) for name in made}}
    grown = replace(manifest, files=files, engine=asdict(replace(options, timing_cache=None)))
    write_manifest(folder / MANIFEST, grown)
    return grown
