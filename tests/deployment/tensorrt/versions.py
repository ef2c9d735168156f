"""What tells TensorRT's generations apart, as namespaces: which attributes each has."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

from edgekit.runtime.flavours import TensorRT
from edgekit.runtime.gpu import Gpu

ORIN = Gpu("Orin", "8.7", True, 4000)
A10 = Gpu("NVIDIA A10", "8.6", False, 20000)
TURING = Gpu("Tesla T4", "7.5", False, 15000)


class Config:
    """Records what a builder's config is told."""

    def __init__(self) -> None:
        self.flags: set[Any] = set()
        self.pools: dict[Any, int] = {}

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def get_flag(self, flag: Any) -> bool:
        return flag in self.flags or flag.name == "TF32"

    def set_memory_pool_limit(self, pool: Any, limit: int) -> None:
        self.pools[pool] = limit


def tensorrt(version: str) -> TensorRT:
    """TensorRT as a version has it; enum values differ, as they do between 10 and 11."""
    old = version.startswith("10.3")
    names = ["REFIT", "REFIT_IDENTICAL", "REFIT_INDIVIDUAL", "VERSION_COMPATIBLE", "TF32"]
    names = [*(["FP16", "INT8"] if version.startswith("10") else []), *names]
    creation = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if old else {"OTHER": 5, "STRONGLY_TYPED": 3}
    if version.startswith("11"):
        creation = {"OTHER": 0}
    module = SimpleNamespace(
        BuilderFlag=enum.Enum("BuilderFlag", names),
        NetworkDefinitionCreationFlag=enum.IntEnum("NetworkDefinitionCreationFlag", creation),
        HardwareCompatibilityLevel=enum.Enum("HardwareCompatibilityLevel", ["NONE", "AMPERE_PLUS"]),
        MemoryPoolType=enum.Enum("MemoryPoolType", ["WORKSPACE"]),
    )
    return TensorRT("tensorrt", module, version, None)
