"""``edgekit doctor``'s findings as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.measurement.machine.jetson import Jetson
from edgekit.report.doctor import Diagnosis
from edgekit.report.sheets import Sheet, facts, rich_table
from edgekit.runtime.gpu import Gpu


def doctor_tables(found: Diagnosis) -> list[Table | str]:
    """The machine, its software, what edgekit does on it, and what is wrong."""
    abilities = tuple((a.task, "yes" if a.can else "no", a.how) for a in found.abilities)
    dim = tuple("" if a.can else "dim" for a in found.abilities)
    able = Sheet("what edgekit does here", ("task", "", "how, or why not"), abilities, words=3, styles=dim)
    return [_machine(found), _software(found), rich_table(able), _findings(found)]


def _machine(found: Diagnosis) -> Table:
    system, gpu = found.system, found.gpu
    figures = {"memory": system.memory_mb, "available": system.memory_available_mb, "swap": system.swap_mb}
    memory = ", ".join(f"{k} {v / 1000:.1f} GB" for k, v in figures.items() if v is not None)
    device = gpu.reason if not isinstance(gpu, Gpu) else f"{gpu.name}, compute capability {gpu.compute_capability}, "
    if isinstance(gpu, Gpu):
        device += "shared with the host" if gpu.integrated else f"{gpu.free_mb / 1000:.1f} GB free"
    rows = [
        *(_jetson(system.jetson) if system.jetson is not None else []),
        ("system", f"{system.name}, {system.architecture}"),
        ("processor", f"{system.cpu}, {system.cores} cores"),
        ("memory", memory or "unknown"),
        ("GPU", device),
        ("NVIDIA driver", system.driver or "none"),
        ("CUDA", system.cuda or "not on the system"),
        ("cuDNN", system.cudnn or "not on the system"),
        ("TensorRT", system.tensorrt or "not on the system"),
    ]
    return facts("machine", rows)


def _jetson(jetson: Jetson) -> list[tuple[str, str]]:
    modes = f" of {', '.join(jetson.power_modes)}" if jetson.power_modes else ""
    clocks = {True: "pinned, as jetson_clocks does", False: "follow the load", None: "unknown"}
    return [
        ("Jetson", f"{jetson.model}" + (f" ({jetson.module})" if jetson.module else "")),
        ("chip", f"{jetson.chip or 'unknown'}, compute capability {jetson.compute_capability or 'unknown'}"),
        ("L4T, JetPack", f"{jetson.l4t or 'unknown'}, {jetson.jetpack or 'unknown'}"),
        ("power mode", f"{jetson.power_mode or 'unknown'}{modes}"),
        ("GPU clocks", clocks[jetson.clocks_pinned]),
    ]


def _software(found: Diagnosis) -> Table:
    built = {"torch": found.packages.torch_cuda, "onnxruntime-gpu": found.packages.onnxruntime_cuda}
    modules = {"tensorrt": "import tensorrt", "rtx": "import tensorrt_rtx"}
    rows = [("Python", found.packages.python)]
    for name, version in found.packages.versions.items():
        rows.append((name, version + (f", for CUDA {built[name]}" if built.get(name) else "")))
    rows += [(modules[flavour], version) for flavour, version in found.tensorrt.items()]
    for provider in found.providers:
        rows.append((f"onnxruntime {provider.name.removesuffix('ExecutionProvider')}", provider.reason or "runs"))
    return facts("software", rows)


def _findings(found: Diagnosis) -> Table | str:
    if not found.findings:
        return "Nothing is wrong that edgekit knows of."
    rows = tuple(("broken" if f.broken else "warning", f.problem, f.remedy) for f in found.findings)
    styles = tuple("bold" if f.broken else "" for f in found.findings)
    return rich_table(Sheet("what is wrong", ("", "problem", "remedy"), rows, words=3, styles=styles))
