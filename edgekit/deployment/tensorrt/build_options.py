"""The options of a build, and how the builder is told them: flags, targets, workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.deployment.tensorrt.target import Target
from edgekit.errors import EdgekitError

LEAST_WORKSPACE_MB = 64
# Of the free memory, what the builder may use as scratch. On a Jetson the weights and this process share it.
SHARE, SHARED_SHARE = 0.8, 0.5


@dataclass(frozen=True)
class EngineOptions:
    """Whether and how a TensorRT engine is built."""

    trt: str | None = None  # precision of the graph that it is built from; None: no engine
    compute_capability: tuple[str, ...] = ()  # compile ahead of time for these, e.g. "8.6"; (): this machine's GPU
    workspace_mb: int | None = None  # of 1e6 bytes: bounds the builder's scratch memory; None: what is free
    timing_cache: Path | None = None  # folder of timings that later builds reuse
    version_compatible: bool = False  # later TensorRT releases load it
    hardware_compatible: bool = False  # Ampere and newer GPUs run it


def check_options(options: EngineOptions, target: Target) -> None:
    """Raise EdgekitError for an option that this TensorRT, or this machine, does not have."""
    trt, title = target.tensorrt.module, target.tensorrt.title
    rtx = target.tensorrt.flavour == "rtx"
    if options.workspace_mb is not None and options.workspace_mb < LEAST_WORKSPACE_MB:
        raise EdgekitError(
            f"--workspace-mb {options.workspace_mb}: too small for any builder", f"give {LEAST_WORKSPACE_MB} MB or more"
        )
    if options.version_compatible and (rtx or not hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE")):
        raise EdgekitError(
            f"--version-compatible: {title} has no such engines", "omit it, and build again after an update"
        )
    if options.hardware_compatible:
        levels = getattr(trt, "HardwareCompatibilityLevel", None)
        if rtx or not hasattr(levels, "AMPERE_PLUS"):
            raise EdgekitError(
                f"--hardware-compatible: {title} has no such engines",
                "name every GPU's --compute-capability instead" if rtx else "omit it, and build on each device",
            )
        if float(target.compute_capabilities[0]) < 8.0:
            raise EdgekitError(
                f"--hardware-compatible: is for Ampere (8.0) and newer, this GPU has {target.compute_capabilities[0]}",
                "omit it",
            )


def workspace_for(options: EngineOptions, target: Target) -> int | None:
    """Scratch memory to allow the builder, in MB; None leaves it at the builder's own, as ahead of time."""
    if options.workspace_mb is not None:
        return options.workspace_mb
    if target.gpu is None:
        return None
    share = SHARED_SHARE if target.gpu.integrated else SHARE
    return max(LEAST_WORKSPACE_MB, int(share * target.gpu.free_mb))


def configure(config: Any, options: EngineOptions, target: Target) -> dict[str, Any]:
    """Tell a builder's config the options; returns what an engine's description records of them."""
    trt = target.tensorrt.module
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if target.tensorrt.flavour == "rtx":
        _aim(config, trt, target.compute_capabilities)
    return {
        "strongly_typed": True,
        "tf32": bool(config.get_flag(trt.BuilderFlag.TF32)) if hasattr(trt.BuilderFlag, "TF32") else False,
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "ahead_of_time": target.gpu is None or target.gpu.compute_capability not in target.compute_capabilities,
    }


def set_workspace(config: Any, trt: Any, workspace_mb: int) -> None:
    """Limit the builder's scratch memory."""
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb * 1_000_000)


def _aim(config: Any, trt: Any, capabilities: tuple[str, ...]) -> None:
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name), index):
            raise RuntimeError(f"TensorRT-RTX refuses {name}")
