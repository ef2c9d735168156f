"""TensorRT engines on disk: the engine's own bytes, and beside them a JSON file that says what they are."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.files.whole_files import place, staging, writing
from edgekit.runtime.flavours import TITLES

SUFFIX = ".engine"
FORMAT = "edgekit engine 1"  # of the sidecar
AGAIN = "build it again: edgekit export MODEL -o OUT.onnx --trt fp16"
OLDEST_COMPATIBLE = "8.0"  # hardware-compatible engines run on Ampere and newer


@dataclass(frozen=True)
class Tensor:
    """An engine's input or output; ``dtype`` is numpy's name of it."""

    name: str
    is_input: bool
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Its size in memory."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Engine:
    """What an engine is: the model in it, what built it and for what, and the sha256 of its bytes and of its ONNX.

    ``compute_capabilities`` are those it was built for ("8.6"), ``gpu`` the GPU it was built on, if any;
    ``settings`` is what the builder was told.
    """

    path: Path
    meta: ModelMeta
    flavour: str
    version: str
    compute_capabilities: tuple[str, ...]
    gpu: str | None
    sha256: str
    onnx_sha256: str
    tensors: tuple[Tensor, ...]
    settings: Mapping[str, Any]
    seconds: float
    megabytes: float


def sidecar_of(path: Path) -> Path:
    """Where an engine's description is."""
    return path.with_name(path.name + ".json")


def write_engine(engine: Engine, data: Any) -> None:
    """Write an engine's bytes to ``engine.path`` and its description beside it, or leave what is there."""
    values = {"format": FORMAT, **asdict(engine)}
    del values["path"]
    with staging(engine.path.parent) as folder, writing(engine.path):
        made = folder / engine.path.name
        with made.open("wb") as file:
            file.write(data)
        sidecar_of(made).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        # The engine lands first: whatever interrupts, no sidecar vouches for bytes that are not there.
        place(made, engine.path)
        place(sidecar_of(made), sidecar_of(engine.path))


def read_engine(path: Path) -> tuple[Engine, bytes]:
    """An engine's description and bytes; raises EdgekitError if the description is not of these very bytes.

    An engine is executable content, so nothing may load one that did not come through here.
    """
    engine = describe_engine(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgekitError(f"{path}: cannot be read: {error.strerror or error}", "check its permissions") from None
    if hashlib.sha256(data).hexdigest() != engine.sha256:
        raise EdgekitError(
            f"{path}: is not the engine that {sidecar_of(path).name} describes (other SHA-256); it was not loaded",
            f"copy both files again, or {AGAIN}",
        )
    return engine, data


def describe_engine(path: Path) -> Engine:
    """Parse the JSON beside an engine; the engine itself is not read."""
    from packaging.version import Version

    sidecar = sidecar_of(path)
    try:
        values = json.loads(read_text(sidecar))
        if values.pop("format") != FORMAT:
            raise EdgekitError(f"{sidecar}: was written by another version of edgekit", AGAIN)
        values["meta"] = ModelMeta.from_json(json.dumps(values["meta"]), sidecar)
        values["compute_capabilities"] = tuple(str(c) for c in values["compute_capabilities"])
        tensors = (Tensor(**{**t, "shape": tuple(int(n) for n in t["shape"])}) for t in values["tensors"])
        engine = Engine(**{**values, "path": path, "tensors": tuple(tensors)})
        Version(engine.version)
        if engine.flavour not in TITLES:
            raise ValueError(f"its flavour is {engine.flavour!r}, not one of {', '.join(TITLES)}")
        if not all(re.fullmatch(r"\d+\.\d+", c) for c in engine.compute_capabilities):
            raise ValueError(f"its compute capabilities are {', '.join(engine.compute_capabilities)}")
        if not isinstance(engine.settings, Mapping):
            raise ValueError("its settings are not an object")
    except FileNotFoundError:
        raise EdgekitError(
            f"{path}: {sidecar.name} is not beside it, so nothing says what this engine is",
            f"copy it along; trtexec --loadEngine runs engines that edgekit did not build; or {AGAIN}",
        ) from None
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise EdgekitError(f"{sidecar}: is damaged: {error}", f"copy both files again, or {AGAIN}") from None
    return engine


def check_runs_on(engine: Engine, version: str, compute_capability: str) -> None:
    """Raise EdgekitError if this version of the engine's flavour, or this GPU, cannot run it."""
    from packaging.version import Version

    here, built = Version(version), Version(engine.version)
    compatible = bool(engine.settings.get("version_compatible")) and here.major == built.major and here >= built
    if here != built and not compatible:
        raise EdgekitError(
            f"{engine.path}: was built by TensorRT {engine.version}; here is {version}, which cannot load it", AGAIN
        )
    if compute_capability in engine.compute_capabilities:
        return
    if engine.settings.get("hardware_compatible") and Version(compute_capability) >= Version(OLDEST_COMPATIBLE):
        return
    built_for = ", ".join(engine.compute_capabilities)
    raise EdgekitError(
        f"{engine.path}: was built for compute capability {built_for}; this GPU has {compute_capability}",
        f"build it here, or with --compute-capability {compute_capability}",
    )
