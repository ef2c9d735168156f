"""Graphs that take normalised images: the same detections, from the same photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts import read_onnx, write_onnx
from edgekit.data.images import MEAN, SAMPLE_PHOTOS, STD, fit, graph_input, list_images, read_image
from edgekit.deployment.compose import read_heads
from edgekit.deployment.float_input import cut_normalisation, set_input_type
from edgekit.deployment.onnx_export import export
from edgekit.deployment.parity_stages import look_inside
from edgekit.deployment.precision.calibration import calibrate
from edgekit.deployment.precision.fold import fold_norms
from edgekit.deployment.precision.half import to_fp16
from edgekit.deployment.precision.quantise import calibrated_values, prepare, quantise
from edgekit.deployment.tensorrt.build import build
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import OnnxSession, open_ort
from edgekit.runtime.session import Outputs


@pytest.fixture(scope="module")
def float_onnx(adapted_onnx: Path) -> Path:
    return export(adapted_onnx, adapted_onnx.with_name("float.onnx"), input="float").output


def found(path: Path, photos: int = 3) -> list[Outputs]:
    session = OnnxSession(path)
    size = session.meta.input_size
    return [session.infer(fit(read_image(p), size).pixels) for p in list_images(SAMPLE_PHOTOS)[:photos]]


def assert_same(one: list[Outputs], other: list[Outputs]) -> None:
    assert any((outputs.scores > 0).any() for outputs in one)
    for ours, theirs in zip(one, other, strict=True):
        for name in Outputs._fields:
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_it_finds_what_the_graph_that_normalises_finds(adapted_onnx: Path, float_onnx: Path) -> None:
    graph, meta = read_onnx(float_onnx)
    height, width = meta.input_size
    taken = graph.graph.input[0]
    assert (taken.name, taken.type.tensor_type.elem_type) == ("images", TensorProto.FLOAT)
    assert [d.dim_value for d in taken.type.tensor_type.shape.dim] == [1, 3, height, width]
    assert meta.input_type == "float"
    assert len(graph.graph.node) == len(read_onnx(adapted_onnx)[0].graph.node) - 5
    assert_same(found(adapted_onnx), found(float_onnx))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_of_any_precision(precision: str, base_onnx: Path, tmp_path: Path) -> None:
    graph, meta = read_onnx(base_onnx)
    if precision == "fp16":
        low = to_fp16(fold_norms(graph), ())
    else:
        for photo in list_images(SAMPLE_PHOTOS)[:2]:
            (tmp_path / photo.name).symlink_to(photo)
        prepared = prepare(graph)
        ranges = calibrate(prepared, calibrated_values(prepared), tmp_path, meta.input_size)
        low = quantise(prepared, ranges, "cpu")
    write_onnx(tmp_path / "uint8.onnx", low, meta)
    result = export(tmp_path / "uint8.onnx", tmp_path / "float.onnx", input="float", no_verify=True)
    assert_same(found(tmp_path / "uint8.onnx", 2), found(result.output, 2))


def test_its_inner_values_and_its_engine(adapted_onnx: Path, float_onnx: Path, tmp_path: Path) -> None:
    pixels = fit(read_image(list_images(SAMPLE_PHOTOS)[0]), read_onnx(float_onnx)[1].input_size).pixels
    ours, theirs = (look_inside(OnnxSession(path), path)(pixels) for path in (adapted_onnx, float_onnx))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    engine = build(float_onnx, tmp_path / "x.engine", compute_capability=("8.6",))
    assert engine.meta.input_type == "float"
    assert [(t.shape[1], t.dtype) for t in engine.tensors if t.is_input] == [(3, "float32")]


def test_with_masks_apart(adapted_onnx: Path, float_onnx: Path, tmp_path: Path) -> None:
    apart = export(adapted_onnx, tmp_path / "apart.onnx", input="float", masks="found", no_verify=True).output
    for ours, theirs in zip(found(float_onnx), found(apart), strict=True):
        real = ours.scores > 0
        assert np.array_equal(ours.scores, theirs.scores)
        assert np.array_equal(ours.masks[real], theirs.masks[real])


def test_it_can_be_a_model_again_but_not_for_another_input_or_precision(float_onnx: Path, tmp_path: Path) -> None:
    result = export(float_onnx, tmp_path / "again.onnx", triton=tmp_path / "models", no_verify=True)
    assert result.input_type == "float"
    assert "TYPE_FP32" in (tmp_path / "models" / "again" / "config.pbtxt").read_text().split("output")[0]
    with pytest.raises(EdgekitError, match="--input uint8: the graph takes normalised images already"):
        export(float_onnx, tmp_path / "x.onnx", input="uint8")
    with pytest.raises(EdgekitError, match=r"precision is set before that .*--precision fp16 --input float"):
        export(float_onnx, tmp_path / "x.onnx", precision="fp16")
    with pytest.raises(EdgekitError, match="takes normalised images, so no classes can be added"):
        read_heads(float_onnx)
    assert not (tmp_path / "x.onnx").exists()


def test_an_unknown_input(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"--input half: unknown \(give one of: uint8, float\)"):
        export("demo", tmp_path / "x.onnx", input="half")
    assert set_input_type(onnx.ModelProto(), None, "float") == "float"


def test_a_batch(tmp_path: Path) -> None:
    """All of a batch is normalised at once, so the cut is the same."""
    shape = [2, 4, 6, 3]
    constants = {
        "full": np.array(255, np.float32),
        "mean": np.tile(np.array(MEAN, np.float32), (6, 1)),
        "std": np.tile(np.array(STD, np.float32), (6, 1)),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["a", "full"], ["b"]),
        helper.make_node("Sub", ["b", "mean"], ["c"]),
        helper.make_node("Div", ["c", "std"], ["d"]),
        helper.make_node("Transpose", ["d"], ["e"], perm=[0, 3, 1, 2]),
        helper.make_node("Relu", ["e"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "normalises",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [2, 3, 4, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    before = open_ort(model.SerializeToString(), provider="cpu").run(None, {"images": pixels})[0]
    cut_normalisation(model)
    assert (len(model.graph.node), len(model.graph.initializer)) == (1, 0)
    run = open_ort(model.SerializeToString(), provider="cpu")
    assert np.array_equal(run.run(None, {"images": graph_input(pixels, "float")})[0], before)
