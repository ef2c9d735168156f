from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.runtime import gpu
from edgekit.runtime.gpu import Gpu, NoGpu, first_gpu, first_gpu_uuid


class Driver:
    """A driver with one GPU; the call named ``fails`` gives CUDA_ERROR_OUT_OF_MEMORY."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = 1
            if name == "cuDeviceGetName":
                arguments[0].value = b"Orin"
            if name == "cuDeviceGetUuid_v2":
                arguments[0][:] = range(16)
            return 2 if name == self.fails else 0

        return call


@pytest.mark.parametrize("call", ["cuDeviceGet", "cuDeviceGetName", "cuDevicePrimaryCtxRetain", "cuMemGetInfo_v2"])
def test_a_gpu_that_cannot_be_described_is_a_reason_not_an_error(call: str) -> None:
    found = first_gpu(driver=Driver(call))
    assert isinstance(found, NoGpu)
    assert "error 2" in found.reason
    assert found.remedy


def test_a_gpu() -> None:
    found = first_gpu(driver=Driver())
    assert isinstance(found, Gpu)
    assert found.name == "Orin"


@pytest.mark.parametrize(("status", "device", "broken"), [(999, False, True), (803, False, True), (100, True, True),
                                                          (100, False, False)])  # fmt: skip
def test_a_driver_that_does_not_work_is_broken_and_one_without_a_gpu_is_not(
    status: int, device: bool, broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "DEVICE_FILES", (str(tmp_path),) if device else ())
    found = first_gpu(SimpleNamespace(cuInit=lambda flags: status))
    assert isinstance(found, NoGpu)
    assert found.broken is broken


def test_the_uuid_of_cudas_first_device() -> None:
    assert first_gpu_uuid(driver=Driver()) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    found = first_gpu_uuid(driver=Driver("cuDeviceGetUuid_v2"))
    assert isinstance(found, NoGpu)
    assert "cuDeviceGetUuid: error 2" in found.reason
