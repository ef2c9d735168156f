from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.model_names import EMBEDDED
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.artifacts.safetensors_files import read_safetensors, write_safetensors
from edgekit.cli import main
from edgekit.comparison.compare import compare
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.deployment.export.export import export
from edgekit.errors import EdgekitError

# One weight of each part of the model, how much is added to it, and the stage at which that must show.
BROKEN = [
    ("backbone.body.1.conv.1.weight", 3.0, "backbone"),
    ("backbone.fpn.layer_blocks.0.0.weight", 1.0, "backbone"),
    ("rpn.head.conv.0.0.weight", 3.0, "proposals"),
    ("rpn.head.bbox_pred.weight", 3.0, "proposals"),
    ("roi_heads.box_head.fc6.weight", 3.0, "RoI features"),
    ("roi_heads.box_head.fc7.weight", 3.0, "RoI features"),
    ("roi_heads.box_predictor.cls_score.weight", 1.0, "boxes"),
    ("roi_heads.box_predictor.bbox_pred.weight", 3.0, "boxes"),
    ("roi_heads.mask_head.0.0.weight", 3.0, "masks"),
    ("roi_heads.mask_predictor.mask_fcn_logits.weight", 3.0, "masks"),
]


def busiest(weight: np.ndarray, added: float) -> np.ndarray:
    """``weight`` with one element changed: the largest, since that is one in use."""
    changed = weight.copy()
    changed.reshape(-1)[np.abs(weight).argmax()] += added
    return changed


def broken_onnx(path: Path, output: Path, name: str, added: float) -> Path:
    graph, meta = read_onnx(path)
    held = {t.name: t for t in graph.graph.initializer}
    own = name.removeprefix("roi_heads.")  # a box head's weights are the graph's own, in another order
    tensor = held[next(n for n in held if n.endswith(own))]
    tensor.CopyFrom(numpy_helper.from_array(busiest(numpy_helper.to_array(tensor), added), tensor.name))
    write_onnx(output, graph, meta)
    return output


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the photos that come with edgekit."""
    folder = tmp_path_factory.mktemp("photos")
    for file in list_images(SAMPLE_PHOTOS)[:3]:
        shutil.copy(file, folder)
    return folder


@pytest.mark.parametrize(("name", "added", "stage"), BROKEN)
def test_the_stage_that_one_changed_weight_breaks_is_named(
    name: str, added: float, stage: str, base_onnx: Path, photos: Path, tmp_path: Path
) -> None:
    result = compare(base_onnx, broken_onnx(base_onnx, tmp_path / "broken.onnx", name, added), photos)
    assert result.differs_at == stage, result.stages


@pytest.mark.parametrize(("name", "added", "stage"), [BROKEN[1], BROKEN[8]])
def test_checkpoints_too(name: str, added: float, stage: str, photos: Path, tmp_path: Path) -> None:
    tensors, meta = read_safetensors(EMBEDDED["demo"])
    output = tmp_path / "broken.safetensors"
    write_safetensors(output, tensors | {name: busiest(tensors[name], added)}, meta)
    assert compare("demo", output, photos).differs_at == stage


def test_a_model_and_its_graph_agree_at_every_stage(base_onnx: Path, mixed_test: Dataset) -> None:
    result = compare("demo", base_onnx, mixed_test.file.parent, mixed_test.file, min_matched=0.99)
    assert result.passed
    assert result.differs_at is None
    assert [s.stage for s in result.stages] == ["backbone", "proposals", "RoI features", *["boxes"] * 3, "masks"]
    assert all(s.difference < s.tolerance / 10 for s in result.stages)
    seen = result.verification
    assert seen.parity.compared > 10
    assert seen.parity.smallest_mask_iou == pytest.approx(1.0)
    assert seen.reference is not None
    assert seen.other is not None
    assert abs(seen.reference.box.AP - seen.other.box.AP) < 1e-3
    assert seen.reference.box.AP > 0.3


def test_a_checkpoint_is_compared_at_the_graphs_size(photos: Path, tmp_path: Path) -> None:
    graph = export("demo", tmp_path / "wide.onnx", shape=GraphShape((256, 384))).output
    result = compare("demo", graph, photos)
    assert result.input_size == (256, 384)
    assert result.differs_at is None


def test_the_command_reports_and_fails_with_the_numbers(
    base_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = broken_onnx(base_onnx, tmp_path / "broken.onnx", *BROKEN[4][:2])
    assert main(["compare", str(base_onnx), str(broken)]) == 0
    assert "RoI features" in capsys.readouterr().out
    assert main(["compare", str(base_onnx), str(broken), "--min-matched", "0.99", "--json"]) == 1
    streams = capsys.readouterr()
    assert '"differs_at": "RoI features"' in streams.out
    assert "detections above score 0.3 matched" in streams.err
    assert len(streams.err.strip().splitlines()) == 1  # after the progress bars, gone by now


def test_models_that_cannot_be_compared_are_named(base_onnx: Path, adapted_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"only one has chicken, frog.*forms of one model"):
        compare(base_onnx, adapted_onnx)
    graph, meta = read_onnx(base_onnx)
    write_onnx(tmp_path / "other.onnx", graph, replace(meta, input_size=(256, 320)))
    with pytest.raises(EdgekitError, match=r"320x320 and 256x320.*--size 320x320"):
        compare(base_onnx, tmp_path / "other.onnx")
    del graph.metadata_props[:]
    (tmp_path / "strange.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(EdgekitError, match=r"strange.onnx: is an ONNX model but not edgekit's.*edgekit export"):
        compare(base_onnx, tmp_path / "strange.onnx")
    with pytest.raises(EdgekitError, match="not a share"):
        compare(base_onnx, base_onnx, min_matched=99)
    with pytest.raises(EdgekitError, match="--images"):
        compare(base_onnx, base_onnx, data=tmp_path / "a.json")


def test_a_model_that_is_no_rcnn_is_named(base_onnx: Path, tmp_path: Path) -> None:
    import torch

    torch.save(
        {"conv1.weight": torch.zeros(3), "fc.weight": torch.zeros(3), "layer1.0": torch.zeros(1)}, tmp_path / "r.pth"
    )
    with pytest.raises(EdgekitError, match="image classifier"):
        compare(base_onnx, tmp_path / "r.pth")


def test_a_graph_that_hides_its_inner_values_is_still_compared(base_onnx: Path, photos: Path, tmp_path: Path) -> None:
    graph, meta = read_onnx(base_onnx)
    del graph.graph.value_info[:]
    write_onnx(tmp_path / "plain.onnx", graph, meta)
    result = compare(base_onnx, tmp_path / "plain.onnx", photos)
    assert result.matched_share == 1.0
    assert result.stages == ()
    assert "trunk.table" in (result.stages_missing or "")
