"""Write docs/benchmarks.md from benchmarks/results/peers.json; ``--check`` only says whether it is up to date.

python -m benchmarks.pages.benchmarks_page [--check]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.lib.generated import lines, write_or_check
from benchmarks.lib.paths import DOCS, RESULTS

RESULT = RESULTS / "peers.json"
PAGE = DOCS / "benchmarks.md"
BASELINE = "torchvision, eager"
DESKTOP = "`make bench`"
JETSON = "`make bench` in the environment of docs/jetson.md"
# Devices that edgekit is for: how a machine's name shows that it is one, and the command that measures it.
DEVICES = {
    "Jetson Orin Nano": ("orin nano", JETSON),
    "Jetson Orin NX": ("orin nx", JETSON),
    "Jetson AGX Orin": ("agx orin", JETSON),
    "Jetson AGX Thor": ("thor", JETSON),
    "desktop or server with an NVIDIA GPU": ("geforce|rtx|nvidia l|nvidia a|nvidia h|tesla|quadro", DESKTOP),
}
HEAD = """# Latency on each machine

Written by `benchmarks/pages/benchmarks_page.py` from `benchmarks/results/peers.json`; do not edit it.

All rows run the Mask R-CNN that comes with edgekit (MobileNetV2-FPN, {size}) with the same weights, batch 1, on all
cores. The rows of a machine are timed in turns on the same photos, from decoded photo to pasted masks. "against eager"
is the speed relative to torchvision's module in PyTorch on that machine. Box AP is measured on {scenes} drawn scenes.
`make bench` measures the machine it runs on and adds or replaces its column.
"""


def main() -> int:
    return write_or_check({PAGE: page(json.loads(RESULT.read_text()))})


def page(result: dict[str, Any]) -> str:
    """The page's text."""
    machines = result["machines"]
    first = next(iter(machines.values()))
    size = "x".join(map(str, first["input_size"]))
    parts = [HEAD.format(size=size, scenes=first["scenes"]["count"]), overview(machines)]
    parts += [section(name, column) for name, column in machines.items()]
    return "\n".join(parts)


def overview(machines: dict[str, Any]) -> str:
    """Milliseconds by way and machine, of what was measured somewhere; then the devices that nobody has measured."""
    ways = dict.fromkeys(way for column in machines.values() for way, row in column["rows"].items() if "p50_ms" in row)
    rows = [[way, *(cell(column["rows"].get(way)) for column in machines.values())] for way in ways]
    table = lines(["median ms", *machines], rows)
    commands: dict[str, list[str]] = {}
    for name, (words, command) in DEVICES.items():
        if not is_there(words, machines):
            commands.setdefault(command, []).append(name)
    missing = "; ".join(f"{', '.join(names)} (run {command})" for command, names in commands.items())
    return f"{table}\nNot measured yet: {missing}.\n" if missing else table


def section(name: str, column: dict[str, Any]) -> str:
    """One machine in full."""
    versions = ", ".join(f"{package} {version}" for package, version in column["versions"].items())
    measured = {way: row for way, row in column["rows"].items() if "p50_ms" in row}
    eager = measured.get(BASELINE, {}).get("p50_ms")
    figures = ["p50_ms", "p90_ms", "p99_ms", "inference_p50_ms"]
    if any("postprocess_p50_ms" in row for row in measured.values()):  # results of before this was kept lack it
        figures.append("postprocess_p50_ms")
    rows = [
        [
            way,
            row["runtime"],
            *(f"{row[figure]:.1f}" if figure in row else "" for figure in figures),
            f"{eager / row['p50_ms']:.2f}" if eager else "",
            f"{row['box_AP']:.1f}",
        ]
        for way, row in sorted(measured.items(), key=lambda item: item[1]["p50_ms"])
    ]
    columns = ["", "runtime", *(f.replace("_", " ") for f in figures), "against eager", "box AP"]
    threads = column["threads"]
    ran = f"{column['runs']} interleaved runs on {threads['cores']} cores (threads of PyTorch: {threads['pytorch']})"
    head = f"## {name}\n\n{ran}; {versions}.\n\n"
    return head + lines(columns, rows) + not_measured(column["rows"])


def not_measured(rows: dict[str, Any]) -> str:
    """What could not run on a machine, by reason."""
    reasons: dict[str, list[str]] = {}
    for way, row in rows.items():
        if "p50_ms" not in row:
            reasons.setdefault(f"{row['not_measured']} ({row['remedy']})", []).append(way)
    listed = "".join(f"- {'; '.join(ways)}: {reason}\n" for reason, ways in reasons.items())
    return f"\nNot measured on this machine:\n\n{listed}" if listed else ""


def cell(row: dict[str, Any] | None) -> str:
    """A way's median on a machine, empty where it was not measured."""
    return f"{row['p50_ms']:.1f}" if row is not None and "p50_ms" in row else ""


def is_there(words: str, machines: dict[str, Any]) -> bool:
    """Whether some machine's name holds one of the words."""
    return any(word in name.lower() for name in machines for word in words.split("|"))


if __name__ == "__main__":
    sys.exit(main())
