"""What this machine is, what edgekit can do on it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.deployment.tensorrt.target import choose_target, compilable
from edgekit.errors import EdgekitError
from edgekit.measurement.machine.packages import Packages, installed_packages
from edgekit.measurement.machine.pairs import Facts, Finding, findings
from edgekit.measurement.machine.providers import Provider, probe_providers
from edgekit.measurement.machine.system import System, read_system
from edgekit.runtime.flavours import load
from edgekit.runtime.gpu import Gpu, NoGpu, first_gpu


@dataclass(frozen=True)
class Ability:
    """Something edgekit does: on what it runs here, or why it does not."""

    task: str
    can: bool
    how: str


@dataclass(frozen=True)
class Diagnosis:
    """What ``edgekit doctor`` found; ``healthy`` is False if something edgekit needs is broken."""

    system: System
    packages: Packages
    gpu: Gpu | NoGpu
    tensorrt: Mapping[str, str]  # version by flavour, or why it does not load
    providers: tuple[Provider, ...]
    abilities: tuple[Ability, ...]
    findings: tuple[Finding, ...]
    healthy: bool


def doctor() -> Diagnosis:
    """Look at this machine: hardware, drivers, libraries and Python packages, and at what does not fit together.

    Nothing is changed. torch is not imported; onnxruntime's providers run a tiny graph each in processes of their own.
    """
    versions, loaded = {}, None
    providers = probe_providers()
    for flavour in ("tensorrt", "rtx"):
        try:
            versions[flavour] = load(flavour).version
            loaded = loaded or (versions[flavour] if flavour == "tensorrt" else None)
        except EdgekitError as error:
            versions[flavour] = f"not here: {error.message}"
    facts = Facts(read_system(Path("/")), installed_packages(), providers, first_gpu(), loaded)
    return diagnose(facts, versions)


def diagnose(facts: Facts, tensorrt: Mapping[str, str]) -> Diagnosis:
    """What the facts mean."""
    found = findings(facts)
    return Diagnosis(
        system=facts.system,
        packages=facts.packages,
        gpu=facts.gpu,
        tensorrt=tensorrt,
        providers=tuple(facts.providers),
        abilities=abilities(facts),
        findings=found,
        healthy=not any(f.broken for f in found),
    )


def trt_route(gpu: Gpu | NoGpu) -> tuple[bool, str]:
    """Whether ``edgekit export --trt`` builds an engine here, and by which TensorRT for which GPU, or why not."""
    try:
        target = choose_target(gpu=gpu)
        return True, f"{target.tensorrt.title} for this GPU, compute capability {target.compute_capabilities[0]}"
    except EdgekitError as error:
        here = error
    try:
        rtx = load("rtx")
    except EdgekitError:
        return False, str(here)
    if not (known := compilable(rtx.module)):
        return False, str(here)
    return True, f"{rtx.title} ahead of time, with --compute-capability {', '.join(known)}; no engine runs here"


def abilities(facts: Facts) -> tuple[Ability, ...]:
    """What edgekit does here and on what."""
    versions = facts.packages.versions
    missing = [name for name in ("torch", "torchvision") if name not in versions]
    device = "CUDA" if isinstance(facts.gpu, Gpu) and facts.packages.torch_cuda else "the CPU"
    torch = (
        not missing,
        f"PyTorch {versions['torch']} on {device}" if not missing else f"needs {' and '.join(missing)}",
    )
    exporting = missing + [name for name in ("onnx", "onnxscript") if name not in versions]
    running = [p.name.removesuffix("ExecutionProvider") for p in facts.providers if p.runs]
    # edgekit asks onnxruntime for CUDA, then for the CPU.
    used = next((name for name in ("CUDA", "CPU") if name in running), None)
    return (
        Ability("adapt a model", *torch),
        Ability("run checkpoints", *torch),
        Ability("export to ONNX", not exporting, "on the CPU" if not exporting else f"needs {' and '.join(exporting)}"),
        Ability("run ONNX", used is not None, f"onnxruntime on {used}" if used else "no provider of onnxruntime runs"),
        Ability("build engines (export --trt)", *trt_route(facts.gpu)),
        _run_engines(facts),
        _read_video(versions),
        _telemetry(facts),
    )


def _run_engines(facts: Facts) -> Ability:
    task = "run engines"
    if isinstance(facts.gpu, NoGpu):
        return Ability(task, False, facts.gpu.reason)
    if not {"cuda-python", "cuda-bindings"} & set(facts.packages.versions):
        return Ability(task, False, "needs cuda-python")
    try:
        target = choose_target(gpu=facts.gpu)
    except EdgekitError as error:
        return Ability(task, False, error.message)
    return Ability(task, True, f"{target.tensorrt.title} on {facts.gpu.name}")


def _read_video(versions: Mapping[str, str]) -> Ability:
    name = next((n for n in versions if n.startswith("opencv")), None)
    how = f"{name} {versions[name]}" if name else "needs pip install 'edgekit[video]'"
    return Ability("read video and cameras", name is not None, how)


def _telemetry(facts: Facts) -> Ability:
    versions = facts.packages.versions
    sources = [name for name in ("jetson-stats", "nvidia-ml-py", "psutil") if name in versions]
    wanted = "jetson-stats" if facts.system.jetson else "psutil"
    how = ", ".join(f"{n} {versions[n]}" for n in sources)
    missing = "" if wanted in sources else f"{'; ' if how else ''}{wanted} is not installed"
    return Ability("measure power and clocks", bool(sources), how + missing)
