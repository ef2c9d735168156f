"""Which of onnxruntime's providers really run a graph here, rather than falling back to the CPU without a word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT = 20.0  # seconds for all of them: CUDA's and TensorRT's first start on a Jetson takes some
PACKAGED = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")

# What a process of its own does: one node on one provider. A broken driver may crash or hang it, not edgekit.
PROBE = """
import contextlib, ctypes, json, sys
import numpy, onnxruntime
from onnx import TensorProto, helper
tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "probe", tensors[:1], tensors[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
wanted, session = sys.argv[1], None
if wanted in onnxruntime.get_available_providers():
    if wanted != "CPUExecutionProvider" and hasattr(onnxruntime, "preload_dlls"):  # as runtime/onnx_session.py does
        try:
            ctypes.CDLL("libcuda.so.1")
            with contextlib.redirect_stdout(sys.stderr):
                onnxruntime.preload_dlls()
        except OSError as error:  # no driver: gigabytes of libraries would be read for nothing
            print(error, file=sys.stderr)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[wanted])
    ran = session.run(None, {"x": numpy.ones(4, numpy.float32)})[0].tolist() == [2.0] * 4
print(json.dumps({"packaged": session is not None, "used": session.get_providers()[0] if session and ran else None}))
"""


@dataclass(frozen=True)
class Provider:
    """One of onnxruntime's providers: whether this onnxruntime has it, whether it ran a graph, and if not, why."""

    name: str
    packaged: bool
    runs: bool
    reason: str = ""


def probe_providers(
    names: Sequence[str] = PACKAGED, timeout: float = TIMEOUT, python: str = sys.executable, code: str = PROBE
) -> tuple[Provider, ...]:
    """Run a tiny graph on each provider, side by side, each in a process of its own."""
    deadline = time.monotonic() + timeout
    processes = [
        subprocess.Popen([python, "-c", code, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in names
    ]
    return tuple(_answer(name, p, deadline, timeout) for name, p in zip(names, processes, strict=True))


def _answer(name: str, process: subprocess.Popen[str], deadline: float, timeout: float) -> Provider:
    try:
        output, errors = process.communicate(timeout=max(0.01, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Provider(name, True, False, f"did not answer within {timeout:g} s")
    try:
        answer = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return Provider(name, False, False, reason_in(errors) or f"its process ended with code {process.returncode}")
    if not answer["packaged"]:
        return Provider(name, False, False, "not part of this onnxruntime")
    if answer["used"] == name:
        return Provider(name, True, True)
    return Provider(name, True, False, reason_in(output + errors) or f"onnxruntime fell back to {answer['used']}")


def reason_in(said: str) -> str:
    """The cause in what onnxruntime or Python wrote: a missing library, or the last line of an error."""
    library = re.search(r"(lib[\w.+-]+): cannot open shared object file", said)
    if library:
        return f"{library[1]} is not there"
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    lines = [line.strip() for line in plain.splitlines() if re.search(r"error|fail|exception", line, re.I)]
    return lines[-1][-300:] if lines else ""
