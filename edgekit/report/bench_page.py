"""A benchmark as one HTML page that needs nothing else: tables, latency distribution, power over time."""

from __future__ import annotations

from edgekit.measurement.bench.benchmark import Benchmark
from edgekit.report.bench_tables import remarks, sheets
from edgekit.report.pages import rendered
from edgekit.report.plots import curves, distribution


def page(result: Benchmark) -> str:
    """The page's text."""
    telemetry = result.telemetry
    calls = {row.latency.artifact: row.calls_ms for row in result.artifacts}
    power = {f"{s.what} ({s.source})": (s.seconds, s.values) for s in telemetry.series if s.unit == "W" and s.values}
    sizes = ", ".join(f"{n} of {size}" for size, n in result.photo_sizes.items())
    return rendered(
        "report",
        "bench.html.j2",
        machine=", ".join(f"{name} {value}" for name, value in {**result.machine, **result.versions}.items()),
        photos=f"{result.photos} photos: {sizes}",
        remarks=remarks(result),
        latency_plot=distribution(calls, "ms", "% of calls") if calls else "",
        power_plot=curves(power, "seconds", "W") if power else "",
        no_power=result.not_measured.get("power and energy", ""),
        sheets=sheets(result),
    )
