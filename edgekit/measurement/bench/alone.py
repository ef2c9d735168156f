"""Whether an artifact runs here at all, and how much memory it takes alone, found out in a process of its own.

A driver or library that crashes or hangs takes that process with it, not the benchmark.
"""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.measurement.bench.benchmark import Memory
from edgekit.measurement.bench.forms import Form, failed, open_form

CALLS = 3
PATIENCE = 900.0  # seconds; onnxruntime's TensorRT provider builds its engine meanwhile


def try_alone(form: Form, photo: Path, patience: float = PATIENCE) -> Memory:
    """Open and run a form in a new process; raises EdgekitError where that fails."""
    command = [sys.executable, "-m", __name__, pickle.dumps(form).hex(), str(photo)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        raise EdgekitError(f"{form.model}: did not run within {patience:g} s", "look at edgekit doctor") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = [line for line in done.stderr.splitlines() if line.strip()][-1:] or ["it said nothing"]
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        reason = f"{form.model}: its process ended with {ended}: {said[0]}"
        raise EdgekitError(reason, "a driver or library is broken: look at edgekit doctor") from None
    if "error" in answer:
        raise EdgekitError(answer["error"], answer["hint"])
    return Memory(**answer)


def measure_memory(form: Form, photo: Path) -> dict[str, Any]:
    """Run a form a few times in this process and say what memory that took, or what went wrong."""
    from edgekit.data.images import fit, read_image
    from edgekit.runtime.gpu import Gpu, first_gpu

    before, gpu = status_mb("VmRSS"), first_gpu()
    try:
        session = open_form(form)
        canvas = fit(read_image(photo), session.meta.input_size, session.meta.settings.pad)
        for _ in range(CALLS):
            session.infer(canvas.pixels)
    except Exception as error:
        known = failed(form.model, error)
        return {"error": known.message, "hint": known.hint}
    after = first_gpu()
    device = float(gpu.free_mb - after.free_mb) if isinstance(gpu, Gpu) and isinstance(after, Gpu) else None
    return {
        "before_mb": before,
        "resident_mb": status_mb("VmRSS"),
        "peak_mb": status_mb("VmHWM"),
        "device_mb": device,
    }


def status_mb(field: str) -> float:
    """A figure of /proc/self/status in MB, or where there is none the peak that getrusage tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # macOS, which counts in bytes
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return round(int(kilobytes) * 1024 / 1e6, 1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_memory(pickle.loads(bytes.fromhex(sys.argv[1])), Path(sys.argv[2]))) + "\n")
