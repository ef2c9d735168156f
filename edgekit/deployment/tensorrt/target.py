"""What an engine is built by and for: which TensorRT, on which GPU or ahead of time for which compute capabilities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.runtime.flavours import TensorRT, load
from edgekit.runtime.gpu import Gpu, NoGpu, first_gpu

NEED_RTX = "ahead of time engines are compiled by TensorRT-RTX only"


@dataclass(frozen=True)
class Target:
    """The builder, the GPU it can use (None: ahead of time), and the compute capabilities to build for."""

    tensorrt: TensorRT
    gpu: Gpu | None
    compute_capabilities: tuple[str, ...]


def choose_target(compute_capability: Sequence[str] = (), gpu: Gpu | NoGpu | None = None) -> Target:
    """Find the TensorRT that can build for these compute capabilities, or for this machine's GPU if none are given.

    Raises EdgekitError that says what is missing: TensorRT, a GPU, or the right version.
    """
    for capability in compute_capability:
        if not re.fullmatch(r"\d{1,2}\.\d", capability):
            raise EdgekitError(f"--compute-capability {capability}: is not a number such as 8.6", "give e.g. 8.6")
    gpu = first_gpu() if gpu is None else gpu
    here = gpu if isinstance(gpu, Gpu) else None
    if compute_capability and (here is None or set(compute_capability) != {here.compute_capability}):
        return ahead_of_time(compute_capability, here)
    if here is None:
        assert isinstance(gpu, NoGpu)
        raise EdgekitError(
            f"an engine is built for a GPU, and none was named: {gpu.reason}",
            f"give --compute-capability 8.6 to compile ahead of time with TensorRT-RTX; or {gpu.remedy}",
        )
    return Target(any_tensorrt(here), here, (here.compute_capability,))


def ahead_of_time(capabilities: Sequence[str], gpu: Gpu | None) -> Target:
    """TensorRT-RTX, if it compiles for all of these compute capabilities."""
    wanted = ", ".join(capabilities)
    try:
        rtx = load("rtx")
    except EdgekitError as error:
        raise EdgekitError(f"--compute-capability {wanted}: {NEED_RTX}, and {error.message}", error.hint) from None
    known = compilable(rtx.module)
    if not known:
        raise EdgekitError(f"{rtx.title} cannot compile for another GPU", "pip install -U tensorrt-rtx-cu13")
    if missing := [c for c in capabilities if c not in known]:
        raise EdgekitError(
            f"--compute-capability {missing[0]}: {rtx.title} compiles for {', '.join(known)}",
            "build the engine on the device itself, as every Jetson's (8.7)",
        )
    return Target(rtx, gpu, tuple(dict.fromkeys(capabilities)))


def compilable(trt: Any) -> tuple[str, ...]:
    """The compute capabilities that a TensorRT compiles for without such a GPU, lowest first."""
    if not hasattr(trt, "ComputeCapability") or not hasattr(trt.IBuilderConfig, "set_compute_capability"):
        return ()
    numbers = [int(name[2:]) for name in dir(trt.ComputeCapability) if re.fullmatch(r"SM\d+", name)]
    return tuple(f"{n // 10}.{n % 10}" for n in sorted(numbers))


def any_tensorrt(gpu: Gpu) -> TensorRT:
    """TensorRT, or else TensorRT-RTX where it knows the GPU."""
    try:
        return load("tensorrt")
    except EdgekitError as error:
        try:
            rtx = load("rtx")
        except EdgekitError:
            raise error from None
        if gpu.compute_capability not in compilable(rtx.module):
            raise EdgekitError(
                f"{error.message}, and {rtx.title} does not run on compute capability {gpu.compute_capability}",
                error.hint,
            ) from None
        return rtx
