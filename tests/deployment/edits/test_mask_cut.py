"""Masks made by graphs of their own: what is cut, what stays, and that no bit of a found mask changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import open_onnx, read_onnx
from edgekit.comparison.compare import compare
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.assembly.appending import append_generation
from edgekit.deployment.assembly.mask_files import write_parts
from edgekit.deployment.assembly.reading_back import read_heads
from edgekit.deployment.edits import mask_cut
from edgekit.deployment.edits.mask_cut import SLOTS, cut_masks
from edgekit.graphs.static_check import FORBIDDEN
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect
from tests.checkpoints import FASTERRCNN, MASKRCNN, SIZE, random_detector, write
from tests.deployment.assembly.test_reading_back import random_generation, with_classes


@pytest.fixture(scope="module")
def found_onnx(adapted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(adapted, tmp_path_factory.mktemp("found") / "adapted.onnx", masks="found").output


def same_where_found(whole: OnnxSession, cut: OnnxSession, canvases: list[np.ndarray]) -> int:
    """Assert that boxes, labels and scores are the same to the last bit, and masks where something was found."""
    count = 0
    for pixels in canvases:
        expected, got = whole.infer(pixels), cut.infer(pixels)
        for name in ("boxes", "labels", "scores"):
            assert np.array_equal(getattr(expected, name), getattr(got, name)), name
        found = expected.scores > 0
        assert np.array_equal(expected.masks[found], got.masks[found])
        assert not got.masks[~found].any()
        count += int(found.sum())
    return count


def canvases_of(dataset: Dataset, size: tuple[int, int]) -> list[np.ndarray]:
    return [fit(p.read(), size).pixels for p in dataset.photos]


def test_same_bits_as_the_single_graph(adapted_onnx: Path, found_onnx: Path, mixed_test: Dataset) -> None:
    whole, cut = OnnxSession(adapted_onnx), OnnxSession(found_onnx)
    canvases = canvases_of(mixed_test, whole.meta.input_size)
    assert same_where_found(whole, cut, canvases) > 10
    new = sum(int((cut.infer(c).labels[cut.infer(c).scores > 0] > 12).sum()) for c in canvases)
    assert new, "no class of the later generation was found: its masks are not shown"


def test_old_detections_stay_to_the_last_bit(base_onnx: Path, found_onnx: Path, mixed_test: Dataset) -> None:
    before, after = open_session(base_onnx), open_session(found_onnx)
    result = retention(((detect(before, p.read()), detect(after, p.read())) for p in mixed_test.photos), 13)
    assert result.compared > 10
    assert result.changed == 0


def test_every_file_is_static_and_native(found_onnx: Path) -> None:
    graph, meta = read_onnx(found_onnx)
    assert "masks" not in {o.name for o in graph.graph.output}
    weights = {t.name for t in graph.graph.initializer}
    assert not any("mask_head" in name or "mask_predictor" in name for name in weights)
    graphs = [name for name in meta.mask_files if name.endswith(".onnx")]
    assert len(graphs) == 2 * len(meta.generations)
    for name in graphs:
        path = found_onnx.with_name(name)
        onnx.checker.check_model(str(path), full_check=True)
        part = onnx.load(path, load_external_data=False).graph
        assert not {n.op_type for n in part.node} & set(FORBIDDEN)
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*part.input, *part.output]}
        slots = meta.mask_files[name]["slots"]
        assert shapes["boxes"] == [slots, 4]
        assert shapes["masks"] == [slots, 28, 28]
        assert all(all(d > 0 for d in dims) for dims in shapes.values())
        assert any(t.data_location == onnx.TensorProto.EXTERNAL for t in part.initializer)


def test_weights_are_held_once(found_onnx: Path) -> None:
    _, meta = read_onnx(found_onnx)
    (weights,) = [name for name in meta.mask_files if name.endswith(".weights")]
    sizes: dict[bytes, int] = {}
    for name in meta.mask_files:
        if name != weights:
            for tensor in onnx.load(found_onnx.with_name(name)).graph.initializer:
                sizes[tensor.raw_data] = len(tensor.raw_data)
    large = [size for size in sizes.values() if size >= 1024]
    assert found_onnx.with_name(weights).stat().st_size < sum(large) + 4096 * len(large)


@pytest.mark.parametrize("adapters", [(False, True)])
def test_appended_generations(adapters: tuple[bool, ...], base_onnx: Path, tmp_path: Path, mixed_test: Dataset) -> None:
    current = base_onnx
    for step, adapter in enumerate(adapters):
        file = open_onnx(current)
        heads, meta = read_heads(file), file.meta
        grown = with_classes(meta, [f"{step} {i}" for i in range(2 + step)])
        append_generation(file, tmp_path / f"{step}.onnx", random_generation(heads, 2 + step, adapter), grown)
        current = tmp_path / f"{step}.onnx"
    whole, cut = OnnxSession(current), write_cut(current, tmp_path / "cut.onnx")
    assert same_where_found(whole, cut, canvases_of(mixed_test, whole.meta.input_size)[:3]) > 10


def write_cut(path: Path, output: Path) -> OnnxSession:
    graph, meta = read_onnx(path)
    write_parts(output, graph, meta)
    return OnnxSession(output)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions(precision: str, tmp_path: Path, mixed_test: Dataset) -> None:
    conversion = Conversion(precision)
    if precision == "int8":
        conversion = Conversion("int8", "cpu", SAMPLE_PHOTOS, keep=("body.1", "body.2"))
    result = export("demo", tmp_path / "found.onnx", masks="found", conversion=conversion)
    assert result.verification is not None
    assert result.verification.passed
    if precision == "int8":
        conversion = replace(conversion, calibration=tmp_path / "found.calibration.json")
    export("demo", tmp_path / "all.onnx", verify=False, conversion=conversion)
    whole, cut = OnnxSession(tmp_path / "all.onnx"), OnnxSession(tmp_path / "found.onnx")
    assert cut.meta.precision == precision
    assert same_where_found(whole, cut, canvases_of(mixed_test, whole.meta.input_size)) > 10


@pytest.mark.slow
def test_more_slots_than_are_pooled_at_once(tmp_path: Path) -> None:
    """Of 100 slots the whole graph pools first 64, then 36."""
    checkpoint = write(random_detector(MASKRCNN), tmp_path / "x.pth")
    options = {"verify": False, "shape": GraphShape(SIZE, proposals=200, detections=100)}
    module, meta = load_model(checkpoint, hints=CheckpointHints(architecture=MASKRCNN), size=SIZE)
    save_model(tmp_path / "x.safetensors", module, meta)
    for masks in ("all", "found"):
        export(tmp_path / "x.safetensors", tmp_path / f"{masks}.onnx", masks=masks, **options)  # type: ignore[arg-type]
    whole, cut = OnnxSession(tmp_path / "all.onnx"), OnnxSession(tmp_path / "found.onnx")
    canvases = [fit(read_image(p), SIZE).pixels for p in list_images(SAMPLE_PHOTOS)[:3]]
    assert same_where_found(whole, cut, canvases) > 64
    assert {a["slots"] for a in cut.meta.mask_files.values() if "slots" in a} == set(SLOTS)


@pytest.mark.slow
def test_one_label_per_object(adapted: Path, tmp_path: Path, mixed_test: Dataset) -> None:
    for masks in ("all", "found"):
        export(adapted, tmp_path / f"{masks}.onnx", masks=masks, shape=GraphShape(overlaps="one"))
    whole, cut = OnnxSession(tmp_path / "all.onnx"), OnnxSession(tmp_path / "found.onnx")
    assert same_where_found(whole, cut, canvases_of(mixed_test, whole.meta.input_size)) > 10
    seen = compare(adapted, tmp_path / "all.onnx", mixed_test.file.parent).verification  # with the checkpoint's as one
    assert seen.passed
    assert seen.parity.compared > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": "some"}, "unknown"),
        ({"masks": "found", "shape": GraphShape(batch=2)}, "--batch"),
        ({"masks": "found", "engine": EngineOptions("fp16")}, "--trt"),
        ({"masks": "found", "triton": Path("models")}, "--triton"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, object], message: str, tmp_path: Path) -> None:
    output = tmp_path / "x.onnx"
    output.write_bytes(b"earlier")
    with pytest.raises(EdgekitError, match=message):
        export("demo", output, **options)  # type: ignore[arg-type]
    assert output.read_bytes() == b"earlier"


def test_a_model_without_masks_has_none_to_cut(tmp_path: Path) -> None:
    checkpoint = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    module, meta = load_model(checkpoint, hints=CheckpointHints(architecture=FASTERRCNN), size=SIZE)
    save_model(tmp_path / "x.safetensors", module, meta)
    with pytest.raises(EdgekitError, match="makes no masks"):
        export(tmp_path / "x.safetensors", tmp_path / "x.onnx", masks="found", verify=False)
    assert not (tmp_path / "x.onnx").exists()


def test_a_graph_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.static.nms.ROUNDS", 0)  # a wrong graph: nothing is suppressed
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))  # not the cached one
    with pytest.raises(EdgekitError, match="differ from those of"):
        export("demo", tmp_path / "x.onnx", masks="found")
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_what_needs_the_whole_graph_says_so(found_onnx: Path, tmp_path: Path) -> None:
    for use in (
        lambda path: read_heads(open_onnx(path)),
        lambda path: export(path, tmp_path / "x.onnx", triton=tmp_path / "triton"),
    ):
        with pytest.raises(EdgekitError, match="masks in graphs of their own") as error:
            use(found_onnx)
        assert "--masks all" in str(error.value.hint)


def test_cut_leaves_the_graph_as_it_was(adapted_onnx: Path) -> None:
    graph, meta = read_onnx(adapted_onnx)
    before = graph.SerializeToString()
    cut = cut_masks(graph, meta, (3,))
    assert graph.SerializeToString() == before
    assert set(cut.masks) == {(0, 3), (1, 3)}


def test_a_graph_is_searched_once_a_branch(adapted_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, meta = read_onnx(adapted_onnx)
    searches = []
    search = mask_cut.nodes_leading_to
    monkeypatch.setattr(mask_cut, "nodes_leading_to", lambda values: searches.append(values) or search(values))
    cut_masks(graph, meta, (3,))
    assert len(searches) == 1 + len(meta.group_sizes)
