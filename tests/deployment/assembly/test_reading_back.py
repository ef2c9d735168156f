"""Classes added to a model of which there is only the ONNX export."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from edgekit.deployment.assembly.appending import append_generation
from onnx import numpy_helper

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import open_onnx, write_onnx
from edgekit.artifacts.value_names import BOXES, FEATURES, IMAGES, TABLE
from edgekit.demo.scenes import render_scene
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.assembly.reading_back import extract_trunk, read_heads
from edgekit.deployment.assembly.trunk_files import BODY, export_trunk
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selected
from edgekit.runtime.torch_session import TorchSession
from tests.checkpoints import FASTERRCNN, SIZE, random_detector, write


def random_generation(module: GenerationalRCNN, classes: int, adapter: bool) -> Generation:
    """Rows that find something."""
    torch.manual_seed(classes)
    features = module.predictors.box_predictor.cls_score.in_features
    generation = Generation(classes, features, module.predictors.mask_channels, adapter)
    torch.nn.init.normal_(generation.cls_score.weight, std=0.5)
    if generation.adapter is not None:
        torch.nn.init.normal_(generation.adapter.cls_score.weight, std=0.1)
        torch.nn.init.normal_(generation.adapter.bbox_pred.weight, std=0.01)
    return generation.eval()


def with_classes(meta: ModelMeta, names: Sequence[str]) -> ModelMeta:
    return dataclasses.replace(meta, generations=(*meta.generations, tuple(names)))


def test_appended_generations_change_nothing_earlier(base_onnx: Path, tmp_path: Path) -> None:
    module, _ = load_model("demo")
    scenes = [render_scene("mixed-test", i).image for i in range(3)]
    current, generations = base_onnx, []
    for step, adapter in enumerate((False, True)):
        file = open_onnx(current)
        heads, meta = read_heads(file), file.meta
        generations.append(random_generation(heads, 2 + step, adapter))
        output = tmp_path / f"{step}.onnx"
        grown = with_classes(meta, [f"{step} {i}" for i in range(2 + step)])
        append_generation(file, output, generations[-1], grown)
        before, after = open_session(current), open_session(output)
        found_new = 0
        for scene in scenes:
            old, new = before.infer(scene), after.infer(scene)
            kept = new.labels < len(meta.categories)
            found_new += int((new.scores[~kept] > 0).sum())
            assert all(np.array_equal(a, b[kept]) for a, b in zip(old, new, strict=True))
        assert found_new, "the random rows found nothing: the test shows nothing"
        same_initialisers(current, output)
        current = output
    both = tmp_path / "both.onnx"
    write_onnx(both, to_onnx(GenerationalRCNN(module.base, generations), GraphShape(grown.input_size)), grown)
    appended, exported = open_session(current), open_session(both)
    for scene in scenes:
        for a, b in zip(appended.infer(scene), exported.infer(scene), strict=True):
            assert np.allclose(a, b, atol=1e-4)


def same_initialisers(before: Path, after: Path) -> None:
    later = {t.name: t.raw_data for t in onnx.load(after).graph.initializer}
    assert len(later) == len(onnx.load(after).graph.initializer)
    for tensor in onnx.load(before).graph.initializer:
        assert later[tensor.name] == tensor.raw_data


@pytest.mark.parametrize("half", [False, True])
def test_heads_come_back_from_the_graph(half: bool, base_onnx: Path, tmp_path: Path) -> None:
    module, meta = load_model("demo")
    path = base_onnx
    if half:
        graph = onnx.load(base_onnx)
        for tensor in graph.graph.initializer:
            if tensor.name.startswith("model.base.roi_heads.box_head"):
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
        path = tmp_path / "half.onnx"
        onnx.save(graph, path)
    rebuilt = heads_without_check(path) if half else read_heads(open_onnx(path))
    exported = {field: getattr(meta, field) for field in ("parent_sha256", "versions")}
    assert dataclasses.replace(open_onnx(base_onnx).meta, **exported) == meta
    for name, tensor in rebuilt.heads.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor, module.heads.state_dict()[name], atol=1e-3 if half else 0, rtol=0)


def heads_without_check(path: Path) -> GenerationalRCNN:
    """Of a graph that is no valid one: only its weights' type was changed."""
    from edgekit.deployment.assembly import reading_back as compose

    graph = onnx.load(path)
    return compose.heads_of(graph, load_model("demo")[1], path)


def test_extracted_trunk_equals_the_exported(base_onnx: Path, tmp_path: Path) -> None:
    module, meta = load_model("demo")
    extract_trunk(open_onnx(base_onnx), tmp_path / "cut", rois=8, mask_rois=3)
    export_trunk(module, meta.input_size, tmp_path / "exported", proposals=32, rois=8, mask_rois=3)
    pixels = render_scene("mixed-test", 0).image[None]
    results = []
    for folder in (tmp_path / "cut", tmp_path / "exported"):
        body, box, mask = (
            ort.InferenceSession(str(folder / f"{n}.onnx"), providers=["CPUExecutionProvider"])
            for n in ("body", "box_head", "mask_head")
        )
        table, proposals, proposed = body.run(list(BODY), {IMAGES: pixels})
        assert proposed[:32].all()
        box_features = box.run([FEATURES], {TABLE: table, BOXES: proposals[:8]})[0]
        mask_features = mask.run([FEATURES], {TABLE: table, BOXES: proposals[:3]})[0]
        results.append((table, proposals[:32], box_features, mask_features))
    for cut, exported in zip(*results, strict=True):
        assert cut.shape == exported.shape
        assert np.array_equal(cut, exported)
    with torch.inference_mode():
        features, _ = module.trunk(torch.tensor(pixels))
        rois = [torch.tensor(results[0][1][:8])]
        expected = module.box_features(features, rois, meta.input_size).numpy()
    assert np.allclose(results[0][2], expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [FASTERRCNN, "maskrcnn_resnet50_fpn_v2"])
def test_classes_appended_to_other_architectures(name: str, tmp_path: Path) -> None:
    module, meta = load_model(
        write(random_detector(name), tmp_path / "x.pth"), hints=CheckpointHints(architecture=name), size=SIZE
    )
    base, output = tmp_path / "base.onnx", tmp_path / "more.onnx"
    write_onnx(base, to_onnx(module, GraphShape(SIZE)), meta)
    file = open_onnx(base)
    heads = read_heads(file)
    extract_trunk(file, tmp_path / "trunk", rois=8, mask_rois=3)
    assert (tmp_path / "trunk" / "mask_head.onnx").exists() == module.has_masks
    append_generation(file, output, random_generation(heads, 2, True), with_classes(meta, ["a", "b"]))
    scene = render_scene("mixed-test", 0).image[: SIZE[0], : SIZE[1]]
    old, new = open_session(base).infer(scene), open_session(output).infer(scene)
    kept = new.labels < 5
    assert (old.scores > 0).any()
    assert all(np.array_equal(a, b[kept]) for a, b in zip(old, new, strict=True))
    with torch.inference_mode():
        pooled = torch.rand(4, 256, 7, 7)
        assert torch.allclose(heads.heads.box_head(pooled), module.heads.box_head(pooled), atol=1e-3)


def test_graphs_that_nothing_can_be_added_to(base_onnx: Path, tmp_path: Path) -> None:
    file = open_onnx(base_onnx)
    heads, meta = read_heads(file), file.meta
    mixed = tmp_path / "mixed.onnx"
    write_onnx(mixed, onnx.load(base_onnx), dataclasses.replace(meta, overlaps="one"))
    generation = random_generation(heads, 1, False)
    with pytest.raises(EdgekitError, match="gives one label per object"):
        append_generation(open_onnx(mixed), tmp_path / "x.onnx", generation, meta)
    graph = onnx.load(base_onnx)
    del graph.graph.value_info[:]
    old = tmp_path / "old.onnx"
    write_onnx(old, graph, meta)
    with pytest.raises(EdgekitError, match=r"has no trunk\.table.*export it again"):
        extract_trunk(open_onnx(old), tmp_path / "trunk")
    assert not (tmp_path / "trunk").exists()


def test_one_label_per_object_in_the_graph(tmp_path: Path) -> None:
    module, meta = load_model("demo")
    old = module.predictors.box_predictor
    for surer in (1, 4):  # the old classes twice more, and surer, so that they find the same objects
        generation = random_generation(module, 12, False)
        for name, rows in (("cls_score", 1), ("bbox_pred", 4)):
            weight, bias = getattr(old, name).weight.data[rows:], getattr(old, name).bias.data[rows:]
            more = surer if name == "cls_score" else 0
            generation.load_state_dict({f"{name}.weight": weight, f"{name}.bias": bias + more}, strict=False)
        module.predictors.added.append(generation)
        meta = with_classes(meta, [f"again {surer} {i}" for i in range(12)])
    meta = dataclasses.replace(meta, overlaps="one")
    path = tmp_path / "one.onnx"
    write_onnx(path, to_onnx(module, GraphShape(meta.input_size, overlaps="one")), meta)
    graph, reference = open_session(path), Selected(TorchSession(module, meta))
    dropped: set[int] = set()
    for index in range(3):
        scene = render_scene("mixed-test", index).image
        found, expected = graph.infer(scene), reference.infer(scene)
        real = found.scores > 0
        assert found.labels[real].tolist() == expected.labels.tolist()
        assert np.allclose(found.boxes[real], expected.boxes, atol=1e-2)
        every = reference.session.infer(scene)
        gone = ~np.isin(every.scores, expected.scores)
        dropped |= set(np.digitize(every.labels[gone], [13, 25]).tolist())
    assert dropped >= {0, 1}, "none of the base model's, or none of a later generation: the test shows nothing"
