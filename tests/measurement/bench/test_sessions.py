from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.data.detections import from_canvas
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.measurement.bench.harness import Clock, call
from edgekit.measurement.bench.sessions import call_stages, check_batch, time_sessions
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Outputs, Session
from edgekit.runtime.torch_session import TorchSession
from tests.measurement.bench.clocks import FakeTime

META = ModelMeta("none", (("__background__", "dog"),), (64, 64))


class ScriptedSession(Session):
    """Takes as long as a fake clock says."""

    runtime, meta = "fake", META

    def __init__(self, fake: FakeTime, milliseconds: float) -> None:
        self.fake, self.milliseconds = fake, milliseconds

    def infer(self, pixels: np.ndarray) -> Outputs:
        self.fake.now += self.milliseconds / 1e3
        return Outputs(
            np.array([[0, 0, 9, 9]], np.float32), np.ones(1, np.int64), np.ones(1, np.float32), np.ones((1, 28, 28))
        )


def test_latency_of_sessions() -> None:
    fake = FakeTime()
    sessions = {"slow": ScriptedSession(fake, 40.0), "fast": ScriptedSession(fake, 10.0)}
    rows = time_sessions(sessions, [np.zeros((64, 64, 3), np.uint8)], 7, clock=fake.clock())
    assert [r.artifact for r in rows] == ["slow", "fast"]
    assert [(r.p50_ms, r.p99_ms, r.inference_p50_ms, r.std_ms) for r in rows] == [(40, 40, 40, 0), (10, 10, 10, 0)]
    assert [r.images_per_s for r in rows] == [25.0, 100.0]
    assert rows[0].objects_per_image == 1
    assert (rows[0].split.decode_ms, rows[0].split.postprocess_ms, rows[0].runs) == (None, 0, 7)


def test_a_session_that_fails_is_not_hidden() -> None:
    class Broken(ScriptedSession):
        def infer(self, pixels: np.ndarray) -> Outputs:
            raise RuntimeError("the device fell off")

    fake = FakeTime()
    with pytest.raises(RuntimeError, match="fell off"):
        time_sessions({"a": Broken(fake, 1)}, [np.zeros((64, 64, 3), np.uint8)], 1, clock=fake.clock())


def test_parts_do_what_predict_does(base_onnx: Path) -> None:
    session = OnnxSession(base_onnx)
    photo = read_image(list_images(SAMPLE_PHOTOS)[0])
    taken, objects = call(call_stages(session, 1), (photo,), Clock().now)
    canvas = fit(photo, session.meta.input_size)
    assert objects == len(from_canvas(canvas, *session.infer(canvas.pixels)))
    assert len(taken) == 3


@pytest.fixture
def batched(base_onnx: Path, tmp_path: Path) -> Path:
    """A graph of two photos a call: the first slice's outputs beside the second's."""
    model, meta = read_onnx(base_onnx)
    merged = onnx.ModelProto()
    merged.CopyFrom(onnx.compose.add_prefix(model, "b_"))
    first = onnx.compose.add_prefix(model, "a_")
    both = onnx.compose.merge_graphs(first.graph, merged.graph, io_map=[])
    graph = both
    size = [2, *meta.input_size, 3]
    for prefix, start in (("a", 0), ("b", 1)):
        for name, value in (("from", start), ("to", start + 1)):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), f"{prefix}_{name}"))
        cut = [f"{prefix}_from", f"{prefix}_to", "axis"]
        graph.node.insert(0, onnx.helper.make_node("Slice", ["images", *cut], [f"{prefix}_images"]))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "axis"))
    outputs = [o.name.removeprefix("a_") for o in graph.output if o.name.startswith("a_")]
    types = {o.name: o for o in model.graph.output}
    del graph.input[:], graph.output[:]
    graph.input.append(onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, size))
    for name in outputs:
        graph.node.append(onnx.helper.make_node("Concat", [f"a_{name}", f"b_{name}"], [name], axis=0))
        kind = types[name].type.tensor_type
        shape = [2, *(d.dim_value for d in kind.shape.dim[1:])]
        graph.output.append(onnx.helper.make_tensor_value_info(name, kind.elem_type, shape))
    path = tmp_path / "two.onnx"
    made = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    write_onnx(path, made, meta)
    return path


def test_a_batch_is_as_many_photos(batched: Path, base_onnx: Path) -> None:
    one, two = OnnxSession(base_onnx), OnnxSession(batched)
    assert two.batch == 2
    photos = tuple(read_image(p) for p in list_images(SAMPLE_PHOTOS)[:2])
    found = [call(call_stages(one, 1), (photo,), Clock().now)[1] for photo in photos]
    assert call(call_stages(two, 2), photos, Clock().now)[1] == sum(found)
    assert check_batch(two, 2, "two.onnx") == ()
    assert "1 are left empty" in check_batch(two, 1, "two.onnx")[0]
    with pytest.raises(EdgekitError, match=r"takes 1 photo per call, not 4") as caught:
        check_batch(one, 4, "one.onnx")
    assert "--batch 4" in caught.value.hint


def test_a_checkpoint_takes_any_number_of_photos() -> None:
    session = TorchSession.load("demo")
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)[:2]]
    pixels = np.stack([fit(photo, session.meta.input_size).pixels for photo in photos])
    assert check_batch(session, 2, "demo") == ()
    for one, of_two in zip([session.infer(p) for p in pixels], session.infer_batch(pixels), strict=True):
        sure = one.scores > 0.5
        assert sure.any()
        assert (of_two.scores > 0.5).sum() == sure.sum()
        np.testing.assert_allclose(of_two.boxes[of_two.scores > 0.5], one.boxes[sure], atol=0.1)


def test_an_engine_takes_one_photo_and_says_what_to_do() -> None:
    with pytest.raises(EdgekitError, match="takes 1 photo per call, not 2") as caught:
        check_batch(ScriptedSession(FakeTime(), 1.0), 2, "a.engine")
    assert "give --batch 1, or --streams 2" in caught.value.hint
