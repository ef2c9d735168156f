"""What a model file, a pack or a model's folder is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.graph_shapes import shapes_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, proof_of, resolve
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.pack_files import is_pack
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.model.hints import CheckpointHints
from edgekit.report.inspect_parts import PackInspection, inspect_pack, megabytes_of, parts_details
from edgekit.runtime.engine_file import read_engine
from edgekit.runtime.flavours import TITLES

PROVE_AGAIN = "copy model and proof again, run edgekit adapt again, or remove the proof"


@dataclass(frozen=True)
class Inspection:
    """A model's kind, size, metadata, and its tensors (checkpoint), nodes (ONNX), builder (engine) or packs (folder).

    ``sha256`` is the file's, or that of the base model's files in a folder. ``parameters`` is None where they are not
    told: for an engine or a folder.
    """

    artifact: Path
    kind: str
    megabytes: float
    sha256: str
    parameters: int | None
    meta: ModelMeta
    details: dict[str, Any]


def inspect(artifact: str | Path, hints: CheckpointHints = CheckpointHints()) -> Inspection | PackInspection:
    """Read a model file (or an embedded model's name), a pack or a model's folder without running it.

    ``hints`` describe a checkpoint that edgekit did not write.
    """
    path = resolve(artifact)
    if is_pack(path):
        return inspect_pack(path)
    kind = kind_of(path)
    if kind == "parts":
        manifest, meta, details = parts_details(path)
        size = megabytes_of(path, (name for name, _ in manifest.all_files))
        return Inspection(path, kind, size, manifest.base_sha256, None, meta, details)
    return _model_file(artifact, path, kind, hints)


def _model_file(artifact: str | Path, path: Path, kind: str, hints: CheckpointHints) -> Inspection:
    parameters: int | None = None
    if kind == "engine":
        engine, _ = read_engine(path)
        meta = engine.meta
        details: dict[str, Any] = {
            "built by": f"{TITLES[engine.flavour]} {engine.version}",
            "compute capability": ", ".join(engine.compute_capabilities),
            "inputs": {t.name: f"{t.dtype} {list(t.shape)}" for t in engine.tensors if t.is_input},
            "outputs": {t.name: f"{t.dtype} {list(t.shape)}" for t in engine.tensors if not t.is_input},
            "builder settings": dict(engine.settings),
            "from ONNX with SHA-256": engine.onnx_sha256,
        }
    elif kind == "onnx":
        graph, meta = read_onnx(path)
        parameters = sum(int(np.prod(t.dims)) for t in graph.graph.initializer)
        details = {
            "opset": next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")),
            "inputs": shapes_of(graph.graph.input),
            "outputs": shapes_of(graph.graph.output),
            "nodes": dict(sorted(Counter(n.op_type for n in graph.graph.node).items())),
        }
    else:
        from edgekit.model.checkpoint import read_checkpoint

        weights, meta = read_checkpoint(artifact, hints)
        parameters = sum(t.numel() for t in weights.tensors.values())
        details = {"tensors": len(weights.tensors), "dtypes": list(weights.dtypes)}
    digest = sha256(path)
    details |= _proven(path, digest)
    details |= {f"{what} recognised": how for what, how in meta.recognised.items()}
    return Inspection(path, kind, round(path.stat().st_size / 1e6, 3), digest, parameters, meta, details)


def _proven(path: Path, digest: str) -> dict[str, str]:
    """What the proof beside a model says of it; raises EdgekitError for the proof of a model that was here before.

    A checkpoint and a graph of one name would have one proof: it counts for the kind of file that it names.
    """
    file = proof_of(path)
    if not file.is_file():
        return {}
    try:
        proof = json.loads(file.read_text(encoding="utf-8"))
        other = proof["model_sha256"] != digest
        if other and not proof["model"].endswith(path.suffix):
            return {}
        kept = proof["retention"]
        found = f"{kept['changed']} of {kept['compared']} changed ({file.name})"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise EdgekitError(f"{file}: is damaged: {type(error).__name__}: {error}", PROVE_AGAIN) from None
    if other:
        raise EdgekitError(f"{file}: proves another model than {path} (other SHA-256)", PROVE_AGAIN)
    return {"old detections": found}
