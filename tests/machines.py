"""File trees of machines that are not here: what /proc, /etc and /sys say on each, and the software installed there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.measurement.machine.packages import Packages
from edgekit.measurement.machine.pairs import Facts
from edgekit.measurement.machine.providers import PACKAGED, Provider
from edgekit.measurement.machine.system import read_system
from edgekit.runtime.gpu import Gpu, NoGpu

NVPMODEL = """
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""
MEMORY = "MemTotal:        {total} kB\nMemFree: 1 kB\nMemAvailable:    {free} kB\nSwapTotal:       {swap} kB\n"


@dataclass(frozen=True)
class FakeMachine:
    """Files by path, the Python and packages, the GPU that the driver reports, and the TensorRT Python imports."""

    files: Mapping[str, str]
    gpu: Gpu | NoGpu
    packages: Packages
    tensorrt: str | None
    architecture: str = "aarch64"
    cores: int = 6
    runs: tuple[str, ...] = PACKAGED

    def write(self, root: Path) -> Path:
        for name, text in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    def facts(self, root: Path) -> Facts:
        system = read_system(self.write(root), self.architecture, self.cores)
        has = "onnxruntime-gpu" in self.packages.versions
        providers = tuple(
            Provider(
                n, has or n.startswith("CPU"), n in self.runs, "" if n in self.runs else "libcudart.so is not there"
            )
            for n in PACKAGED
        )
        return Facts(system, self.packages, providers, self.gpu, self.tensorrt)


def dpkg(**versions: str) -> str:
    names = {"tensorrt": "libnvinfer10", "cudnn": "libcudnn9-cuda-12", "jetpack": "nvidia-jetpack"}
    entries = [
        f"Package: {names[n]}\nStatus: install ok installed\nPriority: optional\nArchitecture: arm64\nVersion: {v}\n"
        for n, v in versions.items()
    ]
    return "\n".join(["Package: libnvinfer8\nStatus: deinstall ok config-files\nVersion: 8.6.2-1\n", *entries])


def cuda(version: str) -> str:
    return json.dumps({"cuda": {"name": "CUDA SDK", "version": version}})


def jetson(model: str, compatible: str, release: str, revision: str, memory_kb: int, **files: str) -> dict[str, str]:
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": compatible.replace(" ", "\0") + "\0",
        "etc/nv_tegra_release": f"# R{release} (release), REVISION: {revision}, GCID: 38968081, BOARD: generic\n",
        "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n',
        "etc/nvpmodel.conf": NVPMODEL,
        "proc/meminfo": MEMORY.format(total=memory_kb, free=memory_kb // 2, swap=3906250),
        **files,
    }


ON_JETPACK_6 = {
    "numpy": "1.26.4",
    "onnx": "1.18.0",
    "onnxruntime-gpu": "1.23.0",
    "cuda-python": "12.6.2",
    "jetson-stats": "4.3.2",
}

ORIN_NANO = FakeMachine(
    jetson(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234",
        "36",
        "4.3",
        7_811_000,
        **{
            "var/lib/nvpmodel/status": "pmode:0002",
            "sys/class/devfreq/17000000.gpu/min_freq": "1020000000\n",
            "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
            "usr/local/cuda-12.6/version.json": cuda("12.6.68"),
            "var/lib/dpkg/status": dpkg(tensorrt="10.3.0.30-1+cuda12.5", cudnn="9.3.0.75-1", jetpack="6.2+b77"),
        },
    ),
    Gpu("Orin", "8.7", True, 4000),
    Packages("3.10.12", ON_JETPACK_6, onnxruntime_cuda="12.6", tensorrt_provider=10),
    "10.3.0",
)
AGX_ORIN = FakeMachine(
    jetson(
        "NVIDIA Jetson AGX Orin Developer Kit",
        "nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234",
        "36",
        "4.0",
        64_349_000,
        **{
            "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
            "sys/class/devfreq/17000000.gpu/max_freq": "1300500000\n",
            "usr/local/cuda-12.6/version.json": cuda("12.6.68"),
            "usr/lib/aarch64-linux-gnu/libnvinfer.so.10": "",
            "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": "",
        },
    ),
    Gpu("Orin", "8.7", True, 30000),
    Packages("3.10.12", {**ON_JETPACK_6, "torch": "2.8.0", "torchvision": "0.23.0"}, "12.6", "12.6", 10),
    "10.3.0",
    cores=12,
)
THOR = FakeMachine(
    jetson(
        "NVIDIA Jetson AGX Thor Developer Kit",
        "nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264",
        "38",
        "2.0",
        128_000_000,
        **{
            "usr/local/cuda-13.0/version.json": cuda("13.0.0"),
            "var/lib/dpkg/status": dpkg(tensorrt="10.13.3.9-1+cuda13.0"),
            "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.00  Release\n",
        },
    ),
    Gpu("NVIDIA Thor", "11.0", True, 60000),
    Packages("3.12.3", {"numpy": "2.2.6", "onnxruntime-gpu": "1.24.0", "cuda-python": "13.0.1"}, None, "13.0", 10),
    "10.13.3.9",
    cores=14,
)
DESKTOP = FakeMachine(
    {
        "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\n',
        "proc/cpuinfo": "processor : 0\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n",
        "proc/meminfo": MEMORY.format(total=65_000_000, free=50_000_000, swap=0),
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 2024\n",
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 3080\nIRQ: 1\n",
    },
    Gpu("NVIDIA GeForce RTX 3080", "8.6", False, 9500),
    Packages(
        "3.12.3",
        {"torch": "2.8.0+cu128", "torchvision": "0.23.0", "onnxruntime-gpu": "1.23.0", "numpy": "2.3.0",
         "onnx": "1.19.0", "onnxscript": "0.5.0", "tensorrt": "10.13.3.9", "cuda-bindings": "12.9.0"},
        "12.8",
        "12.8",
        10,
    ),
    "10.13.3.9",
    "x86_64",
    32,
)  # fmt: skip
MACHINES = {"orin nano": ORIN_NANO, "agx orin": AGX_ORIN, "thor": THOR, "desktop": DESKTOP}
