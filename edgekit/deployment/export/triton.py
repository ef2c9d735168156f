"""A model in a repository that Triton Inference Server serves: config.pbtxt, labels, the file itself."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from edgekit.artifacts.graph_shapes import dims_of
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.outputs import TEXT_MARK, check_outputs, made_here
from edgekit.artifacts.value_names import LABELS
from edgekit.errors import EdgekitError

# By suffix: Triton's platform and the name it expects the file to have.
PLATFORMS = {
    ".onnx": ("onnxruntime_onnx", "model.onnx"),
    ".engine": ("tensorrt_plan", "model.plan"),
}
TYPES: dict[int, str] = {
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.INT32: "TYPE_INT32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.FLOAT: "TYPE_FP32",
}
WRITTEN = {"config.pbtxt", "labels.txt", "1"}  # what a model's folder holds when it is written here


def fill_repository(folder: Path, model: Path, graph: Path) -> None:
    """Write config.pbtxt, labels.txt and 1/model.onnx or model.plan into ``folder``, which is named like the model.

    ``graph`` names the model's tensors, an engine's too. The batch is part of its static shapes, so Triton does not
    batch itself (``max_batch_size: 0``) and dims are whole shapes.
    """
    proto, meta = read_onnx(graph)
    platform, file = PLATFORMS[model.suffix.lower()]
    (folder / "1").mkdir()
    shutil.copyfile(model, folder / "1" / file)
    (folder / "labels.txt").write_text("".join(f"{c}\n" for c in meta.categories), encoding="utf-8")
    (folder / "config.pbtxt").write_text(_config(folder.name, platform, proto, graph), encoding="utf-8")


def check_repository(folder: Path, name: str, inputs: Iterable[Any], force: bool) -> Path:
    """Where a model ``name`` goes in a repository.

    Raises if that is not a name, if one of the ``inputs`` is there, or without ``force`` what edgekit did not make.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise EdgekitError(f"{name!r}: not a name for a model in Triton", "use letters, digits, _, - and .")
    target = folder / name
    check_outputs([target, *target.rglob("*")], inputs, force=True)
    ours = target.is_dir() and {p.name for p in target.iterdir()} <= WRITTEN and made_here(target / "config.pbtxt")
    if os.path.lexists(target) and not ours and not (force and target.is_dir()):
        remedy = "remove it, give another folder or name, or replace it with --force"
        raise EdgekitError(f"{target}: holds something else than what edgekit wrote", remedy)
    return target


def _config(name: str, platform: str, proto: onnx.ModelProto, path: Path) -> str:
    """Triton's model configuration, as protobuf text."""
    held = {t.name for t in proto.graph.initializer}
    inputs = [_tensor(v, path) for v in proto.graph.input if v.name not in held]
    labels = {LABELS: '    label_filename: "labels.txt"\n'}
    outputs = [_tensor(v, path, labels.get(v.name, "")) for v in proto.graph.output]
    head = f"# {TEXT_MARK}\nname: {json.dumps(name)}\nplatform: {json.dumps(platform)}\nmax_batch_size: 0\n"
    return f"{head}input [\n{_joined(inputs)}]\noutput [\n{_joined(outputs)}]\n"


def _joined(tensors: list[str]) -> str:
    return ",\n".join(tensors) + "\n"


def _tensor(value: onnx.ValueInfoProto, path: Path, more: str = "") -> str:
    """One input or output."""
    kind = value.type.tensor_type.elem_type
    dims = dims_of(value)
    if kind not in TYPES or not all(dims):
        raise EdgekitError(f"{path}: {value.name} has a type or shape that edgekit does not export", "export it again")
    return (
        f"  {{\n    name: {json.dumps(value.name)}\n    data_type: {TYPES[kind]}\n"
        f"    dims: [ {', '.join(map(str, dims))} ]\n{more}  }}"
    )
