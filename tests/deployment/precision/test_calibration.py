from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from edgekit.artifacts.metadata import ModelMeta
from edgekit.deployment.precision.calibration import (
    Range,
    Table,
    calibrate,
    canvas,
    extremes,
    graph_hash,
    read_table,
    write_table,
)
from edgekit.deployment.precision.keep import detections
from edgekit.errors import EdgekitError
from edgekit.progress import Track
from tests.tiny_detector import SIZE, write_tiny_detector

FEW = ("conv2d_53", "trunk.box_features", "div_1")


def counting(counts: list[str]) -> Track:
    def track(items, description, /):
        for item in items:
            counts.append(description)
            yield item

    return track


def test_ranges_hold_zero_and_most_values(
    prepared: onnx.ModelProto, photos: Path, meta: ModelMeta, capsys: pytest.CaptureFixture[str]
) -> None:
    ranges = calibrate(prepared, FEW, photos, meta.input_size).tensors
    assert set(ranges) == set(FEW)
    whole = extremes(prepared, FEW, photos, meta.input_size)
    assert any(ranges[name].max < whole[name].max for name in FEW)
    for name, found in ranges.items():
        assert whole[name].min <= found.min <= 0 <= found.max <= whole[name].max
        assert found.max - found.min > 0.3 * (whole[name].max - whole[name].min)
        assert found.scale == pytest.approx(max(-found.min, found.max) / 127)
    assert ranges["trunk.box_features"].min == 0  # behind a ReLU
    assert -2.2 < ranges["div_1"].min < ranges["div_1"].max < 2.7  # the normalised picture
    assert capsys.readouterr().out == ""


def test_a_table_is_reused_until_something_changes(
    prepared: onnx.ModelProto, photos: Path, meta: ModelMeta, tmp_path: Path
) -> None:
    folder, file = tmp_path / "photos", tmp_path / "table.json"
    shutil.copytree(photos, folder)

    def measured(model: onnx.ModelProto = prepared) -> int:
        seen: list[str] = []
        calibrate(model, FEW, folder, meta.input_size, table=file, track=counting(seen))
        return len(seen)

    assert measured() == 6
    assert measured() == 0
    other = onnx.ModelProto()
    other.CopyFrom(prepared)
    other.graph.node[0].doc_string = "a note"
    assert measured(other) == 0
    weight = next(t for t in other.graph.initializer if len(t.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(0.9), weight.name))
    assert graph_hash(other) != graph_hash(prepared)
    assert measured(other) == 6
    assert measured() == 6
    shutil.copy(folder / "0000.jpg", folder / "0001.jpg")
    assert measured() == 6


def test_a_table_is_written_and_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    table = Table("ab", (320, 320), {"a.jpg": "cd"}, {"y": Range(-1.0, 2.0, 2 / 127), "x": Range(0, 1, 0.1)})
    write_table(file, table)
    assert read_table(file) == table
    lines = file.read_text().splitlines()
    assert '  "x": {"min": 0, "max": 1, "scale": 0.1},' in lines
    assert json.loads(file.read_text())["images_count"] == 1


@pytest.mark.parametrize("text", ["", "[]", '{"format": "x"}', '{"format": "edgekit calibration 2"}'])
def test_another_file_is_no_table(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.json"
    file.write_text(text)
    with pytest.raises(EdgekitError, match=r"t\.json: is not a calibration table"):
        read_table(file)


def test_a_table_of_another_kind_is_not_overwritten(
    prepared: onnx.ModelProto, photos: Path, meta: ModelMeta, tmp_path: Path
) -> None:
    file = tmp_path / "notes.json"
    file.write_text("mine")
    with pytest.raises(EdgekitError, match="is not a calibration table"):
        calibrate(prepared, FEW, photos, meta.input_size, table=file)
    assert file.read_text() == "mine"


def test_folders_that_cannot_be_used(prepared: onnx.ModelProto, meta: ModelMeta, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="holds no images"):
        calibrate(prepared, FEW, tmp_path, meta.input_size)
    with pytest.raises(EdgekitError, match="no such folder"):
        calibrate(prepared, FEW, tmp_path / "none", meta.input_size)
    (tmp_path / "a.jpg").write_bytes(np.zeros(100, np.uint8).tobytes())
    with pytest.raises(EdgekitError, match=r"a\.jpg: not a readable image"):
        calibrate(prepared, FEW, tmp_path, meta.input_size)


def test_graphs_for_several_canvases(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", SIZE[::-1], (9, 90, 200)).save(tmp_path / "photos" / "a.png")
    one, two = (onnx.load(write_tiny_detector(tmp_path / f"{n}.onnx", batch=n)) for n in (1, 2))
    ranges = [calibrate(g, ["logits"], tmp_path / "photos", SIZE).tensors["logits"] for g in (one, two)]
    assert ranges[0] == ranges[1]
    photo = canvas(tmp_path / "photos" / "a.png", SIZE)
    (single,), (double,) = detections(one, [photo]), detections(two, [photo])
    assert all(np.array_equal(a, b) for a, b in zip(single, double, strict=True))
