"""Do the options of an export go together, and is there what they name? Asked before any long work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.artifacts import ModelMeta
from edgekit.data.images import INPUT_TYPES, list_images
from edgekit.deployment.precision.calibration import METHODS
from edgekit.deployment.precision.conversion import PRECISIONS
from edgekit.deployment.precision.quantise import TARGETS
from edgekit.deployment.tensorrt.options import Options, check_options
from edgekit.deployment.tensorrt.target import Target, choose_target
from edgekit.deployment.triton import check_repository
from edgekit.errors import EdgekitError

SUFFIXES = {"onnx": (".onnx", ".engine"), "torchvision": (".pth", ".pt", ".safetensors")}
# The options of the conversion that one to a precision looks at.
USED = {
    "fp32": (),
    "fp16": ("--calibration", "--keep"),
    "int8": ("--target", "--calibration", "--calibrator", "--keep"),
}


def check_form(format: str, output: Path, trt: str | None, input_type: str | None) -> None:
    """Raise for an unknown format or kind of input, and for an output whose name is not one of the format's."""
    if input_type not in (None, *INPUT_TYPES):
        raise EdgekitError(f"--input {input_type}: unknown", f"give one of: {', '.join(INPUT_TYPES)}")
    if format not in SUFFIXES:
        raise EdgekitError(f"--format {format}: unknown", f"give one of: {', '.join(SUFFIXES)}")
    if output.suffix.lower() not in SUFFIXES[format]:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(SUFFIXES[format])}")
    if output.suffix.lower() == ".engine" and not trt:
        raise EdgekitError(f"{output}: is an engine's name", "say its precision: --trt fp16")


def check_weights_only(others: Mapping[str, bool]) -> None:
    """Raise for ``others``, options of the graph, with a format that has none."""
    if given := [name for name, asked in others.items() if asked]:
        raise EdgekitError(
            f"--format torchvision: holds weights only, no {', '.join(given)}", "leave the graph's options"
        )


def check_precision(precision: str | None, trt: str | None, target: str, calibrator: str) -> None:
    """Raise for an unknown precision, recipe or method, and for two that differ."""
    known: dict[str, tuple[str | None, tuple[str, ...]]]
    known = {"--trt": (trt, PRECISIONS), "--precision": (precision, PRECISIONS)}
    known |= {"--target": (target, TARGETS), "--calibrator": (calibrator, METHODS)}
    for option, (value, names) in known.items():
        if value is not None and value not in names:
            raise EdgekitError(f"{option} {value}: unknown", f"give one of: {', '.join(names)}")
    if trt and precision not in (None, trt):
        raise EdgekitError(f"--trt {trt} --precision {precision}: differ", "an engine has its graph's precision")
    if trt == "int8" and target != "tensorrt":
        raise EdgekitError(f"--trt int8 --target {target}: differ", "leave --target")


def check_used(precision: str, options: Mapping[str, bool]) -> None:
    """Raise for ``options`` of the conversion that one to ``precision`` does not look at; fp32 is none."""
    unused = [name for name, asked in options.items() if asked and name not in USED[precision]]
    if unused:
        which = " or ".join(p for p in USED if set(unused) <= set(USED[p]))
        raise EdgekitError(f"{', '.join(unused)}: has no use here, as nothing is converted to {which}", "leave it")


def check_engine(
    trt: str | None, batch: int, triton: Path | None, builder: Mapping[str, Any], asked: Mapping[str, bool]
) -> Target | None:
    """What the engine will be built by and for, None if none is to be built; raises for what cannot be.

    ``builder`` are the options of ``tensorrt.build.build``, ``asked`` says by name which of them were given.
    """
    if trt is None:
        if given := [name for name, is_given in asked.items() if is_given]:
            raise EdgekitError(f"{', '.join(given)}: is about an engine", "give its precision: --trt fp16")
        return None
    check_one_canvas(batch)
    device = choose_target(builder["compute_capability"])
    names = ("workspace_mb", "refittable", "version_compatible", "hardware_compatible")
    check_options(Options(**{name: builder[name] for name in names}), device)
    if triton is not None and device.tensorrt.flavour == "rtx":
        raise EdgekitError(
            "--triton: Triton's TensorRT backend cannot load engines of TensorRT-RTX",
            "leave --trt: Triton's onnxruntime backend serves the graph; or build with TensorRT on the device",
        )
    return device


def check_one_canvas(batch: int) -> None:
    """Raise for an engine of several canvases a run."""
    if batch > 1:
        raise EdgekitError(f"--trt: an engine takes one canvas a run, not {batch}", "leave --batch")


def check_folders(verify: Path | None, triton: Path | None, name: str) -> None:
    """Raise if there are no photos in ``verify``, or if ``triton`` has no place for a model ``name``."""
    if verify is not None:
        list_images(verify)
    if triton is not None:
        check_repository(triton, name)


def check_into(into: Path, onnx_file: Path, others: Mapping[str, bool]) -> None:
    """Raise for ``others``, options that would change the graph ``into``, and for an output that takes its place."""
    if unfit := [name for name, asked in others.items() if asked]:
        raise EdgekitError("--into: takes the graph as it is", f"leave {', '.join(unfit)}")
    if into.resolve() == onnx_file.resolve():
        raise EdgekitError(
            f"{onnx_file}: would take the place of the graph with room",
            f"give another name: -o {onnx_file.with_stem(f'{onnx_file.stem}-filled').name}",
        )


def check_room(into: Path, trt: str | None, input_type: str | None, meta: ModelMeta) -> None:
    """Raise for another precision or kind of input than that of the graph ``into``, which ``meta`` describes."""
    if input_type not in (None, meta.input_type):
        raise EdgekitError(f"--into: {into} takes {meta.input_type} images", "leave --input")
    if trt not in (None, meta.precision):
        raise EdgekitError(f"--trt {trt}: {into} is {meta.precision}", f"give --trt {meta.precision}")


def check_place(onnx_file: Path, path: Path, precision: str, meta: ModelMeta) -> None:
    """Raise if another precision of the graph at ``path``, which ``meta`` describes, would take its place."""
    if onnx_file == path.absolute() and precision != meta.precision:
        raise EdgekitError(
            f"{onnx_file}: its graph would take the place of {path}",
            f"give another name: -o {onnx_file.with_stem(f'{onnx_file.stem}-{precision}').name}",
        )
