"""Artifacts measured on this device, compared with an earlier result, and written as pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from edgekit.artifacts.outputs import check_outputs
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import output_file, write_text
from edgekit.measurement.bench.benchmark import Benchmark, Failure
from edgekit.measurement.bench.earlier import (
    compare_with_earlier,
    read_old,
    refuse_other_machine,
    slower_than,
    unjudged,
)
from edgekit.measurement.bench.plan import BenchOptions
from edgekit.measurement.bench.run import measure
from edgekit.measurement.machine.system import machine
from edgekit.progress import Track, silent


def bench(
    models: Sequence[str | Path],
    options: BenchOptions = BenchOptions(),
    against: Path | None = None,
    fail_if_slower: float | None = None,
    markdown: Path | None = None,
    html: Path | None = None,
    force: bool = False,
    track: Track = silent,
) -> Benchmark:
    """Measure artifacts side by side on the photos of a folder.

    An artifact that cannot be measured is named in ``failed``, and the others are measured; so is a page that cannot
    be written.

    ``against`` is a result that ``--json`` wrote. ``fail_if_slower`` (0.05 is 5%) names artifacts in ``slower`` and
    those that the old result cannot judge in ``unjudged``; it raises EdgekitError where that is of another machine.
    ``force`` replaces pages that edgekit did not make.
    """
    inputs = [*models, options.images, options.data, *options.hints.files, against]
    check_outputs([markdown, html], inputs, force)
    old = read_old(against) if against is not None else None
    if fail_if_slower is not None:
        if old is None or against is None:
            raise EdgekitError("--fail-if-slower: slower than what?", "give an old result with --against")
        refuse_other_machine(old, machine(), against)
    for page in (markdown, html):
        if page is not None:
            output_file(page)
    result = measure(models, options, track)
    if old is not None and against is not None:
        rows = [row.latency for row in result.artifacts]
        since = compare_with_earlier(rows, result.machine, old, against, result.telemetry.settings)
        result = dataclasses.replace(result, comparison=since)
        if fail_if_slower is not None:
            slower = slower_than(since, fail_if_slower)
            result = dataclasses.replace(result, slower=slower, unjudged=unjudged(since))
    return _written(result, markdown, html)


def _written(result: Benchmark, markdown: Path | None, html: Path | None) -> Benchmark:
    """Write the pages; where that fails, e.g. on a full disk, the result that took minutes is not lost for it."""
    from edgekit.report.bench_page import page as as_page
    from edgekit.report.bench_tables import markdown as as_markdown

    failures = []
    for file, render in ((markdown, as_markdown), (html, as_page)):
        if file is None:
            continue
        try:
            write_text(file, render(result))
        except EdgekitError as error:
            failures.append(Failure(str(file), error.message, error.hint))
    return dataclasses.replace(result, failed=(*result.failed, *failures))
