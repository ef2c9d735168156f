"""Versions on one machine that are known not to work together, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit.measurement.machine.packages import Packages, release_of
from edgekit.measurement.machine.providers import Provider
from edgekit.measurement.machine.system import System
from edgekit.runtime.gpu import Gpu, NoGpu

PYTHONS = {"6": "3.10", "7": "3.12"}  # JetPack's own Python, the only one its TensorRT bindings import in
INDEXES = {"6": "https://pypi.jetson-ai-lab.io/jp6/cu126", "7": "https://pypi.jetson-ai-lab.io/sbsa/cu130"}
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")


@dataclass(frozen=True)
class Finding:
    """Something wrong: ``broken`` if edgekit cannot do its work because of it, else a warning."""

    problem: str
    remedy: str
    broken: bool = False


@dataclass(frozen=True)
class Facts:
    """What the checks look at. ``tensorrt_module`` is the version that imports in this Python, None if none does."""

    system: System
    packages: Packages
    providers: Sequence[Provider]
    gpu: Gpu | NoGpu
    tensorrt_module: str | None = None

    @property
    def has_gpu(self) -> bool:
        """Whether there is a GPU, usable or not."""
        return isinstance(self.gpu, Gpu) or bool(self.system.gpus) or self.system.jetson is not None

    @property
    def series(self) -> str:
        """JetPack's major version, told by its CUDA in a container that does not see L4T; "" where there is none."""
        jetson = self.system.jetson
        if jetson is None:
            return ""
        return jetson.jetpack.split(".")[0] if jetson.jetpack else {12: "6", 13: "7"}.get(self.cuda_major or 0, "")

    @property
    def cuda_major(self) -> int | None:
        """The CUDA that the system has."""
        return int(self.system.cuda.split(".")[0]) if self.system.cuda else None


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Every known-bad pair among the facts, what stops edgekit first."""
    checks = (_driver, _onnxruntime, _providers, _cuda_builds, _torch, _tensorrt, _jetpack, _opencv)
    return tuple(sorted((f for check in checks for f in check(facts)), key=lambda f: not f.broken))


def _driver(facts: Facts) -> Iterator[Finding]:
    if not isinstance(facts.gpu, NoGpu):
        return
    if facts.has_gpu:
        yield Finding(f"there is an NVIDIA GPU that cannot be used: {facts.gpu.reason}", facts.gpu.remedy, broken=True)
    elif facts.gpu.broken:
        yield Finding(facts.gpu.reason, facts.gpu.remedy, broken=True)


def _onnxruntime(facts: Facts) -> Iterator[Finding]:
    versions = facts.packages.versions
    package = _gpu_package(facts)
    if {"onnxruntime", "onnxruntime-gpu"} <= set(versions):
        yield Finding(
            f"onnxruntime {versions['onnxruntime']} and onnxruntime-gpu {versions['onnxruntime-gpu']} are both "
            "installed and overwrite each other's files",
            f"pip uninstall -y onnxruntime onnxruntime-gpu, then {package}",
            broken=facts.has_gpu,
        )
    elif "onnxruntime" in versions and facts.has_gpu:
        runs_cuda = any(p.name == "CUDAExecutionProvider" and p.runs for p in facts.providers)
        if not runs_cuda:
            yield Finding(
                f"onnxruntime {versions['onnxruntime']} has no CUDA provider: .onnx models run on the CPU",
                f"pip uninstall -y onnxruntime, then {package}; or use engines",
            )


def _gpu_package(facts: Facts) -> str:
    index = INDEXES.get(facts.series)
    return f"pip install onnxruntime-gpu --index-url {index}" if index else "pip install onnxruntime-gpu"


def _providers(facts: Facts) -> Iterator[Finding]:
    reasons = {p.name.removesuffix("ExecutionProvider"): p.reason for p in facts.providers if not p.runs}
    packaged = [p.name.removesuffix("ExecutionProvider") for p in facts.providers if p.packaged]
    if "CPU" in reasons:
        # The onnxruntime that is there: the other one beside it would overwrite its files.
        has_gpu_build = "onnxruntime-gpu" in facts.packages.versions
        install = _gpu_package(facts) if has_gpu_build else "pip install onnxruntime"
        yield Finding(
            f"onnxruntime does not run even on the CPU: {reasons['CPU']}",
            install.replace("pip install", "pip install --force-reinstall"),
            broken=True,
        )
    failing = [name for name in packaged if name in reasons and isinstance(facts.gpu, Gpu)]
    if "CUDA" in failing:
        yield Finding(
            f"onnxruntime's CUDA provider does not run: {reasons['CUDA']}; it would fall back to the CPU silently",
            "install the CUDA and cuDNN it was built for",
            broken=True,
        )
    if "Tensorrt" in failing:
        yield Finding(
            f"onnxruntime's TensorRT provider does not run: {reasons['Tensorrt']}",
            "install the TensorRT it was built for, or build an engine: edgekit export --trt fp16",
        )


def _cuda_builds(facts: Facts) -> Iterator[Finding]:
    """Wheels built for another CUDA than a Jetson's driver has; on a desktop they bring their own."""
    have = facts.cuda_major
    if facts.system.jetson is None or have is None:
        return
    built = {"torch": facts.packages.torch_cuda, "onnxruntime-gpu": facts.packages.onnxruntime_cuda}
    bindings = facts.packages.release("cuda-bindings") or facts.packages.release("cuda-python")
    built["cuda-python"] = str(bindings[0]) if bindings else None
    for name, cuda in built.items():
        if cuda and int(cuda.split(".")[0]) > have:
            right = f"pip install {name} --index-url {INDEXES.get(facts.series, 'of its JetPack')}"
            yield Finding(
                f"{name} is built for CUDA {cuda}, this machine has {facts.system.cuda}",
                f"pip install 'cuda-python<{have + 1}'" if name == "cuda-python" else right,
                broken=True,
            )


def _torch(facts: Facts) -> Iterator[Finding]:
    packages = facts.packages
    torch, vision = packages.release("torch"), packages.release("torchvision")
    if torch[:1] == (2,) and vision[:1] == (0,) and vision[1] != torch[1] + 15:
        yield Finding(
            f"torch {packages.versions['torch']} and torchvision {packages.versions['torchvision']} are not a pair",
            f"pip install 'torchvision==0.{torch[1] + 15}.*'",
            broken=True,
        )
    if torch and packages.torch_cuda is None and facts.has_gpu:
        index = INDEXES.get(facts.series, "https://download.pytorch.org/whl/cu130")
        yield Finding(
            f"torch {packages.versions['torch']} is built without CUDA: checkpoints run on the CPU",
            # Without a reinstall pip calls a CPU build of the same version satisfied.
            f"pip install --force-reinstall torch torchvision --index-url {index}",
        )


def _tensorrt(facts: Facts) -> Iterator[Finding]:
    system, packages = facts.system, facts.packages
    module = facts.tensorrt_module
    if system.tensorrt and module and release_of(system.tensorrt)[:2] != release_of(module)[:2]:
        yield Finding(
            f"Python's tensorrt is {module}, the system's TensorRT {system.tensorrt}: engines of one do not load in "
            "the other",
            "pip uninstall tensorrt, so that JetPack's own is imported"
            if system.jetson
            else f"pip install 'tensorrt=={'.'.join(system.tensorrt.split('.')[:3])}'",
        )
    have = module or system.tensorrt
    needs = packages.tensorrt_provider
    if have and needs and int(have.split(".")[0]) != needs:
        yield Finding(
            f"onnxruntime's TensorRT provider needs TensorRT {needs}, this machine has {have}",
            "run .onnx models on CUDA, or build an engine: edgekit export --trt fp16",
        )
    bound = "tensorrt" in packages.versions or module
    if bound and not (packages.release("cuda-python") or packages.release("cuda-bindings")):
        major = facts.cuda_major
        wanted = f"'cuda-python<{major + 1}'" if major else "cuda-python"
        yield Finding("TensorRT is here but cuda-python is not, and engines need it to run", f"pip install {wanted}")


def _jetpack(facts: Facts) -> Iterator[Finding]:
    jetson, python = facts.system.jetson, facts.packages.python
    if jetson is None:
        return
    # "6.x" is a release that edgekit does not know, so newer than those it does.
    if jetson.jetpack and release_of(jetson.jetpack.replace(".x", ".99")) < (6, 1):
        yield Finding(
            f"JetPack {jetson.jetpack} has a TensorRT older than 10.3: edgekit builds and runs no engines with it",
            "flash JetPack 6.1 or newer",
        )
    own = PYTHONS.get(facts.series)
    if own and facts.tensorrt_module is None:
        if not python.startswith(f"{own}."):
            yield Finding(
                f"this is Python {python}, and JetPack {facts.series}'s TensorRT imports in Python {own} only",
                f"make the environment with: python{own} -m venv --system-site-packages",
                broken=True,
            )
        else:
            yield Finding(
                "JetPack's TensorRT does not import in this Python",
                "sudo apt-get install python3-libnvinfer; make the environment with --system-site-packages",
            )


def _opencv(facts: Facts) -> Iterator[Finding]:
    here = [name for name in OPENCV if name in facts.packages.versions]
    if len(here) > 1:
        yield Finding(
            f"{' and '.join(here)} are all installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(here)}, then pip install opencv-python-headless",
        )
