"""The options of an export, and the checks that they go together, which come before any long work."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import BASE, LOCK, MANIFEST, read_manifest
from edgekit.artifacts.metadata import OVERLAPS
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.outputs import check_outputs
from edgekit.data.images import INPUT_TYPES, list_images
from edgekit.deployment.edits.int32_labels import LABEL_TYPES
from edgekit.deployment.export.triton import check_repository
from edgekit.deployment.precision.calibration import table_of
from edgekit.deployment.precision.calibration_sets import read_set
from edgekit.deployment.precision.conversion import PRECISIONS, Conversion
from edgekit.deployment.precision.quantise import TARGETS
from edgekit.deployment.tensorrt.build_options import EngineOptions, check_options
from edgekit.deployment.tensorrt.target import Target, choose_target
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.engine_file import SUFFIX, sidecar_of

SUFFIXES = {"onnx": (".onnx", SUFFIX), "torchvision": (".pth", ".pt", ".safetensors")}
# The options that a conversion to a precision looks at; that of a checkpoint to fp32 is for a target.
USED = {
    "none": (),
    "fp32": ("--target",),
    "fp16": ("--calibration", "--keep"),
    "int8": ("--target", "--calibration", "--keep"),
}


@dataclass(frozen=True)
class ExportRequest:
    """The parameters of ``export``."""

    model: str | Path
    output: Path
    format: str
    hints: CheckpointHints
    shape: GraphShape
    images: Path | None
    conversion: Conversion
    engine: EngineOptions
    input: str | None
    labels: str | None
    packs: tuple[Path, ...]
    triton: Path | None
    verify: Path | bool
    force: bool

    @property
    def in_parts(self) -> bool:
        """Whether the output is a folder of a model in parts."""
        return self.format == "onnx" and not self.output.suffix

    @property
    def onnx_file(self) -> Path:
        """The graph's file; an engine lies beside its graph."""
        return self.output / BASE if self.in_parts else self.output.with_suffix(".onnx")

    @property
    def engine_file(self) -> Path:
        """The engine's file, if one is asked for."""
        return self.output.with_suffix(SUFFIX)

    @cached_property
    def path(self) -> Path:
        """The model's file; torchvision's weights are downloaded first."""
        return resolve(self.model)

    @property
    def photos(self) -> Path | None:
        """The user's folder of photos to compare on."""
        return self.verify if isinstance(self.verify, Path) else None

    @property
    def repository(self) -> Path | None:
        """The model's folder in the Triton repository."""
        return self.triton / self.onnx_file.stem if self.triton is not None else None

    @property
    def precision(self) -> str | None:
        """The precision to convert to; an engine has its graph's."""
        return self.conversion.precision or self.engine.trt

    @property
    def inputs(self) -> list[Any]:
        """All that is read."""
        folders = [self.images, self.conversion.calibration, self.photos]
        return [self.model, *self.packs, *self.hints.files, *folders]

    @cached_property
    def engine_only(self) -> bool:
        """Whether the model is the graph that the engine lies beside: it is not written again."""
        model, graph = Path(self.model), self.onnx_file
        is_graph = model.suffix.lower() == ".onnx" and model.exists() and graph.exists()
        return self.engine.trt is not None and is_graph and model.samefile(graph)

    @cached_property
    def outputs(self) -> list[Path]:
        """The files to write, in the order in which they take their places, without those of masks."""
        graph = [] if self.engine_only else [self.onnx_file]
        engine = [self.engine_file, sidecar_of(self.engine_file)] if self.engine.trt else []
        calibration = self.conversion.calibration
        given = calibration is not None and calibration.is_file() and read_set(calibration) is None  # a finished table
        table = [table_of(self.onnx_file)] if self.precision == "int8" and graph and not given else []
        return [*table, *engine, *graph]


def check_request(request: ExportRequest) -> Target | None:
    """Return what an engine will be built by and for, None without one; raise for what cannot be asked."""
    _check_names(request)
    if request.format == "torchvision":
        _check_weights_only(request)
        check_outputs([request.output], request.inputs, request.force)
        return None
    if request.images is not None and request.shape.size is not None:
        raise EdgekitError("--images --size: both say what the input's size is", "omit one")
    _check_precision(request)
    device = _check_engine(request)
    if request.photos is not None:
        list_images(request.photos)
    if request.triton is not None:
        check_repository(request.triton, request.onnx_file.stem, request.inputs, request.force)
    if request.in_parts:
        _check_folder(request)
    check_outputs([request.output] if request.in_parts else request.outputs, request.inputs, request.force)
    return device


def given(*records: CheckpointHints | GraphShape | Conversion | EngineOptions, **values: Any) -> list[str]:
    """The options that are not at their defaults, as the command line names them."""
    names = [f.name for record in records for f in fields(record) if getattr(record, f.name) != f.default]
    names += [name for name, value in values.items() if value not in (None, False)]
    return [f"--{name.replace('_', '-')}" for name in names]


def check_used(precision: str, conversion: Conversion) -> None:
    """Raise for options that a conversion to ``precision`` ("none": there is none) does not look at."""
    unused = [name for name in given(replace(conversion, precision=None)) if name not in USED[precision]]
    if unused:
        which = " or ".join(p for p in USED if set(unused) <= set(USED[p]))
        raise EdgekitError(f"{', '.join(unused)}: has no use here, as nothing is converted to {which}", "omit it")


def check_one_canvas(batch: int) -> None:
    """Raise for an engine of several canvases per run."""
    if batch > 1:
        raise EdgekitError(f"--trt: an engine takes one image per run, not {batch}", "omit --batch")


def _check_names(request: ExportRequest) -> None:
    """Raise for a name that is not one of those an option knows, and for an output that is not of the format."""
    engine, conversion = request.engine, request.conversion
    known: dict[str, tuple[str | None, tuple[str, ...]]] = {
        "--format": (request.format, tuple(SUFFIXES)),
        "--overlaps": (request.shape.overlaps, OVERLAPS),
        "--input": (request.input, INPUT_TYPES),
        "--labels": (request.labels, LABEL_TYPES),
        "--trt": (engine.trt, PRECISIONS),
        "--precision": (conversion.precision, PRECISIONS),
        "--target": (conversion.target, TARGETS),
    }
    for option, (value, names) in known.items():
        if value is not None and value not in names:
            raise EdgekitError(f"{option} {value}: unknown", f"give one of: {', '.join(names)}")
    output, suffixes = request.output, SUFFIXES[request.format]
    if not request.in_parts and output.suffix.lower() not in suffixes:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(suffixes)}")
    if output.suffix.lower() == SUFFIX and not engine.trt:
        raise EdgekitError(f"{output}: is an engine's name", "give its precision, e.g. --trt fp16")


def _check_weights_only(request: ExportRequest) -> None:
    """Raise for options of a graph, which a state dict has not."""
    files = {"images": request.images, "triton": request.triton, "verify": request.photos}
    types = {"input": request.input, "labels": request.labels}
    if options := given(request.shape, request.conversion, request.engine, **files, **types):
        raise EdgekitError(f"--format torchvision: holds weights only, no {', '.join(options)}", "omit these options")


def _check_precision(request: ExportRequest) -> None:
    """Raise for a precision and a target that differ, and for options that they do not look at."""
    trt, conversion = request.engine.trt, request.conversion
    if trt and conversion.precision not in (None, trt):
        message = f"--trt {trt} --precision {conversion.precision}: differ"
        raise EdgekitError(message, "an engine has its graph's precision: omit --precision")
    if trt and conversion.target != "tensorrt":
        raise EdgekitError(f"--trt {trt} --target {conversion.target}: differ", "omit --target")
    check_used(request.precision or "fp32", conversion)


def _check_folder(request: ExportRequest) -> None:
    """Raise for options that do not go with a model in parts, and for a folder that must not be replaced."""
    output, wide = request.output, request.shape.batch > 1
    if others := given(batch=wide, triton=request.triton):
        raise EdgekitError(
            f"{output}: a folder does not go with {', '.join(others)}", f"omit it, or write a file: {output}.onnx"
        )
    check_outputs([output, *output.rglob("*")], request.inputs, force=True)  # the folder is exchanged as a whole
    if not output.is_dir():
        return
    own = {LOCK}
    with contextlib.suppress(EdgekitError):  # of a damaged manifest nothing is known to be a model's
        own |= {MANIFEST, *(name for name, _ in read_manifest(output).all_files)}
    if any(p.is_file() and str(p.relative_to(output)) not in own for p in output.rglob("*")):
        raise EdgekitError(f"{output}: holds files that are not a model's", "give another name, or move them away")


def _check_engine(request: ExportRequest) -> Target | None:
    """Return what the engine will be built by and for; raise for what that does not know."""
    if request.engine.trt is None:
        if options := given(request.engine):
            raise EdgekitError(f"{', '.join(options)}: is about an engine", "give its precision, e.g. --trt fp16")
        return None
    check_one_canvas(request.shape.batch)
    device = choose_target(request.engine.compute_capability)
    check_options(request.engine, device)
    if request.triton is not None and device.tensorrt.flavour == "rtx":
        raise EdgekitError(
            "--triton: Triton's TensorRT backend cannot load engines of TensorRT-RTX",
            "omit --trt: Triton's onnxruntime backend serves the graph; or build with TensorRT on the device",
        )
    return device
