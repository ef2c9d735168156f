"""Convolutions by Winograd's method: what is replaced, what stays, and that the detections do."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.onnx_files import open_onnx, read_onnx, write_onnx
from edgekit.artifacts.value_names import BOXES, IMAGES, TABLE
from edgekit.comparison.parity import parity
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.deployment.edits import winograd
from edgekit.deployment.edits.winograd import use_winograd, uses_winograd
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import open_ort
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect


@pytest.fixture
def small_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every 3x3 convolution replaced, however small."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)


def convolution(
    shape: tuple[int, int, int, int], filters: int, kernel: int = 3, bias: bool = True, **attributes: object
) -> onnx.ModelProto:
    """A graph of one convolution with random weights, those of its name "weight"."""
    rng = np.random.default_rng(0)
    n, c, h, w = shape
    group = int(str(attributes.get("group", 1)))
    weight = rng.normal(size=(filters, c // group, kernel, kernel)).astype(np.float32) / kernel
    held = [numpy_helper.from_array(weight, "weight")]
    if bias:
        held.append(numpy_helper.from_array(rng.normal(size=filters).astype(np.float32), "bias"))
    node = helper.make_node("Conv", ["x", *(t.name for t in held)], ["y"], "conv", **attributes)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [n, c, h, w])
    rough = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_model(
        helper.make_graph([node], "one", [given], [rough], held),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    return onnx.shape_inference.infer_shapes(graph)


@pytest.mark.parametrize(
    "shape", [(1, 5, 8, 8), (1, 3, 7, 9), (2, 4, 14, 14), (3, 1, 1, 1), (1, 8, 4, 3), (1, 2, 15, 20)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_same_values(shape: tuple[int, int, int, int], bias: bool, small_too: None) -> None:
    graph = convolution(shape, 6, bias=bias, pads=[1] * 4)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    (expected,) = open_ort(graph.SerializeToString()).run(None, {"x": x})
    assert use_winograd(graph) == 1
    (got,) = open_ort(graph.SerializeToString()).run(None, {"x": x})
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-5 * max(1.0, float(np.abs(expected).max()))


def test_weights_stay_as_they_are(small_too: None) -> None:
    graph = convolution((1, 4, 8, 8), 6, pads=[1] * 4)
    before = {t.name: t.SerializeToString() for t in graph.graph.initializer}
    use_winograd(graph)
    after = {t.name: t.SerializeToString() for t in graph.graph.initializer}
    assert before.items() <= after.items()
    assert uses_winograd(graph)
    assert use_winograd(graph) == 0  # nothing is left to replace
    assert after == {t.name: t.SerializeToString() for t in graph.graph.initializer}


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        (1, {}),
        (3, {}),
        (3, {"pads": [1] * 4, "strides": [2, 2]}),
        (3, {"pads": [1] * 4, "group": 4}),
        (3, {"pads": [1] * 4, "dilations": [2, 2]}),
        (5, {"pads": [1] * 4}),
    ],
)
def test_other_convolutions_stay(kernel: int, attributes: dict[str, object], small_too: None) -> None:
    graph = convolution((1, 4, 8, 8), 8, kernel, **attributes)
    before = graph.SerializeToString()
    assert use_winograd(graph) == 0
    assert graph.SerializeToString() == before


@pytest.mark.parametrize(
    ("shape", "filters", "replaced"),
    [
        ((1, 256, 30, 40), 256, 1),
        ((1, 96, 60, 80), 96, 1),
        ((1, 64, 120, 160), 64, 0),  # too few channels
        ((1, 96, 20, 20), 96, 0),  # too little work
    ],
)
def test_only_large_ones_are_replaced(shape: tuple[int, int, int, int], filters: int, replaced: int) -> None:
    assert use_winograd(convolution(shape, filters, pads=[1] * 4)) == replaced


def test_detections_match_and_old_ones_stay_to_the_last_bit(
    adapted: Path, adapted_onnx: Path, mixed_test: Dataset, tmp_path: Path, small_too: None
) -> None:
    result = export(adapted, tmp_path / "cpu.onnx", conversion=Conversion(target="cpu"))
    assert result.verification is not None
    assert result.verification.passed
    assert sum("winograd.outputs" in n.input for n in read_onnx(result.output)[0].graph.node) >= 8
    before = export("demo", tmp_path / "base.onnx", conversion=Conversion(target="cpu"))
    sessions = [open_session(p) for p in (before.output, result.output, adapted_onnx)]
    found = [[detect(session, p.read()) for p in mixed_test.photos] for session in sessions]
    old = retention(zip(found[0], found[1], strict=True), 13)
    assert old.compared > 10
    assert old.changed == 0
    assert parity(zip(found[2], found[1], strict=True)).matched_share == 1


def test_a_folder_for_cpus(base_onnx: Path, tmp_path: Path, small_too: None) -> None:
    folder = export(base_onnx, tmp_path / "model", conversion=Conversion(target="cpu"), verify=False).output
    changed = {path.name for path in folder.glob("*.onnx") if uses_winograd(onnx.load(path, load_external_data=False))}
    assert changed == {"base.onnx", "mask_head-4.onnx", "mask_head-6.onnx"}, "no pack's and no predictor's"


def test_a_trunk_for_cpus(base_onnx: Path, tmp_path: Path, small_too: None) -> None:
    outputs = []
    for for_cpu in (False, True):
        folder = tmp_path / str(for_cpu)
        write_trunk(open_onnx(base_onnx).graph, folder, rois=8, mask_rois=3, for_cpu=for_cpu)
        assert uses_winograd(onnx.load(folder / "body.onnx")) == for_cpu
        canvas = np.random.default_rng(0).integers(0, 255, (1, 320, 320, 3)).astype(np.uint8)
        (table,) = open_ort(str(folder / "body.onnx")).run([TABLE], {IMAGES: canvas})
        boxes = np.tile(np.array([4, 4, 60, 50], np.float32), (3, 1))
        (features,) = open_ort(str(folder / "mask_head.onnx")).run(None, {TABLE: table, BOXES: boxes})
        outputs.append((table, features))
    for plain, changed in zip(*outputs, strict=True):
        assert np.abs(plain - changed).max() < 1e-4 * np.abs(plain).max()


@pytest.mark.parametrize(("seconds", "gains"), [((0.004, 0.001), True), ((0.001, 0.004), False)])
def test_the_faster_way_is_found(seconds: tuple[float, float], gains: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self, model: bytes, *_: object, **__: object) -> None:
            changed = uses_winograd(onnx.load_from_string(model))
            self.seconds = seconds[changed]

        def run(self, *_: object) -> None:
            time.sleep(self.seconds)

    monkeypatch.setattr(winograd, "open_ort", Slow)
    assert winograd.gains_here() == gains


def test_nothing_large_is_noted(base_onnx: Path, tmp_path: Path) -> None:
    result = export(base_onnx, tmp_path / "cpu.onnx", conversion=Conversion(target="cpu"))
    assert "no convolution is large enough" in result.notes[0]


def test_what_is_made_for_cpus_stays_so(base_onnx: Path, tmp_path: Path, small_too: None) -> None:
    graph, meta = read_onnx(base_onnx)
    use_winograd(graph)
    cpu = tmp_path / "cpu.onnx"
    write_onnx(cpu, graph, meta)
    with pytest.raises(EdgekitError, match=r"cpu\.onnx: is made for CPUs in fp32"):
        export(cpu, tmp_path / "half.onnx", conversion=Conversion("fp16"))
    with pytest.raises(EdgekitError, match=r"cpu\.onnx: is made for CPUs already"):
        export(cpu, tmp_path / "model")
    with pytest.raises(EdgekitError, match="--trt fp32 --target cpu: differ"):
        export("demo", tmp_path / "demo.onnx", engine=EngineOptions("fp32"), conversion=Conversion(target="cpu"))
