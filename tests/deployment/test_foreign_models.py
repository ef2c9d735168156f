"""Checkpoints of Detectron2 and MMDetection all the way: detections, graphs, packs, and what the commands say."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.cli import main
from edgekit.comparison.pairing import mask_iou, paired
from edgekit.comparison.parity import parity
from edgekit.comparison.tolerance import MIN_SCORE
from edgekit.data.detections import Detections
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.export.export import export
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Outputs, Session
from edgekit.runtime.torch_session import TorchSession
from tests.model.foreign.layouts import detectron2_model, mmdetection_model, python_text
from tests.packs import assert_same, random_pack, real, write_packs

MODELS = Path(__file__).parents[3] / "shared" / "models"
SMALL = [
    "detectron2/faster_rcnn_R_50_FPN_3x_small",
    "detectron2/mask_rcnn_R_50_FPN_small",
    "mmdetection/faster-rcnn_r50-caffe_fpn_small",
    "mmdetection/mask-rcnn_r50_fpn_small",
]
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/models")
PHOTO = (480, 640)  # every image of ../shared/models
SIZE = (160, 160)  # the shape of the sample photos


@cache
def small(name: str) -> tuple[GenerationalRCNN, ModelMeta]:
    return load_model(MODELS / name / "model.pth", size=PHOTO)


def theirs(name: str, photo: int) -> Detections:
    """What the framework found in a photo of ../shared/models; labels count the background."""
    found = np.load(MODELS / name / "outputs.npz")
    boxes = found[f"{photo}.boxes"]
    masks = found[f"{photo}.masks"] if f"{photo}.masks" in found else np.zeros((len(boxes), 0, 0), np.float32)
    return Detections(boxes, found[f"{photo}.classes"].astype(np.int64) + 1, found[f"{photo}.scores"], masks, PHOTO)


def check_finds_the_same(session: Session, name: str) -> None:
    """At least 99% of the framework's detections are found again, and no others; of those, all but 3 masks too."""
    pairs = []
    for photo in range(3):
        ours = real(session.infer(read_image(MODELS / "images" / f"{photo}.png")))
        pairs.append((theirs(name, photo), Detections(*ours, PHOTO)))
    result = parity(pairs)
    assert result.compared == 300
    assert result.matched >= 297
    assert result.extra <= result.compared - result.matched
    if "mask" in name:
        ious = [iou for pair in pairs for iou in mask_ious(*pair)]
        assert len(ious) >= result.matched
        assert sum(iou < 0.99 for iou in ious) <= 3  # small ones: one pixel of 30 is 0.97


def mask_ious(reference: Detections, other: Detections) -> list[float]:
    """Of pasted masks, for the detections whose boxes and scores match."""
    first, second, overlaps = paired(reference, other, MIN_SCORE)
    a, b = reference.select(first), other.select(second)
    same = (overlaps >= 0.99) & (np.abs(a.scores - b.scores) <= 1e-3)
    a, b = a.select(same), b.select(same)
    return [mask_iou(x, y) for x, y in zip(a.cropped_masks(), b.cropped_masks(), strict=True)]


@needs_models
@pytest.mark.parametrize("name", SMALL)
def test_pytorch_finds_what_the_framework_found(name: str) -> None:
    check_finds_the_same(TorchSession(*small(name)), name)


@needs_models
@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_the_graph_finds_what_the_framework_found(name: str, tmp_path: Path) -> None:
    module, meta = small(name)
    write_onnx(tmp_path / "x.onnx", to_onnx(module, GraphShape(PHOTO)), meta)
    check_finds_the_same(OnnxSession(tmp_path / "x.onnx"), name)


def write_detectron2(folder: Path) -> Path:
    """A small random Mask R-CNN as training writes it, without its config."""
    tensors, _ = detectron2_model(1)
    torch.save({"model": tensors, "__author__": "Detectron2", "iteration": 90}, folder / "detectron2.pth")
    return folder / "detectron2.pth"


def write_mmdetection(folder: Path) -> Path:
    """A small random Mask R-CNN as training writes it, with its config."""
    tensors, config = mmdetection_model(1)
    meta = {"cfg": python_text(config), "dataset_meta": {"classes": ("hen", "toad", "cart")}, "mmdet_version": "3.3.0"}
    torch.save({"meta": meta, "state_dict": tensors}, folder / "mmdetection.pth")
    return folder / "mmdetection.pth"


WRITERS = {"detectron2": write_detectron2, "mmdetection": write_mmdetection}


@pytest.mark.parametrize("framework", ["detectron2", pytest.param("mmdetection", marks=pytest.mark.slow)])
def test_an_export_is_what_pytorch_finds_and_describes_itself(framework: str, tmp_path: Path) -> None:
    result = export(WRITERS[framework](tmp_path), tmp_path / "x.onnx", shape=GraphShape(SIZE, proposals=60))
    assert result.verification is not None
    assert result.verification.passed
    assert result.verification.parity.compared > 10
    meta = read_onnx(tmp_path / "x.onnx")[1]
    assert meta.architecture == f"{framework} maskrcnn_resnet50_fpn"
    assert (meta.settings.roi_sampling, meta.settings.roi_aligned, meta.settings.anchors_rounded) == (0, True, False)
    names = {"detectron2": ("class 1", "class 2", "class 3"), "mmdetection": ("hen", "toad", "cart")}
    assert meta.categories[1:] == names[framework]
    assumed = {"detectron2": True, "mmdetection": False}
    assert bool(result.assumed) == assumed[framework]


@pytest.mark.parametrize("framework", WRITERS)
def test_packs_change_no_detection_of_such_a_base(framework: str, tmp_path: Path) -> None:
    base = WRITERS[framework](tmp_path)
    pack = random_pack("farm", base=base, size=SIZE)
    alone, both = load_model(base, size=SIZE), load_model(base, size=SIZE, packs=[pack])
    canvases = [fit(read_image(p), SIZE, alone[1].settings.pad).pixels for p in list_images(SAMPLE_PHOTOS)[:3]]
    before, after = ([real(TorchSession(*m).infer(c)) for c in canvases] for m in (alone, both))
    assert_same(before, [of_labels(found, 0, 4) for found in after])
    assert sum((found.labels >= 4).sum() for found in after) > 0
    (path,) = write_packs(tmp_path, pack)
    drawn = tmp_path / "drawn"
    assert main(["predict", str(base), str(SAMPLE_PHOTOS / "0.jpg"), "--pack", str(path), "-o", str(drawn)]) == 0
    assert list(drawn.iterdir())


def of_labels(found: Outputs, low: int, high: int) -> Outputs:
    own = (found.labels >= low) & (found.labels < high)
    return Outputs(*(values[own] for values in found))


def test_inspect_of_detectron2s_weights_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_detectron2(tmp_path))
    assert main(["inspect", path]) == 0
    printed = capsys.readouterr()
    assert "detectron2 maskrcnn_resnet50_fpn" in printed.out
    assert re.search(r"│ mean +│ [^│]+│ +assumed: ", printed.out)
    assert printed.err.startswith("assumed, since the weights do not say it: ")
    assert printed.err.count("\n") == 1
    assert all(name in printed.err for name in ("mean", "score_threshold", "anchor_sizes"))
    assert "fpn_channels" not in printed.err
    assert main(["inspect", path, "--json"]) == 0
    printed = capsys.readouterr()
    settings = json.loads(printed.out)["meta"]["settings"]
    assert (settings["origins"]["mean"], settings["origins"]["fpn_channels"]) == (
        "assumed: Detectron2's default",
        "file",
    )


def test_inspect_with_detectron2s_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, config = write_detectron2(tmp_path), tmp_path / "config.yaml"
    config.write_text(json.dumps(detectron2_model(1)[1]))  # JSON is YAML
    assert main(["inspect", str(path), "--settings", str(config), "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["meta"]["settings"]
    assert (settings["score_threshold"], settings["origins"]["score_threshold"]) == (0.1, "config")
    assert main(["inspect", str(path), "--settings", str(config)]) == 0
    assert capsys.readouterr().err == ""


def test_inspect_of_a_checkpoint_that_holds_its_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write_mmdetection(tmp_path))
    assert main(["inspect", path]) == 0
    printed = capsys.readouterr()
    assert "hen, toad, cart" in printed.out
    assert printed.err == ""


def test_single_settings_change_a_model_of_another_framework(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = write_detectron2(tmp_path), tmp_path / "own.yaml"
    file.write_text("detections: 7\nscore_threshold: 0.25\n")
    assert main(["inspect", str(path), "--settings", str(file), "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["meta"]["settings"]
    assert (settings["detections"], settings["score_threshold"]) == (7, 0.25)
    assert settings["origins"]["detections"] == str(file)


NO_MODULE = "model = dict(type='MaskRCNN', backbone=dict(type='SwinTransformer'))\n"
BAD: dict[str, tuple[str, str, str, str]] = {
    "unknown field": ("detectron2", "own.yaml", "detection: 7\n", "detection: is not a setting"),
    "0..255": ("detectron2", "own.json", '{"mean": [123.7, 116.3, 103.5]}', r"mean \[123.7, .*not in 0..255"),
    "std in 0..255": ("mmdetection", "own.yaml", "std: [58.4, 57.1, 57.4]\n", r"std \[58.4, .*not in 0..255"),
    "another kind": ("mmdetection", "own.yaml", "detections: many\n", "detections: 'many' is not int"),
    "two channels": ("detectron2", "own.yaml", "mean: [0.5, 0.5]\n", "mean: give 3 numbers"),
    "the weights have others": ("mmdetection", "own.yaml", "fpn_channels: 8\n", "fpn_channels 8: the weights have 16"),
    "no level": ("detectron2", "own.yaml", "roi_levels: ['9']\n", r"roi_levels \['9'\]: the FPN has 0 to 3"),
    "no mapping": ("detectron2", "own.yaml", "- detections\n", "holds no settings"),
    "a lacking module": ("mmdetection", "own.py", NO_MODULE, "model.backbone.type .*SwinTransformer"),
    "the other framework's": ("mmdetection", "own.yaml", "MODEL: {}\n", "own.yaml: is Detectron2's config"),
    "the other's": ("detectron2", "own.py", "model = dict()\n", "own.py: is Python, as MMDetection's configs"),
    "code": ("mmdetection", "own.py", "import os\nos.remove('x')\nmodel = dict()\n", "line 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_cannot_be(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    framework, name, text, said = BAD[case]
    check_refused(WRITERS[framework](tmp_path), tmp_path / name, text, said, capsys)


def test_a_config_of_other_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = detectron2_model(1)[1]
    config["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] = 80
    path = write_detectron2(tmp_path)
    check_refused(path, tmp_path / "config.yaml", json.dumps(config), "MODEL.ROI_HEADS.NUM_CLASSES", capsys)


def check_refused(model: Path, file: Path, text: str, said: str, capsys: pytest.CaptureFixture[Any]) -> None:
    """A command fails with one line that matches ``said``, and one of what to do."""
    file.write_text(text)
    assert main(["inspect", str(model), "--settings", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(said, printed.err)
    assert len(printed.err.splitlines()) <= 2
