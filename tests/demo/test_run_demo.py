from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.artifacts.outputs import made_here
from edgekit.demo import model_set, run_demo


@pytest.mark.slow
def test_the_whole_demo_with_a_few_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_demo, "PHOTOS", {"new-train": 6, "base-test": 3, "mixed-test": 12})
    monkeypatch.setattr(run_demo, "RUNS", 2)
    monkeypatch.setattr(model_set, "LOOP_EPOCHS", 1)
    summary = run_demo.run_demo(tmp_path)
    assert (summary.old_detections_changed, summary.photos["mixed-test"]) == (0, 12)
    assert summary.old_detections_compared > 20
    assert [latency.runs for latency in summary.latency] == [2] * 7
    assert "adapted-int8.onnx (edgekit, 8 bits)" in [latency.artifact for latency in summary.latency]
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["adapted"]["new"]["box"]["AP50"] == summary.adapted.new.box.AP50  # type: ignore[union-attr]
    assert written["int8"]["old"]["box"]["AP50"] == pytest.approx(written["adapted"]["old"]["box"]["AP50"], abs=0.05)
    assert written["int8"]["old"] != written["adapted"]["old"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") in range(3, 25, 3)  # three models, at most eight photos
    assert 'src="http' not in page
    assert page.count("int8") >= 3  # AP, false detections, latency
    assert all(made_here(tmp_path / name) for name in run_demo.FILES)
