"""The options of an export: what they are about, whether they go together, and is there what they name?

All that can be checked is checked before any long work.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.artifacts import ModelMeta, resolve
from edgekit.data.images import INPUT_TYPES, list_images
from edgekit.deployment.mask_files import MASKS
from edgekit.deployment.precision.conversion import PRECISIONS
from edgekit.deployment.precision.quantise import TARGETS
from edgekit.deployment.tensorrt.options import Options, check_options
from edgekit.deployment.tensorrt.target import Target, choose_target
from edgekit.deployment.triton import check_repository
from edgekit.errors import EdgekitError

SUFFIXES = {"onnx": (".onnx", ".engine"), "torchvision": (".pth", ".pt", ".safetensors")}
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
    reserve_classes: int = 0


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
    refittable: bool = False
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
    masks: str
    given_precision: str | None
    trt: str | None
    into: Path | None
    triton: Path | None
    verify: Path | None
    no_verify: bool

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
        files = {"into": self.into, "triton": self.triton, "verify": self.verify}
        given = [*self.shaping.given(), *self.converting.given(), *self.building.given()]
        given += named(**forms, **files, input=self.input)
        if given:
            raise EdgekitError(
                f"--format torchvision: holds weights only, no {', '.join(given)}", "leave the graph's options"
            )

    def check(self) -> Target | None:
        """What an engine will be built by and for, None if none is asked for; raises for what cannot be."""
        self._check_precision()
        if self.into is not None:
            self._check_into(self.into)
        check_used(self.precision or "fp32", self.converting)
        self._check_masks()
        device = self._check_engine()
        if self.verify is not None:
            list_images(self.verify)
        if self.triton is not None:
            check_repository(self.triton, self.onnx_file.stem)
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

    def _check_into(self, into: Path) -> None:
        """Raise for options that would change the graph ``into``, and for an output that takes its place."""
        unfit = [*self.reading.given(), *self.shaping.given(), *self.converting.given()]
        unfit += ["--precision"] if self.given_precision not in (None, self.trt) else []
        if unfit:
            raise EdgekitError("--into: takes the graph as it is", f"leave {', '.join(unfit)}")
        if into.resolve() == self.onnx_file.resolve():
            other = self.onnx_file.with_stem(f"{self.onnx_file.stem}-filled").name
            raise EdgekitError(
                f"{self.onnx_file}: would take the place of the graph with room", f"give another name: -o {other}"
            )

    def _check_masks(self) -> None:
        """Raise for an unknown choice of masks and for one that does not go with other options."""
        if self.masks not in MASKS:
            raise EdgekitError(f"--masks {self.masks}: unknown", f"give one of: {', '.join(MASKS)}")
        room = {"reserve_classes": self.shaping.reserve_classes, "into": self.into}
        others = named(batch=self.shaping.batch > 1, trt=self.trt, triton=self.triton, **room)
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
        allowed = (asked.refittable, asked.version_compatible, asked.hardware_compatible)
        check_options(Options(asked.workspace_mb, *allowed), device)
        if self.triton is not None and device.tensorrt.flavour == "rtx":
            raise EdgekitError(
                "--triton: Triton's TensorRT backend cannot load engines of TensorRT-RTX",
                "leave --trt: Triton's onnxruntime backend serves the graph; or build with TensorRT on the device",
            )
        return device

    def check_room(self, meta: ModelMeta) -> None:
        """Raise for another precision or kind of input than that of the graph ``into``, which ``meta`` describes."""
        if self.input not in (None, meta.input_type):
            raise EdgekitError(f"--into: {self.into} takes {meta.input_type} images", "leave --input")
        if self.trt not in (None, meta.precision):
            raise EdgekitError(f"--trt {self.trt}: {self.into} is {meta.precision}", f"give --trt {meta.precision}")

    def check_place(self, meta: ModelMeta) -> None:
        """Raise if another precision of the graph at ``path``, which ``meta`` describes, would take its place."""
        precision = self.precision or meta.precision
        if self.onnx_file == self.path.absolute() and precision != meta.precision:
            other = self.onnx_file.with_stem(f"{self.onnx_file.stem}-{precision}").name
            raise EdgekitError(
                f"{self.onnx_file}: its graph would take the place of {self.path}", f"give another name: -o {other}"
            )


def named(**options: Any) -> list[str]:
    """The options that say something, as the command line names them."""
    return [_option(name) for name, value in options.items() if value not in (None, False, 0)]


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
