"""A detector with what Detectron2 and MMDetection have beside torchvision's, as a static graph and in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import BOX_HEAD, mask_head
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.artifacts.value_names import BOX_FEATURES, IMAGES, PROPOSALS, TABLE
from edgekit.comparison.parity import parity
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.precision.half import half_values, to_fp16
from edgekit.graphs.parts import cut
from edgekit.model.anchors import Anchors
from edgekit.model.box_coders import SymmetricBoxCoder
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.roi_pooling import RoIPooling
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession


@pytest.fixture(scope="module")
def model() -> tuple[GenerationalRCNN, ModelMeta]:
    """The embedded model with aligned adaptive pooling, anchors that are not rounded, and a symmetric box coder."""
    module, meta = load_model("demo", CheckpointHints(), None, ())
    heads, rpn = module.heads, module.base.rpn
    for name in ("box_roi_pool", "mask_roi_pool"):
        old = getattr(heads, name)
        setattr(heads, name, RoIPooling(old.featmap_names, old.output_size, 0, aligned=True))
    old = rpn.anchor_generator
    rpn.anchor_generator = Anchors(old.sizes, old.aspect_ratios, rounded=False, strides=(8, 16, 32, 64), offset=0.5)
    rpn.box_coder = SymmetricBoxCoder(rpn.box_coder.weights)
    heads.box_coder = SymmetricBoxCoder(heads.box_coder.weights)
    return module, meta


@pytest.fixture(scope="module")
def graph(model: tuple[GenerationalRCNN, ModelMeta]) -> onnx.ModelProto:
    module, meta = model
    return to_onnx(module, GraphShape(meta.input_size))


def photos() -> list[np.ndarray]:
    return [read_image(p) for p in list_images(SAMPLE_PHOTOS)]


def test_finds_what_pytorch_finds(
    model: tuple[GenerationalRCNN, ModelMeta], graph: onnx.ModelProto, tmp_path: Path
) -> None:
    write_onnx(tmp_path / "x.onnx", graph, model[1])
    reference, exported = TorchSession(*model), OnnxSession(tmp_path / "x.onnx")
    result = parity((detect(reference, p), detect(exported, p)) for p in photos())
    assert result.compared >= 5
    assert result.matched == result.compared


def test_parts_pool_as_the_whole_graph_does(graph: onnx.ModelProto) -> None:
    """Other numbers of boxes than the graph's, in parts that were cut out of it."""
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    shown = {v.name: v for v in whole.graph.value_info}
    whole.graph.output.extend(shown[name] for name in (TABLE, PROPOSALS, BOX_FEATURES))
    canvas = fit(photos()[0], (320, 320)).pixels[None]
    table, proposals, features = run(whole, [TABLE, PROPOSALS, BOX_FEATURES], {IMAGES: canvas})
    parts = cut(graph)
    assert {BOX_HEAD, mask_head(4)} <= set(parts)
    head = parts[BOX_HEAD]
    boxes, values = (i.name for i in head.graph.input)
    found = run(head, [head.graph.output[0].name], {boxes: proposals, values: table})[0]
    assert np.abs(found - features).max() < 1e-4


def test_half_keeps_the_places_of_cells_in_float(graph: onnx.ModelProto) -> None:
    half = to_fp16(graph)
    types = {v.name: v.type.tensor_type.elem_type for v in half.graph.value_info}
    kinds = {"Floor", "Ceil", "Abs", "Less", "LessOrEqual"}
    places = [n for n in half.graph.node if n.op_type in kinds]
    assert len(places) > 10
    assert all(types[v] != onnx.TensorProto.FLOAT16 for n in places for v in [*n.input, *n.output] if v in types)
    assert half_values(graph)
    canvas = fit(photos()[0], (320, 320)).pixels[None]
    names = ["boxes", "scores"]
    (boxes, scores), (_, expected) = (run(g, names, {IMAGES: canvas}) for g in (half, graph))
    assert np.abs(scores - expected).max() < 2e-2
    assert np.isfinite(boxes).all()


def test_more_cells_can_be_asked_for(model: tuple[GenerationalRCNN, ModelMeta]) -> None:
    module, meta = model
    canvas = torch.tensor(fit(photos()[0], meta.input_size).pixels)[None]
    graph = to_onnx(module, GraphShape(meta.input_size, sampling_cells=64))
    with torch.inference_mode():
        features, proposals = module.trunk(canvas)
        expected = module.box_features(features, proposals, meta.input_size)
    graph.graph.output.extend(v for v in graph.graph.value_info if v.name == BOX_FEATURES)
    found = run(graph, [BOX_FEATURES], {IMAGES: canvas.numpy()})[0]
    assert np.abs(found[: len(expected)] - expected.numpy()).max() < 1e-3


def run(graph: onnx.ModelProto, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(names, feed)
    return found
