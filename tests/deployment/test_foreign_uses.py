"""What is done with a Detectron2 or MMDetection checkpoint: evaluated, compared, timed, quantised, put in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.cli import main
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.deployment.precision.conversion import Conversion
from edgekit.runtime.session import detect
from tests.deployment.test_foreign_models import SIZE, WRITERS
from tests.model.foreign.layouts import detectron2_model
from tests.packs import random_pack, write_packs

FEW_PIXELS = 8


def graph_of(framework: str, folder: Path) -> tuple[Path, Path]:
    """A checkpoint and its graph."""
    checkpoint = WRITERS[framework](folder)
    edgekit.export(checkpoint, folder / "x.onnx", shape=GraphShape(SIZE, proposals=60), verify=False)
    return checkpoint, folder / "x.onnx"


def own_annotations(model: Path, file: Path) -> Path:
    """What a model finds in the sample photos, as COCO's annotations of them, but for masks of no pixel."""
    session = edgekit.load(model)
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, path in enumerate(list_images(SAMPLE_PHOTOS)):
        photo = read_image(path)
        images.append({"id": number, "file_name": path.name, "height": photo.shape[0], "width": photo.shape[1]})
        seen = detect(session, photo)
        seen = seen.select(seen.pasted_masks().any(axis=(1, 2)))
        for row in seen.to_coco(session.meta.categories):
            area = row["bbox"][2] * row["bbox"][3]
            if min(row["bbox"][2:]) < FEW_PIXELS:  # a mask of whole pixels may miss most of such a box
                row = {**row, "segmentation": None}
            found.append(row | {"image_id": number, "id": len(found) + 1, "iscrowd": 0, "area": area})
    names = enumerate(session.meta.categories[1:], start=1)
    categories = [{"id": number, "name": name} for number, name in names]
    file.write_text(json.dumps({"images": images, "annotations": found, "categories": categories}))
    return file


@pytest.mark.parametrize("framework", ["detectron2", pytest.param("mmdetection", marks=pytest.mark.slow)])
def test_a_model_evaluated_on_its_own_detections(
    framework: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, graph = graph_of(framework, tmp_path)
    data = own_annotations(graph, tmp_path / "own.json")
    assert main(["eval", str(graph), "--data", str(data), "--images", str(SAMPLE_PHOTOS), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["objects"] > 30
    assert result["box"]["AP"] > 0.98
    assert result["mask"]["AP"] > 0.98


def test_a_checkpoint_with_its_config_compared_with_its_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, config, graph = WRITERS["detectron2"](tmp_path), tmp_path / "config.yaml", tmp_path / "x.onnx"
    config.write_text(json.dumps(detectron2_model(1)[1]))
    options = ["--settings", str(config)]
    assert main(["export", str(checkpoint), "-o", str(graph), "--size", "160x160", "--no-verify", *options]) == 0
    capsys.readouterr()
    assert main(["compare", str(checkpoint), str(graph), "--json", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["matched_share"] >= 0.99
    assert result["verification"]["parity"]["compared"] > 10
    assert result["stages"]
    assert main(["compare", str(graph), str(graph), *options]) == 1
    assert "omit" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
@pytest.mark.parametrize("framework", WRITERS)
def test_eight_bits(framework: str, target: str, tmp_path: Path) -> None:
    _, graph = graph_of(framework, tmp_path)
    conversion = Conversion("int8", target, SAMPLE_PHOTOS, ("none",))
    result = edgekit.export(graph, tmp_path / "eight.onnx", conversion=conversion, verify=False)
    assert result.precision == "int8"
    assert result.eight_bit_share is not None
    assert result.eight_bit_share > 0.85
    found = edgekit.load(tmp_path / "eight.onnx").infer(read_image(list_images(SAMPLE_PHOTOS)[0])[:160, :160])
    assert (found.scores > 0).any()


@pytest.mark.parametrize("framework", ["mmdetection", pytest.param("detectron2", marks=pytest.mark.slow)])
def test_a_folder_that_takes_packs(framework: str, tmp_path: Path) -> None:
    checkpoint, graph = graph_of(framework, tmp_path)
    folder = tmp_path / "model"
    edgekit.export(graph, folder, verify=False)
    photos = [read_image(path) for path in list_images(SAMPLE_PHOTOS)[:3]]
    before = [detect(edgekit.load(folder), photo) for photo in photos]
    edgekit.install(write_packs(tmp_path, random_pack("farm", base=checkpoint, size=(160, 160))), folder)
    after = [detect(edgekit.load(folder), photo) for photo in photos]
    assert sum((found.labels >= 4).sum() for found in after) > 0
    for one, other in zip(before, after, strict=True):
        old = other.select(other.labels < 4)
        assert one.boxes.tobytes() == old.boxes.tobytes()
        assert one.scores.tobytes() == old.scores.tobytes()
        assert one.masks.tobytes() == old.masks.tobytes()


def test_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, graph = graph_of("mmdetection", tmp_path)
    assert main(["bench", str(graph), "--runs", "2", "--json", str(tmp_path / "bench.json")]) == 0
    capsys.readouterr()
    (result,) = json.loads((tmp_path / "bench.json").read_text())["artifacts"]
    assert (result["latency"]["runs"], result["latency"]["input_size"]) == (2, list(SIZE))
