"""Graphs that take float32 images or give int32 labels: the same detections, from the same photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.artifacts.onnx_files import open_onnx, read_onnx, write_onnx
from edgekit.comparison.stages import look_inside
from edgekit.data.images import SAMPLE_PHOTOS, fit, graph_input, list_images, read_image
from edgekit.deployment.edits.float_input import set_input_type
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.calibration import calibrate
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.precision.half import to_fp16
from edgekit.deployment.precision.quantise import calibrated_values, quantise, with_own_biases
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import check_appendable
from edgekit.runtime.onnx_session import OnnxSession, open_ort
from edgekit.runtime.session import Outputs


@pytest.fixture(scope="module")
def float_onnx(adapted_onnx: Path) -> Path:
    return export(adapted_onnx, adapted_onnx.with_name("float.onnx"), input="float").output


def test_it_is_compared_with_the_graph_of_bytes(adapted_onnx: Path, tmp_path: Path) -> None:
    result = export(adapted_onnx, tmp_path / "x.onnx", input="float", labels="int32")
    assert result.verification is not None
    assert result.verification.parity.compared > 0
    assert result.verification.parity.largest_score_difference == 0


def found(path: Path, photos: int = 3) -> list[Outputs]:
    session = OnnxSession(path)
    size = session.meta.input_size
    return [session.infer(fit(read_image(p), size).pixels) for p in list_images(SAMPLE_PHOTOS)[:photos]]


def assert_same(one: list[Outputs], other: list[Outputs]) -> None:
    assert any((outputs.scores > 0).any() for outputs in one)
    for ours, theirs in zip(one, other, strict=True):
        for name in Outputs._fields:
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_it_finds_what_the_graph_of_bytes_finds(adapted_onnx: Path, float_onnx: Path) -> None:
    graph, meta = read_onnx(float_onnx)
    height, width = meta.input_size
    taken = graph.graph.input[0]
    assert (taken.name, taken.type.tensor_type.elem_type) == ("images", TensorProto.FLOAT)
    assert [d.dim_value for d in taken.type.tensor_type.shape.dim] == [1, 3, height, width]
    assert meta.input_type == "float"
    assert len(graph.graph.node) == len(read_onnx(adapted_onnx)[0].graph.node) - 2
    assert_same(found(adapted_onnx), found(float_onnx))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_of_any_precision(precision: str, base_onnx: Path, tmp_path: Path) -> None:
    graph, meta = read_onnx(base_onnx)
    if precision == "fp16":
        low = to_fp16(graph, ())
    else:
        for photo in list_images(SAMPLE_PHOTOS)[:2]:
            (tmp_path / photo.name).symlink_to(photo)
        prepared = with_own_biases(graph)
        ranges = calibrate(prepared, calibrated_values(prepared), tmp_path, meta.input_size)
        low = quantise(prepared, ranges, "cpu")
    write_onnx(tmp_path / "uint8.onnx", low, meta)
    result = export(tmp_path / "uint8.onnx", tmp_path / "float.onnx", input="float", verify=False)
    assert_same(found(tmp_path / "uint8.onnx", 2), found(result.output, 2))


def test_its_inner_values_and_its_engine(adapted_onnx: Path, float_onnx: Path, tmp_path: Path) -> None:
    pixels = fit(read_image(list_images(SAMPLE_PHOTOS)[0]), read_onnx(float_onnx)[1].input_size).pixels
    ours, theirs = (look_inside(OnnxSession(path), path)(pixels) for path in (adapted_onnx, float_onnx))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    engine = build(float_onnx, tmp_path / "x.engine", EngineOptions(compute_capability=("8.6",)))
    assert engine.meta.input_type == "float"
    assert [(t.shape[1], t.dtype) for t in engine.tensors if t.is_input] == [(3, "float32")]


def test_it_can_be_a_model_again_but_not_for_another_input_or_precision(float_onnx: Path, tmp_path: Path) -> None:
    result = export(float_onnx, tmp_path / "again.onnx", triton=tmp_path / "models", verify=False)
    assert result.input_type == "float"
    assert "TYPE_FP32" in (tmp_path / "models" / "again" / "config.pbtxt").read_text().split("output")[0]
    with pytest.raises(EdgekitError, match="--input uint8: the graph takes float32 images already"):
        export(float_onnx, tmp_path / "x.onnx", input="uint8")
    with pytest.raises(EdgekitError, match=r"precision is set before that .*--precision fp16 --input float"):
        export(float_onnx, tmp_path / "x.onnx", conversion=Conversion("fp16"))
    with pytest.raises(EdgekitError, match="takes float32 images, so no classes can be added"):
        check_appendable(open_onnx(float_onnx))
    assert not (tmp_path / "x.onnx").exists()


@pytest.fixture(scope="module")
def int32_onnx(base_onnx: Path) -> Path:
    return export(base_onnx, base_onnx.with_name("int32.onnx"), input="float", labels="int32", verify=False).output


def test_int32_labels(base_onnx: Path, int32_onnx: Path, tmp_path: Path) -> None:
    kinds = {o.name: o.type.tensor_type.elem_type for o in read_onnx(int32_onnx)[0].graph.output}
    assert kinds["labels"] == TensorProto.INT32
    ours, theirs = found(int32_onnx), found(base_onnx)
    assert_same(ours, theirs)
    assert {outputs.labels.dtype for outputs in ours} == {np.dtype(np.int64)}
    again = export(int32_onnx, tmp_path / "again.onnx", triton=tmp_path / "models", verify=False).output
    assert_same(found(again, 1), theirs[:1])
    assert "TYPE_INT32" in (tmp_path / "models" / "again" / "config.pbtxt").read_text().split("output")[1]


def test_what_int32_labels_do_not_go_with(base_onnx: Path, int32_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--labels int64: the graph's are int32 already"):
        export(int32_onnx, tmp_path / "x.onnx", labels="int64")
    with pytest.raises(EdgekitError, match=r"--labels int8: unknown \(give one of: int64, int32\)"):
        export(base_onnx, tmp_path / "x.onnx", labels="int8")
    only_labels = export(base_onnx, tmp_path / "labels.onnx", labels="int32", verify=False).output
    with pytest.raises(EdgekitError, match="its labels are int32, so no classes can be added"):
        check_appendable(open_onnx(only_labels))


def test_an_unknown_input(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"--input half: unknown \(give one of: uint8, float\)"):
        export("demo", tmp_path / "x.onnx", input="half")
    assert set_input_type(onnx.ModelProto(), None, "float") == "float"


def test_a_batch(tmp_path: Path) -> None:
    """All of a batch is normalised at once."""
    shape = [2, 4, 6, 3]
    constants = {
        "full": np.array(255, np.float32),
        "mean": np.tile(np.array(DetectorSettings().mean, np.float32), (6, 1)),
        "std": np.tile(np.array(DetectorSettings().std, np.float32), (6, 1)),
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
    set_input_type(model, "float", "uint8")
    assert [n.op_type for n in model.graph.node] == ["Div", "Sub", "Div", "Relu"]
    assert sorted(t.name for t in model.graph.initializer) == ["full", "mean.planes", "std.planes"]
    run = open_ort(model.SerializeToString(), provider="cpu")
    assert np.array_equal(run.run(None, {"images": graph_input(pixels, "float")})[0], before)
