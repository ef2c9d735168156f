from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.images import list_images
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.calibration_sets import CalibrationSet, photos_of, read_set, write_set
from edgekit.deployment.precision.conversion import (
    JUDGED_PHOTOS,
    LEAST_PHOTOS,
    SEARCH_PHOTOS,
    check_calibration,
    convert,
    judging_photos,
    searched_photos,
)
from edgekit.deployment.precision.keep import detections, difference
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256

COMMITTED = Path(__file__).parents[3] / "calibration" / "demo.json"


def test_fp32_is_the_graph_itself(fp32: onnx.ModelProto, meta: ModelMeta) -> None:
    assert convert(fp32, "fp32", input_size=meta.input_size).model is fp32


def test_fp16_needs_no_photos_of_ones_own(fp32: onnx.ModelProto, meta: ModelMeta) -> None:
    made = convert(fp32, "fp16", input_size=meta.input_size, keep=("rpn",))
    assert (made.precision, made.target, made.kept, made.table) == ("fp16", None, ("rpn",), None)
    assert made.model.ByteSize() < 0.6 * fp32.ByteSize()


def test_int8_writes_its_table_and_takes_it_again(
    fp32: onnx.ModelProto, meta: ModelMeta, photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "ranges.json"
    how = {"input_size": meta.input_size, "target": "cpu"}
    made = convert(fp32, "int8", calibration=photos, table=table, **how)
    assert (made.precision, made.target, made.table) == ("int8", "cpu", table)
    assert made.table_sha256 == sha256(table)
    assert made.notes == ("calibrated on 6 photos",)
    again = convert(fp32, "int8", calibration=table, **how)
    assert again.model == made.model


@pytest.mark.slow
def test_auto_names_what_it_keeps_and_gains_by_it(
    fp32: onnx.ModelProto, meta: ModelMeta, photos: Path, canvases: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.deployment.precision.conversion.SEARCH_PHOTOS", 2)
    monkeypatch.setattr("edgekit.deployment.precision.conversion.LEAST_PHOTOS", 2)
    how = {"input_size": meta.input_size, "calibration": photos}
    plain = convert(fp32, "int8", **how)
    made = convert(fp32, "int8", keep=("auto",), **how)
    assert made.kept
    assert all(name in made.notes[-1] for name in made.kept)
    reference = detections(fp32, canvases)
    after = difference(reference, detections(made.model, canvases))
    assert after < difference(reference, detections(plain.model, canvases))


def test_the_committed_set_is_drawn_and_still_the_same(tmp_path: Path) -> None:
    described = read_set(COMMITTED)
    assert described is not None
    drawn = photos_of(described, COMMITTED, tmp_path)
    assert {p.name for p in list_images(drawn)} == set(described.images)


def test_a_folder_described_is_checked(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.json"
    images = {p.name: sha256(p) for p in list_images(photos)}
    write_set(file, CalibrationSet("folder", images, {}, str(photos), "six scenes"))
    described = read_set(file)
    assert described is not None
    assert photos_of(described, file, tmp_path) == photos
    wrong = CalibrationSet("folder", images | {"0002.jpg": "00"}, {}, str(photos))
    with pytest.raises(EdgekitError, match=r"not the photos that .*set\.json describes: 0002\.jpg"):
        photos_of(wrong, file, tmp_path)
    file.write_text('{"format": "edgekit calibration set 1", "kind": "film", "images": {"a": "b"}}')
    with pytest.raises(EdgekitError, match="damaged calibration set"):
        read_set(file)


def test_errors_name_the_option(fp32: onnx.ModelProto, meta: ModelMeta, tmp_path: Path) -> None:
    size = meta.input_size
    with pytest.raises(EdgekitError, match="--precision int4: unknown"):
        convert(fp32, "int4", input_size=size)
    with pytest.raises(EdgekitError, match="--precision int8: needs photos"):
        convert(fp32, "int8", input_size=size)
    with pytest.raises(EdgekitError, match="holds no images"):
        convert(fp32, "int8", input_size=size, calibration=tmp_path)
    with pytest.raises(EdgekitError, match="--keep neck: no layer"):
        convert(fp32, "fp16", input_size=size, keep=("neck",))
    with pytest.raises(EdgekitError, match=r"none\.json: no calibration set"):
        convert(fp32, "int8", input_size=size, calibration=tmp_path / "none.json")


@pytest.mark.parametrize("given", ["few", "copies", "described"])
def test_a_search_on_few_photos_is_refused(given: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for place in range(LEAST_PHOTOS if given == "copies" else LEAST_PHOTOS - 1):
        color = (0, 0, 0) if given == "copies" else (place, 0, 0)
        Image.new("RGB", (8, 8), color).save(folder / f"{place}.png")
    calibration, count = folder, 1 if given == "copies" else LEAST_PHOTOS - 1
    if given == "described":
        calibration = tmp_path / "set.json"
        images = {p.name: sha256(p) for p in list_images(folder)}
        write_set(calibration, CalibrationSet("folder", images, {}, str(folder)))
    with pytest.raises(EdgekitError, match=f"at least {LEAST_PHOTOS} different photos, not {count} ") as raised:
        export("demo", tmp_path / "x.onnx", precision="int8", calibration=calibration)
    assert "--keep none" in str(raised.value.hint)
    assert not (tmp_path / "x.onnx").exists()
    check_calibration(calibration, "int8", ("body.1",))
    check_calibration(calibration, "fp16", ("auto",))


def test_the_result_is_judged_first_on_photos_that_no_search_saw(tmp_path: Path) -> None:
    for place in range(SEARCH_PHOTOS + JUDGED_PHOTOS):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{place:03}.png")
    photos = list_images(tmp_path)
    judged = judging_photos(tmp_path)
    assert len(set(judged)) == JUDGED_PHOTOS
    assert not set(judged) & set(searched_photos(photos))
    for photo in photos[SEARCH_PHOTOS - 2 :]:
        photo.unlink()
    assert sorted(judging_photos(tmp_path)) == photos[: SEARCH_PHOTOS - 2]


def test_a_table_of_another_graph(fp32: onnx.ModelProto, meta: ModelMeta, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "ranges.json"
    how = {"input_size": meta.input_size}
    convert(fp32, "int8", calibration=photos, table=table, **how)
    other = onnx.ModelProto()
    other.CopyFrom(fp32)
    other.graph.initializer[0].raw_data = other.graph.initializer[0].raw_data[::-1]
    with pytest.raises(EdgekitError, match="was calibrated on another graph"):
        convert(other, "int8", calibration=table, **how)
    with pytest.raises(EdgekitError, match="--keep auto: needs photos"):
        convert(fp32, "int8", calibration=table, keep=("auto",), **how)
