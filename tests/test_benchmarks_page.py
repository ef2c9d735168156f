"""docs/benchmarks.md has a column for every machine, and says what was not measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.pages import benchmarks_page
from benchmarks.run import peers
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import OnnxSession
from tests.tiny_detector import write_tiny_detector


def column(p50: float, **machine: Any) -> dict[str, Any]:
    figures = {"runtime": "x", "p50_ms": p50, "p90_ms": p50, "p99_ms": p50, "std_ms": 0.1, "inference_p50_ms": p50}
    rows = {"torchvision, eager": figures | {"settled": True, "box_AP": 50.0}, "mine": figures | {"box_AP": 49.0}}
    rows["mine"]["p50_ms"] = p50 / 4
    rows["engine"] = {"not_measured": "no GPU", "remedy": "run this on the device"}
    settings = {"runs": 9, "input_size": [64, 96], "scenes": {"count": 5, "seed": 1}}
    settings |= {"threads": {"cores": 2, "pytorch": 2}}
    return {"machine": machine, "versions": {"edgekit": "0"}, "rows": rows, **settings}


def test_every_machine_is_a_column_and_the_others_say_how_to_measure_them() -> None:
    both = {"Some CPU, 2 cores": column(80.0), "NVIDIA Jetson Orin Nano Developer Kit": column(40.0)}
    text = benchmarks_page.page({"machines": both})
    assert "| mine | 20.0 | 10.0 |\n" in text
    assert "| engine |" not in text, "nobody measured it"
    (missing,) = (line for line in text.splitlines() if line.startswith("Not measured yet"))
    assert "Jetson Orin NX, Jetson AGX Orin, Jetson AGX Thor (run `make bench`" in missing
    assert "Orin Nano" not in missing, "one was measured"
    assert text.count("- engine: no GPU (run this on the device)") == 2, "once per machine"
    assert "| mine | x | 20.0 | 80.0 | 80.0 | 80.0 | 4.00 | 49.0 |" in text


def test_postprocessing_has_a_column_where_it_was_kept() -> None:
    old, new = column(80.0), column(40.0)
    new["rows"]["mine"]["postprocess_p50_ms"] = 0.9
    text = benchmarks_page.page({"machines": {"old": old, "new": new}})
    assert text.count("postprocess p50 ms") == 1
    assert "| mine | x | 10.0 | 40.0 | 40.0 | 40.0 | 0.9 | 4.00 | 49.0 |" in text
    assert "| torchvision, eager | x | 40.0 | 40.0 | 40.0 | 40.0 |  | 1.00 | 50.0 |" in text


class Breaks:
    """A session that runs once, when it is opened, and never again."""

    def __init__(self, session: Any) -> None:
        self.meta, self.runtime, self.session, self.calls = session.meta, "a broken driver", session, 0

    def infer(self, pixels: np.ndarray) -> Any:
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("CUDA error 719")
        return self.session.infer(pixels)


def test_a_way_that_fails_loses_its_own_row_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = OnnxSession(write_tiny_detector(tmp_path / "tiny.onnx"), "cpu")

    def no_graph() -> Any:
        raise ImportError("No module named 'torch'")

    ways = {"mine": lambda: session, "engine": lambda: Breaks(session), "no torch": no_graph}
    monkeypatch.setattr("edgekit.measurement.bench.harness.PAUSE", 0)
    monkeypatch.setattr(peers, "ways", lambda work: ways)
    monkeypatch.setattr(peers, "box_ap", lambda *_: 50.0)
    rows = peers.measured(tmp_path, 3)["rows"]
    assert list(rows) == ["mine", "engine", "no torch"]
    assert rows["mine"]["p50_ms"] >= rows["mine"]["postprocess_p50_ms"] > 0
    assert "CUDA error 719" in rows["engine"]["not_measured"]
    assert "No module named 'torch'" in rows["no torch"]["not_measured"]
    del ways["mine"], ways["engine"]
    with pytest.raises(EdgekitError, match="nothing can be measured here") as caught:
        peers.measured(tmp_path, 3)
    assert "No module named 'torch'" in caught.value.hint


def test_exporting_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EdgekitError, match=r"fp32\.onnx is not there yet") as caught:
        peers.exported(tmp_path / "fp32.onnx")
    assert "--work" in caught.value.hint
    (tmp_path / "fp32.onnx").touch()
    assert peers.exported(tmp_path / "fp32.onnx").exists(), "one that was copied here needs no torch"


def test_a_machine_is_added_or_replaced_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "peers.json"
    for p50, machine in ((1.0, {"device": "Orin"}), (2.0, {"cpu": "EPYC", "cores": 2}), (3.0, {"device": "Orin"})):
        monkeypatch.setattr(peers, "measured", lambda work, runs, p50=p50, machine=machine: column(p50, **machine))
        monkeypatch.setattr(sys, "argv", ["peers.py", "--output", str(output), "--work", str(tmp_path)])
        peers.main()
    kept = json.loads(output.read_text())["machines"]
    assert {name: c["rows"]["torchvision, eager"]["p50_ms"] for name, c in kept.items()} == {
        "Orin": 3.0,
        "EPYC, 2 cores": 2.0,
    }
