from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.measurement.bench.earlier import (
    compare_with_earlier,
    read_old,
    refuse_other_machine,
    slower_than,
    unjudged,
)
from tests.measurement.bench.results import MACHINE, benchmark, latency, measured

FILE = Path("old.json")


def written(tmp_path: Path, *rows: Any) -> dict[str, Any]:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(dataclasses.asdict(benchmark(*map(measured, rows)))))
    return read_old(path)


def test_ratios(tmp_path: Path) -> None:
    old = written(tmp_path, latency("a.onnx", 10.0), latency("b.onnx", 20.0))
    now = [latency("a.onnx", 10.4), latency("b.onnx", 22.0, inference_p50_ms=18.0)]
    found = compare_with_earlier(now, MACHINE, old, FILE)
    assert [(r.artifact, r.ratio, r.inference_ratio) for r in found.ratios] == [
        ("a.onnx", 1.04, 1.0),
        ("b.onnx", 1.1, 2.0),
    ]
    assert slower_than(found, 0.05) == ("b.onnx",)
    assert slower_than(found, 0.11) == ()
    assert (found.unknown, found.other_machine, unjudged(found)) == ((), (), ())


def test_the_same_file_in_another_folder_and_a_newer_runtime(tmp_path: Path) -> None:
    old = written(tmp_path, latency("/ci/1/a.engine", 10.0, runtime="TensorRT 10.3.0, CUDA graph"))
    row = latency("/ci/2/a.engine", 5.0, runtime="TensorRT 10.13.1, CUDA graph")
    assert compare_with_earlier([row], MACHINE, old, FILE).ratios[0].ratio == 0.5
    assert compare_with_earlier([latency("a.onnx")], MACHINE, old, FILE).unknown == ("a.onnx",)


def test_what_cannot_be_judged_is_said(tmp_path: Path) -> None:
    old = written(tmp_path, latency("a.onnx", 10.0, batch=4))
    found = compare_with_earlier([latency("a.onnx", 90.0), latency("new.onnx")], MACHINE, old, FILE)
    assert slower_than(found, 0.05) == ()
    lacking, changed = unjudged(found)
    assert "new.onnx" in lacking
    assert "batch 4 before, 1 now" in changed


def test_another_power_mode_is_said_where_both_results_know_theirs(tmp_path: Path) -> None:
    old = written(tmp_path, latency())
    found = compare_with_earlier(
        [latency(p50_ms=90.0)], MACHINE, old, FILE, {"power mode": "MAXN_SUPER", "jetson_clocks": "on"}
    )
    assert found.ratios[0].differs == ("power mode 15W before, MAXN_SUPER now",)
    assert slower_than(found, 0.05) == ()
    assert "power mode 15W before" in unjudged(found)[0]
    assert compare_with_earlier([latency()], MACHINE, old, FILE, {}).ratios[0].differs == ()
    assert (
        compare_with_earlier([latency()], MACHINE, old | {"telemetry": 3}, FILE, {"power mode": "7W"}).ratios[0].differs
        == ()
    )


@pytest.mark.parametrize(("name", "value"), [("p50_ms", None), ("p50_ms", "fast"), ("inference_p50_ms", 0),
                                             ("p50_ms", float("nan")), ("artifact", 3)])  # fmt: skip
def test_figures_that_are_none_are_named_before_the_run(name: str, value: Any, tmp_path: Path) -> None:
    document = dataclasses.asdict(benchmark(measured(latency())))
    document["artifacts"][0]["latency"][name] = value
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(EdgekitError, match=rf"is not a result of edgekit bench \(ValueError: {name} is") as caught:
        read_old(tmp_path / "x.json")
    assert "--json x.json" in caught.value.hint


def test_another_machine_is_refused(tmp_path: Path) -> None:
    old, other = written(tmp_path, latency()), MACHINE | {"cpu": "AMD EPYC", "device": "NVIDIA L4"}
    assert compare_with_earlier([latency()], other, old, FILE).other_machine == (
        "cpu: Cortex-A78AE before, AMD EPYC now",
        "device: none before, NVIDIA L4 now",
    )
    with pytest.raises(EdgekitError, match="another machine") as caught:
        refuse_other_machine(old, other, FILE)
    assert "measure the old result again" in caught.value.hint
    refuse_other_machine(old, MACHINE | {"python": "3.12"}, FILE)


@pytest.mark.parametrize("text", ["", "[]", '{"artifacts": [{"p50_ms": 1}]}', '{"artifacts": [], "machine": 3}'])
def test_what_is_no_result(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(EdgekitError, match="is not a result of edgekit bench"):
        read_old(path)
    with pytest.raises(EdgekitError, match="no such result"):
        read_old(tmp_path / "nothing.json")
