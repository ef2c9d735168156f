"""What the machine under edgekit is: processor, memory, NVIDIA driver, and the CUDA, cuDNN and TensorRT on its disk."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.measurement.machine.jetson import Jetson, read_jetson, text

LIBRARIES = ("usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/local/cuda/lib64")
PACKAGES = {  # Debian packages whose version is that of the library
    "tensorrt": r"libnvinfer\d+|tensorrt",
    "cudnn": r"libcudnn\d+(?:-cuda-\d+)?",
    "cuda": r"cuda-cudart-\d+-\d+",
    "jetpack": r"nvidia-jetpack",
}


@dataclass(frozen=True)
class System:
    """The machine; what could not be read is None. Memory in MB (10^6 bytes).

    ``cuda``, ``cudnn`` and ``tensorrt`` are the versions installed on the system, not those inside Python wheels.
    ``gpus`` are the models that the kernel's NVIDIA driver lists; a Jetson's driver lists none.
    """

    name: str
    architecture: str
    cpu: str
    cores: int
    memory_mb: int | None
    memory_available_mb: int | None
    swap_mb: int | None
    jetson: Jetson | None
    driver: str | None
    gpus: tuple[str, ...]
    cuda: str | None
    cudnn: str | None
    tensorrt: str | None


def read_system(root: Path = Path("/"), architecture: str | None = None, cores: int | None = None) -> System:
    """The machine whose files lie under ``root``: /proc, /etc/os-release, Debian's package list, library names."""
    release = re.search(r'^PRETTY_NAME="?(.*?)"?$', text(root / "etc/os-release"), re.M)
    # Of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  ...".
    driver = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text(root / "proc/driver/nvidia/version") + " ")
    packages = _debian_packages(root)
    jetson = read_jetson(root)
    if jetson is not None and (jetson.jetpack is None or jetson.jetpack.endswith(".x")):  # not told by its L4T
        jetson = replace(jetson, jetpack=packages.get("jetpack", jetson.jetpack))
    architecture = architecture or platform.machine()
    return System(
        name=release[1] if release else platform.system(),
        architecture=architecture,
        cpu=processor(root) or (jetson.model if jetson else architecture),
        cores=cores or os.cpu_count() or 1,
        memory_mb=_meminfo(root, "MemTotal"),
        memory_available_mb=_meminfo(root, "MemAvailable"),
        swap_mb=_meminfo(root, "SwapTotal"),
        jetson=jetson,
        driver=driver[1] if driver else None,
        gpus=_gpus(root),
        cuda=_cuda(root) or packages.get("cuda"),
        cudnn=packages.get("cudnn") or _library(root, "libcudnn.so"),
        tensorrt=packages.get("tensorrt") or _library(root, "libnvinfer.so"),
    )


def machine(root: Path = Path("/")) -> dict[str, str | int]:
    """What this run runs on, for a result file; ``device`` is a Jetson's model or the GPUs, where there are any."""
    jetson = read_jetson(root)
    device = jetson.model if jetson else ", ".join(_gpus(root))
    described: dict[str, str | int] = {
        "cpu": processor(root) or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    return described | ({"device": device} if device else {})


def processor(root: Path = Path("/")) -> str | None:
    """The processor's name as the kernel has it, with an x86's vector instructions; None on most ARM boards.

    A cloud's machines of several generations have one name ("AMD EPYC"), and how fast they are in fp32 and int8 follows
    from these instructions.
    """
    said = dict(re.findall(r"^(model name|flags)\s*:\s*(.*)$", text(root / "proc/cpuinfo"), re.M))
    flags = set(said.get("flags", "").split())
    widest = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    vectors = f"{widest}, VNNI" if flags & {"avx512_vnni", "avx_vnni"} else widest
    return f"{said['model name']} ({vectors})" if vectors and "model name" in said else said.get("model name")


def _meminfo(root: Path, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", text(root / "proc/meminfo"), re.M)
    return int(found[1]) * 1024 // 1_000_000 if found else None


def _gpus(root: Path) -> tuple[str, ...]:
    models = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        found = re.search(r"^Model:\s*(.*)$", text(file), re.M)
        models.append(found[1].strip() if found else "NVIDIA GPU")
    return tuple(models)


def _cuda(root: Path) -> str | None:
    for file in sorted((root / "usr/local").glob("cuda*/version.json"), reverse=True):
        try:
            return str(json.loads(file.read_text())["cuda"]["version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _library(root: Path, name: str) -> str | None:
    """The version in a shared library's longest file name: libnvinfer.so.10.3.0 is 10.3.0."""
    found = [f.name.removeprefix(f"{name}.") for place in LIBRARIES for f in (root / place).glob(f"{name}.*")]
    versions = [v for v in found if re.fullmatch(r"[\d.]+", v)]
    return max(versions, key=len) if versions else None


def _debian_packages(root: Path) -> dict[str, str]:
    """The versions of NVIDIA's Debian packages that are installed, without epoch and Debian revision."""
    try:
        listing = (root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for key, pattern in PACKAGES.items():
        entry = re.search(
            rf"^Package: (?:{pattern})\nStatus: install ok installed\n(?:.+\n)*?Version: (\S+)", listing, re.M
        )
        if entry:
            found[key] = re.split(r"[-+]", entry[1].split(":")[-1])[0]
    return found
