"""``edgekit doctor``'s findings as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.measurement.machine.jetson import Jetson
from edgekit.report.doctor import Diagnosis
from edgekit.report.tables import two_columns
from edgekit.runtime.gpu import Gpu


def doctor_tables(found: Diagnosis) -> list[Table | str]:
    """The machine, its software, what edgekit does on it, and what is wrong."""
    return [_machine(found), _software(found), _abilities(found), _findings(found)]


def _machine(found: Diagnosis) -> Table:
    system = found.system
    table = two_columns("machine")
    if system.jetson is not None:
        _jetson(table, system.jetson)
    table.add_row("system", f"{system.name}, {system.architecture}")
    table.add_row("processor", f"{system.cpu}, {system.cores} cores")
    figures = {"memory": system.memory_mb, "available": system.memory_available_mb, "swap": system.swap_mb}
    table.add_row(
        "memory", ", ".join(f"{k} {v / 1000:.1f} GB" for k, v in figures.items() if v is not None) or "unknown"
    )
    if isinstance(found.gpu, Gpu):
        shared = "shared with the host" if found.gpu.integrated else f"{found.gpu.free_mb / 1000:.1f} GB free"
        table.add_row("GPU", f"{found.gpu.name}, compute capability {found.gpu.compute_capability}, {shared}")
    else:
        table.add_row("GPU", found.gpu.reason)
    table.add_row("NVIDIA driver", system.driver or "none")
    for title, version in (("CUDA", system.cuda), ("cuDNN", system.cudnn), ("TensorRT", system.tensorrt)):
        table.add_row(title, version or "not on the system")
    return table


def _jetson(table: Table, jetson: Jetson) -> None:
    table.add_row("Jetson", f"{jetson.model}" + (f" ({jetson.module})" if jetson.module else ""))
    capability = jetson.compute_capability or "unknown"
    table.add_row("chip", f"{jetson.chip or 'unknown'}, compute capability {capability}")
    table.add_row("L4T, JetPack", f"{jetson.l4t or 'unknown'}, {jetson.jetpack or 'unknown'}")
    modes = f" of {', '.join(jetson.power_modes)}" if jetson.power_modes else ""
    table.add_row("power mode", f"{jetson.power_mode or 'unknown'}{modes}")
    clocks = {True: "pinned, as jetson_clocks does", False: "follow the load", None: "unknown"}
    table.add_row("GPU clocks", clocks[jetson.clocks_pinned])


def _software(found: Diagnosis) -> Table:
    table = two_columns("software")
    table.add_row("Python", found.packages.python)
    built = {"torch": found.packages.torch_cuda, "onnxruntime-gpu": found.packages.onnxruntime_cuda}
    for name, version in found.packages.versions.items():
        table.add_row(name, version + (f", for CUDA {built[name]}" if built.get(name) else ""))
    for flavour, version in found.tensorrt.items():
        table.add_row({"tensorrt": "import tensorrt", "rtx": "import tensorrt_rtx"}[flavour], version)
    for provider in found.providers:
        table.add_row(f"onnxruntime {provider.name.removesuffix('ExecutionProvider')}", provider.reason or "runs")
    return table


def _abilities(found: Diagnosis) -> Table:
    table = Table(title="what edgekit does here", title_justify="left")
    for column in ("task", "", "how, or why not"):
        table.add_column(column, overflow="fold")
    for ability in found.abilities:
        table.add_row(ability.task, "yes" if ability.can else "no", ability.how, style="" if ability.can else "dim")
    return table


def _findings(found: Diagnosis) -> Table | str:
    if not found.findings:
        return "Nothing is wrong that edgekit knows of."
    table = Table(title="what is wrong", title_justify="left")
    for column in ("", "problem", "remedy"):
        table.add_column(column, overflow="fold")
    for finding in found.findings:
        word = "broken" if finding.broken else "warning"
        table.add_row(word, finding.problem, finding.remedy, style="bold" if finding.broken else "")
    return table
