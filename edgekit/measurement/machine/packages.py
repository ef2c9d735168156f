"""The Python packages that are installed and what they were built for, found out without importing them."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import InvalidVersion, Version

from edgekit.files.code_digest import installed_version

NAMES = (
    "torch",
    "torchvision",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "cuda-python",
    "cuda-bindings",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "jetson-stats",
    "nvidia-ml-py",
    "psutil",
)


@dataclass(frozen=True)
class Packages:
    """Versions by the name on the package index, and the CUDA and TensorRT that packages were built for.

    ``tensorrt_provider`` is the TensorRT major version that onnxruntime's TensorRT provider loads.
    """

    python: str
    versions: Mapping[str, str] = field(default_factory=dict)
    torch_cuda: str | None = None
    onnxruntime_cuda: str | None = None
    tensorrt_provider: int | None = None

    def release(self, name: str) -> tuple[int, ...]:
        """A version as numbers, () if the package is not installed: (2, 14, 1) for 2.14.1+cu130."""
        return release_of(self.versions.get(name, ""))


def release_of(version: str) -> tuple[int, ...]:
    """A version as numbers; () for what is not a version."""
    try:
        return Version(version).release
    except InvalidVersion:
        return ()


def installed_packages() -> Packages:
    """The packages of this Python."""
    versions = {name: version for name in NAMES if (version := installed_version(name))}
    onnxruntime = "onnxruntime-gpu" if "onnxruntime-gpu" in versions else "onnxruntime"
    return Packages(
        python=".".join(str(v) for v in sys.version_info[:3]),
        versions=versions,
        torch_cuda=assigned("cuda", _file("torch", "torch/version.py")),
        onnxruntime_cuda=assigned("cuda_version", _file(onnxruntime, "onnxruntime/capi/build_and_package_info.py")),
        tensorrt_provider=needed_tensorrt(_file(onnxruntime, "onnxruntime/capi/libonnxruntime_providers_tensorrt.so")),
    )


def assigned(name: str, file: Path | None) -> str | None:
    """The string a Python file assigns to ``name``, e.g. ``cuda: Optional[str] = '13.0'``."""
    if file is None:
        return None
    found = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([\d.]+)['\"]", file.read_text(errors="replace"), re.M)
    return found[1] if found else None


def needed_tensorrt(file: Path | None) -> int | None:
    """The major version in the name of the TensorRT library that a shared library needs."""
    found = re.search(rb"libnvinfer\.so\.(\d+)", file.read_bytes()) if file else None
    return int(found[1]) if found else None


def _file(package: str, path: str) -> Path | None:
    try:
        file = Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return file if file.is_file() else None
