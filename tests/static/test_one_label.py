"""One label per object, in the graph."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selected
from edgekit.runtime.torch_session import TorchSession
from tests.packs import scenes


def test_one_label_per_object_in_the_graph(tmp_path: Path) -> None:
    module, meta = load_model("demo")
    old, added = module.predictors.box_predictor, []
    for surer in (1, 4):  # the old classes, refined and by other names, surer, so that they find the same objects
        generation = Generation(12, old.cls_score.in_features, module.predictors.mask_channels)
        for name, rows in (("cls_score", 1), ("bbox_pred", 4)):
            weight, bias = getattr(old, name).weight.data[rows:], getattr(old, name).bias.data[rows:]
            more = surer if name == "cls_score" else 0
            generation.load_state_dict({f"{name}.weight": weight, f"{name}.bias": bias + more}, strict=False)
        added.append(generation)
        names = meta.old_classes if surer == 1 else tuple(f"again {i}" for i in range(12))
        meta = meta.with_generation(names)
    module = GenerationalRCNN(module.base, added).eval()
    meta = dataclasses.replace(meta, overlaps="one")
    path = tmp_path / "one.onnx"
    write_onnx(path, to_onnx(module, GraphShape(meta.input_size, overlaps="one"), meta.class_labels), meta)
    graph, reference = open_session(path), Selected(TorchSession(module, meta))
    dropped: set[int] = set()
    for scene in scenes():
        found, expected = graph.infer(scene), reference.infer(scene)
        real = found.scores > 0
        assert found.labels[real].tolist() == expected.labels.tolist()
        assert np.allclose(found.boxes[real], expected.boxes, atol=1e-2)
        every = reference.session.infer(scene)
        gone = ~np.isin(every.scores, expected.scores)
        dropped |= set(np.digitize(every.labels[gone], [13, 25]).tolist())
    assert dropped >= {0, 1}, "none of the base model's, or none of a later generation: the test shows nothing"
