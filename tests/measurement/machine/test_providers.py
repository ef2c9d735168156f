from __future__ import annotations

import pytest

from edgekit.measurement.machine.providers import PROBE, Provider, probe_providers, reason_in
from edgekit.runtime.gpu import Gpu, first_gpu, nvidia_device


def test_each_provider_runs_a_graph_or_says_why_not() -> None:
    found = {p.name: p for p in probe_providers(("CPUExecutionProvider", "CUDAExecutionProvider", "NoSuchProvider"))}
    assert found["CPUExecutionProvider"] == Provider("CPUExecutionProvider", True, True)
    assert found["NoSuchProvider"] == Provider("NoSuchProvider", False, False, "not part of this onnxruntime")
    cuda = found["CUDAExecutionProvider"]
    if not isinstance(first_gpu(), Gpu):
        assert not cuda.runs
        assert cuda.reason


def test_a_provider_that_hangs_is_given_up() -> None:
    (hangs,) = probe_providers(("CUDAExecutionProvider",), timeout=0.5, code="import time; time.sleep(60)")
    assert not hangs.runs
    assert "within 0.5 s" in hangs.reason


def test_a_provider_that_crashes_and_one_that_falls_back() -> None:
    (crashed,) = probe_providers(("X",), code="import os; os.abort()")
    assert not crashed.runs
    assert "ended with code" in crashed.reason
    (raised,) = probe_providers(("X",), code="raise ImportError('numpy.core.multiarray failed to import')")
    assert "multiarray failed to import" in raised.reason
    answer = """print('{"packaged": true, "used": "CPUExecutionProvider"}')"""
    (silent,) = probe_providers(("CUDAExecutionProvider",), code=answer)
    assert silent == Provider("CUDAExecutionProvider", True, False, "onnxruntime fell back to CPUExecutionProvider")


@pytest.mark.skipif(nvidia_device(), reason="there is an NVIDIA GPU")
def test_cudas_libraries_are_loaded_from_wheels_and_what_that_says_is_kept() -> None:
    before = """
import ctypes, onnxruntime
ctypes.CDLL = lambda name: None  # there is a driver
onnxruntime.preload_dlls = lambda: print("libcublas.so.99: cannot open shared object file")
"""
    cuda, cpu = probe_providers(("CUDAExecutionProvider", "CPUExecutionProvider"), code=before + PROBE)
    assert cuda.reason in ("libcublas.so.99 is not there", "not part of this onnxruntime")
    assert cpu == Provider("CPUExecutionProvider", True, True)


def test_reasons() -> None:
    said = "\x1b[1;31m[E] Failed to load library x.so with error: libcublasLt.so.13: cannot open shared object file: No"
    assert reason_in(said) == "libcublasLt.so.13 is not there"
    assert reason_in("all is well") == ""
