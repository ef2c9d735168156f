"""The options of an export: what they are about, whether they go together, and is there what they name?

All that can be checked is checked before any long work.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.outputs import check_outputs
from edgekit.data.images import INPUT_TYPES, list_images
from edgekit.deployment.assembly.mask_files import MASKS
from edgekit.deployment.edits.int32_labels import LABEL_TYPES
from edgekit.deployment.export.triton import check_repository
from edgekit.deployment.precision.calibration import table_of
from edgekit.deployment.precision.calibration_sets import read_set
from edgekit.deployment.precision.conversion import PRECISIONS
from edgekit.deployment.precision.quantise import TARGETS
from edgekit.deployment.tensorrt.build_options import Options, check_options
from edgekit.deployment.tensorrt.target import Target, choose_target
from edgekit.errors import EdgekitError
from edgekit.runtime.engine_file import SUFFIX, sidecar_of

SUFFIXES = {"onnx": (".onnx", SUFFIX), "torchvision": (".pth", ".pt", ".safetensors")}
# The options of the conversion that one to a precision looks at; that of a checkpoint to fp32 shapes it for a target.
USED = {
    "none": (),
    "fp32": ("--target",),
    "fp16": ("--calibration", "--keep"),
    "int8": ("--target", "--calibration", "--keep"),
}


@dataclass(frozen=True)
class _Group:
    """Options about one thing, by the names and with the defaults of ``export``'s parameters."""

    def given(self) -> list[str]:
        """Those that are not at their defaults, as the command line names them."""
        return [_option(f.name) for f in fields(self) if getattr(self, f.name) != f.default]


@dataclass(frozen=True)
class Reading(_Group):
    """What of a checkpoint is taken, and what it does not say of itself."""

    generations: int | None = None
    base_classes: Path | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class Shaping(_Group):
    """The graph's form, which a finished graph has already."""

    size: tuple[int, int] | None = None
    batch: int = 1
    proposals: int | None = None
    detections: int | None = None
    best_only: bool = False


@dataclass(frozen=True)
class Converting(_Group):
    """How a precision is reached."""

    target: str = "tensorrt"
    calibration: Path | None = None
    keep: tuple[str, ...] = ("auto",)


@dataclass(frozen=True)
class Building(_Group):
    """How an engine is built."""

    compute_capability: tuple[str, ...] = ()
    workspace_mb: int | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False


@dataclass(frozen=True)
class Request:
    """All that was asked of an export of ``model`` to the graph ``onnx_file``."""

    model: str | Path
    onnx_file: Path
    reading: Reading
    shaping: Shaping
    converting: Converting
    building: Building
    input: str | None
    labels: str | None
    masks: str
    given_precision: str | None
    trt: str | None
    triton: Path | None
    verify: Path | None
    no_verify: bool
    force: bool

    @property
    def inputs(self) -> list[Any]:
        """All that is read."""
        return [self.model, self.reading.base_classes, self.converting.calibration, self.verify]

    @cached_property
    def outputs(self) -> list[Path]:
        """All files to write, in the order in which they are to take their places, but those of masks."""
        engine, calibration = self.onnx_file.with_suffix(SUFFIX), self.converting.calibration
        given = calibration is not None and calibration.is_file() and read_set(calibration) is None  # a finished table
        table = [table_of(self.onnx_file)] if self.precision == "int8" and not given else []
        return [*table, *((engine, sidecar_of(engine)) if self.trt else ()), self.onnx_file]

    @cached_property
    def path(self) -> Path:
        """The model's file; torchvision's weights are downloaded first."""
        return resolve(self.model)

    @property
    def precision(self) -> str | None:
        """The precision to convert to; an engine has its graph's."""
        return self.given_precision or self.trt

    @property
    def kept(self) -> tuple[str, ...]:
        """What stays in float32: names of blocks, "auto", or nothing."""
        return () if self.converting.keep == ("none",) else self.converting.keep

    def check_weights_only(self) -> None:
        """Raise for options of the graph, for a format that has none."""
        forms = {"masks": self.masks != "all", "precision": self.given_precision, "trt": self.trt}
        files = {"triton": self.triton, "verify": self.verify}
        given = [*self.shaping.given(), *self.converting.given(), *self.building.given()]
        given += named(**forms, **files, input=self.input, labels=self.labels)
        if given:
            raise EdgekitError(
                f"--format torchvision: holds weights only, no {', '.join(given)}", "leave the graph's options"
            )

    def check(self) -> Target | None:
        """What an engine will be built by and for, None if none is asked for; raises for what cannot be."""
        self._check_precision()
        check_used(self.precision or "fp32", self.converting)
        self._check_masks()
        device = self._check_engine()
        if self.verify is not None:
            list_images(self.verify)
        if self.triton is not None:
            check_repository(self.triton, self.onnx_file.stem, self.inputs, self.force)
        check_outputs(self.outputs, self.inputs, self.force)
        return device

    def _check_precision(self) -> None:
        """Raise for an unknown precision or recipe, and for two that differ."""
        trt, precision, target = self.trt, self.given_precision, self.converting.target
        known: dict[str, tuple[str | None, tuple[str, ...]]]
        known = {"--trt": (trt, PRECISIONS), "--precision": (precision, PRECISIONS)}
        known |= {"--target": (target, TARGETS)}
        for option, (value, names) in known.items():
            if value is not None and value not in names:
                raise EdgekitError(f"{option} {value}: unknown", f"give one of: {', '.join(names)}")
        if trt and precision not in (None, trt):
            raise EdgekitError(f"--trt {trt} --precision {precision}: differ", "an engine has its graph's precision")
        if trt and target != "tensorrt":
            raise EdgekitError(f"--trt {trt} --target {target}: differ", "leave --target")

    def _check_masks(self) -> None:
        """Raise for an unknown choice of masks and for one that does not go with other options."""
        if self.masks not in MASKS:
            raise EdgekitError(f"--masks {self.masks}: unknown", f"give one of: {', '.join(MASKS)}")
        others = named(batch=self.shaping.batch > 1, trt=self.trt, triton=self.triton, labels=self.labels == "int32")
        if self.masks == "found" and others:
            raise EdgekitError(f"--masks found: does not go with {', '.join(others)}", "leave one of them")

    def _check_engine(self) -> Target | None:
        """See ``check``."""
        if self.trt is None:
            if given := self.building.given():
                raise EdgekitError(f"{', '.join(given)}: is about an engine", "give its precision: --trt fp16")
            return None
        check_one_canvas(self.shaping.batch)
        asked = self.building
        device = choose_target(asked.compute_capability)
        check_options(Options(asked.workspace_mb, asked.version_compatible, asked.hardware_compatible), device)
        if self.triton is not None and device.tensorrt.flavour == "rtx":
            raise EdgekitError(
                "--triton: Triton's TensorRT backend cannot load engines of TensorRT-RTX",
                "leave --trt: Triton's onnxruntime backend serves the graph; or build with TensorRT on the device",
            )
        return device


def named(**options: Any) -> list[str]:
    """The options that say something, as the command line names them."""
    return [_option(name) for name, value in options.items() if value not in (None, False, 0)]


def check_form(format: str, output: Path, trt: str | None, input_type: str | None, label_type: str | None) -> None:
    """Raise for an unknown format or type, and for an output whose name is not one of the format's."""
    if input_type not in (None, *INPUT_TYPES):
        raise EdgekitError(f"--input {input_type}: unknown", f"give one of: {', '.join(INPUT_TYPES)}")
    if label_type not in (None, *LABEL_TYPES):
        raise EdgekitError(f"--labels {label_type}: unknown", f"give one of: {', '.join(LABEL_TYPES)}")
    if format not in SUFFIXES:
        raise EdgekitError(f"--format {format}: unknown", f"give one of: {', '.join(SUFFIXES)}")
    if output.suffix.lower() not in SUFFIXES[format]:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(SUFFIXES[format])}")
    if output.suffix.lower() == SUFFIX and not trt:
        raise EdgekitError(f"{output}: is an engine's name", "say its precision: --trt fp16")


def check_used(precision: str, converting: Converting) -> None:
    """Raise for options of the conversion that one to ``precision`` ("none": there is none) does not look at."""
    unused = [name for name in converting.given() if name not in USED[precision]]
    if unused:
        which = " or ".join(p for p in USED if set(unused) <= set(USED[p]))
        raise EdgekitError(f"{', '.join(unused)}: has no use here, as nothing is converted to {which}", "leave it")


def check_one_canvas(batch: int) -> None:
    """Raise for an engine of several canvases a run."""
    if batch > 1:
        raise EdgekitError(f"--trt: an engine takes one canvas a run, not {batch}", "leave --batch")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
