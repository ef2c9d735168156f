"""A model as a repository that Triton Inference Server serves: config.pbtxt, labels, the file itself."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.graph_shapes import dims_of
from edgekit.artifacts.onnx_files import read_whole_onnx
from edgekit.artifacts.outputs import TEXT_MARK, check_outputs, made_here
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256, whole_folder
from edgekit.runtime.engine_file import describe_engine

if TYPE_CHECKING:
    import onnx

# By suffix: Triton's platform and the name it expects the file to have.
PLATFORMS = {
    ".onnx": ("onnxruntime_onnx", "model.onnx"),
    ".engine": ("tensorrt_plan", "model.plan"),
}
WRITTEN = {"config.pbtxt", "labels.txt", "1"}  # what a model's folder holds when it is written here


def write_repository(
    model: Path, folder: Path, name: str | None = None, graph: Path | None = None, force: bool = False
) -> Path:
    """Write ``folder``/NAME/{config.pbtxt, labels.txt, 1/model.onnx or model.plan} and return ``folder``/NAME.

    ``model`` is an edgekit ONNX file or an engine built from one; ``name`` is the file's stem by default. Names,
    shapes and types of an engine's tensors are those of the ONNX file it was built from: ``graph``, by default the
    one of its name beside it. The batch is part of the graph's static shapes, so Triton does not batch itself
    (``max_batch_size: 0``) and dims are whole shapes. A folder that an earlier call wrote is replaced at once; another
    only with ``force``.
    """
    if model.suffix.lower() not in PLATFORMS:
        raise EdgekitError(f"{model}: Triton serves none of this kind", "give an .onnx or .engine file")
    if not model.is_file():
        raise EdgekitError(f"{model}: no such file", "check the path")
    target = check_repository(folder, model.stem if name is None else name, [model, graph], force)
    described = _graph_of(model, graph)
    with whole_folder(target) as temporary:
        fill(temporary, model, described)
    return target


def fill(folder: Path, model: Path, graph: Path) -> None:
    """Write what Triton needs to know of a model, which ``graph`` describes, and its file into ``folder``."""
    proto, meta = read_whole_onnx(graph)
    platform, file = PLATFORMS[model.suffix.lower()]
    (folder / "1").mkdir()
    shutil.copyfile(model, folder / "1" / file)
    (folder / "labels.txt").write_text("".join(f"{c}\n" for c in meta.categories), encoding="utf-8")
    (folder / "config.pbtxt").write_text(_config(folder.name, platform, proto, graph), encoding="utf-8")


def check_repository(folder: Path, name: str, inputs: Iterable[Any], force: bool) -> Path:
    """Where a model ``name`` goes in a repository.

    Raises if that is no name, if one of the ``inputs`` is there, or without ``force`` what edgekit did not make.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise EdgekitError(f"{name!r}: no name for a model in Triton", "use letters, digits, _, - and .")
    target = folder / name
    check_outputs([target, *target.rglob("*")], inputs, force=True)
    ours = target.is_dir() and {p.name for p in target.iterdir()} <= WRITTEN and made_here(target / "config.pbtxt")
    if os.path.lexists(target) and not ours and not (force and target.is_dir()):
        remedy = "remove it, give another folder or name, or replace it with --force"
        raise EdgekitError(f"{target}: holds something else than what edgekit wrote", remedy)
    return target


def _graph_of(model: Path, graph: Path | None) -> Path:
    """The ONNX file that describes a model's tensors; raises for an engine that Triton cannot load."""
    if model.suffix.lower() == ".onnx":
        return model
    engine = describe_engine(model)
    if engine.flavour == "rtx":
        raise EdgekitError(
            f"{model}: is TensorRT-RTX's, which Triton's TensorRT backend cannot load",
            "give the graph it was built from",
        )
    graph = graph or model.with_suffix(".onnx")
    if not graph.is_file():
        raise EdgekitError(
            f"{model}: {graph} is missing, which names the engine's tensors", "keep the ONNX file beside its engine"
        )
    if engine.onnx_sha256 != sha256(graph):
        raise EdgekitError(f"{model}: was not built from {graph} (other SHA-256)", "export both again")
    return graph


def _config(name: str, platform: str, proto: onnx.ModelProto, path: Path) -> str:
    """Triton's model configuration, as protobuf text."""
    held = {t.name for t in proto.graph.initializer}
    inputs = [_tensor(v, path) for v in proto.graph.input if v.name not in held]
    labels = {"labels": '    label_filename: "labels.txt"\n'}
    outputs = [_tensor(v, path, labels.get(v.name, "")) for v in proto.graph.output]
    head = f"# {TEXT_MARK}\nname: {json.dumps(name)}\nplatform: {json.dumps(platform)}\nmax_batch_size: 0\n"
    return f"{head}input [\n{_joined(inputs)}]\noutput [\n{_joined(outputs)}]\n"


def _joined(tensors: list[str]) -> str:
    return ",\n".join(tensors) + "\n"


def _tensor(value: onnx.ValueInfoProto, path: Path, more: str = "") -> str:
    """One input or output."""
    from onnx import TensorProto

    types: dict[int, str] = {
        TensorProto.UINT8: "TYPE_UINT8",
        TensorProto.INT32: "TYPE_INT32",
        TensorProto.INT64: "TYPE_INT64",
        TensorProto.FLOAT16: "TYPE_FP16",
        TensorProto.FLOAT: "TYPE_FP32",
    }
    kind = value.type.tensor_type.elem_type
    dims = dims_of(value)
    if kind not in types or not all(dims):
        raise EdgekitError(f"{path}: {value.name} has a type or shape edgekit does not export", "export it again")
    return (
        f"  {{\n    name: {json.dumps(value.name)}\n    data_type: {types[kind]}\n"
        f"    dims: [ {', '.join(map(str, dims))} ]\n{more}  }}"
    )
