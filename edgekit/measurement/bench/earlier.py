"""A benchmark beside an earlier one's file, where the two may be compared at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.measurement.bench.benchmark import ChangeSince, Latency, Ratio

MACHINE = ("cpu", "cores", "architecture", "device")  # what must be equal for times to be comparable
SETTINGS = ("input_size", "batch")
CONDITIONS = ("power mode", "jetson_clocks")  # of the telemetry's settings; compared where both results have them
MEASURE_AGAIN = "measure the old result again on this machine"


def read_old(path: Path) -> dict[str, Any]:
    """A result that ``edgekit bench --json FILE`` wrote."""
    remedy = f"write one with: edgekit bench MODEL --json {path.name}"
    try:
        document = json.loads(read_text(path))
        for row in document["artifacts"]:
            _check(row["latency"])
        if not isinstance(document["machine"], dict):
            raise ValueError("machine is not an object")
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such result", remedy) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgekitError(
            f"{path}: is not a result of edgekit bench ({type(error).__name__}: {error})", remedy
        ) from None
    return document


def compare_with_earlier(
    rows: Sequence[Latency],
    machine: Mapping[str, Any],
    old: Mapping[str, Any],
    file: Path,
    conditions: Mapping[str, str] | None = None,
) -> ChangeSince:
    """Set each row beside the one of the same artifact and runtime in an old result.

    ``conditions`` are the telemetry's settings of this run: power mode and jetson_clocks are compared.
    """
    before = [row["latency"] for row in old["artifacts"]]
    otherwise = _otherwise(old, conditions or {})
    ratios, unknown = [], []
    for row in rows:
        was = _find(row, before)
        if was is None:
            unknown.append(row.artifact)
            continue
        now = {"input_size": list(row.input_size), "batch": row.batch}
        differs = [f"{name} {was[name]} before, {now[name]} now" for name in SETTINGS if was[name] != now[name]]
        ratios.append(
            Ratio(
                row.artifact,
                was["p50_ms"],
                row.p50_ms,
                round(row.p50_ms / was["p50_ms"], 4),
                round(row.inference_p50_ms / was["inference_p50_ms"], 4),
                (*differs, *otherwise),
            )
        )
    return ChangeSince(str(file), tuple(ratios), tuple(unknown), _other(old, machine))


def refuse_other_machine(old: Mapping[str, Any], machine: Mapping[str, Any], file: Path) -> None:
    """Raise EdgekitError if an old result is of another machine."""
    if other := _other(old, machine):
        raise EdgekitError(
            f"{file}: is of another machine ({'; '.join(other)})",
            f"{MEASURE_AGAIN}, or omit --fail-if-slower",
        )


def slower_than(since: ChangeSince, share: float) -> tuple[str, ...]:
    """The artifacts that take more than ``share`` longer than before, of those measured in the same way."""
    return tuple(r.artifact for r in since.ratios if r.ratio > 1 + share and not r.differs)


def unjudged(since: ChangeSince) -> tuple[str, ...]:
    """Of which artifacts the old result cannot tell whether they became slower, and why."""
    lacking = [f"{name}: {since.file} does not have it" for name in since.unknown]
    otherwise = [f"{r.artifact}: was measured otherwise: {'; '.join(r.differs)}" for r in since.ratios if r.differs]
    return (*lacking, *otherwise)


def _check(row: Mapping[str, Any]) -> None:
    """Raise ValueError or KeyError if a row of an old result lacks what it is compared by."""
    if missing := {"artifact", "runtime", *SETTINGS} - set(row):
        raise ValueError(f"{', '.join(sorted(missing))} missing")
    for name in ("p50_ms", "inference_p50_ms"):
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise ValueError(f"{name} is {json.dumps(value)}, not milliseconds")
    for name in ("artifact", "runtime"):
        if not isinstance(row[name], str):
            raise ValueError(f"{name} is {json.dumps(row[name])}, not a name")


def _otherwise(old: Mapping[str, Any], now: Mapping[str, str]) -> tuple[str, ...]:
    telemetry = old.get("telemetry")
    settings = telemetry.get("settings") if isinstance(telemetry, dict) else None
    was = settings if isinstance(settings, dict) else {}
    both = [name for name in CONDITIONS if name in was and name in now]
    return tuple(f"{name} {was[name]} before, {now[name]} now" for name in both if was[name] != now[name])


def _other(old: Mapping[str, Any], machine: Mapping[str, Any]) -> tuple[str, ...]:
    was = old["machine"]
    return tuple(
        f"{name}: {was.get(name, 'none')} before, {machine.get(name, 'none')} now"
        for name in MACHINE
        if was.get(name) != machine.get(name)
    )


def _find(row: Latency, before: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The old row of an artifact: of the same name, or the only one of the same file name in another folder."""
    alike = [old for old in before if _kind(old["runtime"]) == _kind(row.runtime)]
    same = [old for old in alike if old["artifact"] == row.artifact]
    moved = [old for old in alike if Path(old["artifact"]).name == Path(row.artifact).name]
    return same[0] if same else moved[0] if len(moved) == 1 else None


def _kind(runtime: str) -> str:
    """A runtime's name without its version, so that an upgrade can be compared."""
    return " ".join(word for word in runtime.split() if not word[0].isdigit())
