from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.images import list_images
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.calibration import read_table
from edgekit.deployment.precision.calibration_sets import CalibrationSet, write_set
from edgekit.deployment.precision.conversion import (
    JUDGED_PHOTOS,
    LEAST_PHOTOS,
    SEARCH_PHOTOS,
    Conversion,
    check_calibration,
    convert,
    judging_photos,
    searched_photos,
)
from edgekit.deployment.precision.keep import detections, difference
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256


def test_fp32_is_the_graph_itself(fp32: onnx.ModelProto, meta: ModelMeta) -> None:
    assert convert(fp32, Conversion("fp32"), meta.input_size).model is fp32


def test_fp16_needs_no_photos_of_ones_own(fp32: onnx.ModelProto, meta: ModelMeta) -> None:
    made = convert(fp32, Conversion("fp16", keep=("rpn",)), meta.input_size)
    assert made.kept == ("rpn",)
    assert made.model.ByteSize() < 0.6 * fp32.ByteSize()


def test_int8_writes_its_table_and_takes_it_again(
    fp32: onnx.ModelProto, meta: ModelMeta, photos: Path, tmp_path: Path
) -> None:
    table = tmp_path / "ranges.json"
    conversion = Conversion("int8", "cpu", photos, keep=("none",))
    made = convert(fp32, conversion, meta.input_size, table)
    assert len(read_table(table).images) == 6
    assert made.notes == ("calibrated on 6 photos",)
    again = convert(fp32, replace(conversion, calibration=table), meta.input_size)
    assert again.model == made.model


@pytest.mark.slow
def test_auto_names_what_it_keeps_and_gains_by_it(
    fp32: onnx.ModelProto, meta: ModelMeta, photos: Path, canvases: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.deployment.precision.conversion.SEARCH_PHOTOS", 2)
    monkeypatch.setattr("edgekit.deployment.precision.conversion.LEAST_PHOTOS", 2)
    made = convert(fp32, Conversion("int8", calibration=photos), meta.input_size)
    plain = convert(fp32, Conversion("int8", calibration=photos, keep=("none",)), meta.input_size)
    assert made.kept
    assert all(name in made.notes[-1] for name in made.kept)
    reference = detections(fp32, canvases)
    after = difference(reference, detections(made.model, canvases))
    assert after < difference(reference, detections(plain.model, canvases))


def test_errors_name_the_option(fp32: onnx.ModelProto, meta: ModelMeta, tmp_path: Path) -> None:
    size = meta.input_size
    with pytest.raises(EdgekitError, match="--precision int4: unknown"):
        convert(fp32, Conversion("int4"), size)
    with pytest.raises(EdgekitError, match="--precision int8: needs photos"):
        convert(fp32, Conversion("int8"), size)
    with pytest.raises(EdgekitError, match="holds no images"):
        convert(fp32, Conversion("int8", calibration=tmp_path), size)
    with pytest.raises(EdgekitError, match="--keep neck: no layer"):
        convert(fp32, Conversion("fp16", keep=("neck",)), size)
    with pytest.raises(EdgekitError, match=r"none\.json: is not a calibration set"):
        convert(fp32, Conversion("int8", calibration=tmp_path / "none.json"), size)


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
        write_set(calibration, CalibrationSet(str(folder), images))
    with pytest.raises(EdgekitError, match=f"at least {LEAST_PHOTOS} different photos, not {count} ") as raised:
        export("demo", tmp_path / "x.onnx", conversion=Conversion("int8", calibration=calibration))
    assert "--keep none" in str(raised.value.hint)
    assert not (tmp_path / "x.onnx").exists()
    check_calibration(Conversion("int8", calibration=calibration, keep=("body.1",)))
    check_calibration(Conversion("fp16", calibration=calibration))


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
    conversion = Conversion("int8", calibration=photos, keep=("none",))
    convert(fp32, conversion, meta.input_size, table)
    other = onnx.ModelProto()
    other.CopyFrom(fp32)
    other.graph.initializer[0].raw_data = other.graph.initializer[0].raw_data[::-1]
    with pytest.raises(EdgekitError, match="was calibrated on another graph"):
        convert(other, replace(conversion, calibration=table), meta.input_size)
    with pytest.raises(EdgekitError, match="--keep auto: needs photos"):
        convert(fp32, Conversion("int8", calibration=table), meta.input_size)
