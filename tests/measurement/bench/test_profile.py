from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.measurement.bench.forms import Form
from edgekit.measurement.bench.profile import by_kind, layer_kind, profile
from edgekit.runtime.engine_profile import collector, layer_times
from edgekit.runtime.torch_session import TorchSession


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/backbone/body/conv1/Conv + /backbone/body/relu/Relu_2", "Conv"),
        ("node_conv2d_12", "node_conv2d"),
        ("Reformatting CopyNode for Input Tensor 0 to /fpn/Conv", "Reformat"),
        ("{ForeignNode[/rpn/TopK.../rpn/Gather_7]}", "TopK"),
        ("MatMul_3", "MatMul"),
        ("17", "other"),
    ],
)
def test_kind_in_a_tensorrt_layers_name(name: str, kind: str) -> None:
    assert layer_kind(name) == kind


def test_sums_by_kind() -> None:
    conv, gemm = by_kind([("Conv", 3000.0), ("Gemm", 1000.0), ("Conv", 3000.0), ("Gemm", 1000.0)], calls=2)
    assert (conv.kind, conv.ms, conv.count, conv.share) == ("Conv", 3.0, 1.0, 0.75)
    assert (gemm.kind, gemm.ms) == ("Gemm", 1.0)
    assert by_kind([], 1) == ()


def test_tensorrts_profiler_reports_to_us() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    told = collector(trt)
    assert isinstance(told, trt.IProfiler)
    told.report_layer_time("conv", 0.5)
    assert told.times == [("conv", 0.5)]


def test_a_session_of_its_own_is_profiled_and_closed() -> None:
    """The calls in their order, on stand-ins for TensorRT and CUDA; on a GPU see below."""
    import numpy as np

    done: list[str] = []
    trt = SimpleNamespace(IProfiler=type("IProfiler", (), {"__init__": lambda self: None}))
    context = SimpleNamespace(profiler=None)
    twin = SimpleNamespace(
        views={"images": np.zeros((1, 2, 2, 3), np.uint8)},
        context=context,
        enqueue=lambda: context.profiler.report_layer_time("conv", 0.25),
        cuda=SimpleNamespace(call=lambda name, stream: done.append(name)),
        stream=7,
        close=lambda: done.append("closed"),
    )
    loaded = SimpleNamespace(tensorrt=SimpleNamespace(module=trt))
    session = SimpleNamespace(twin=lambda: twin, loaded=loaded, meta=SimpleNamespace(input_type="uint8"))
    times = layer_times(session, np.ones((2, 2, 3), np.uint8), 2)  # type: ignore[arg-type]
    assert times == [("conv", 0.25), ("conv", 0.25)]
    assert done == ["cudaStreamSynchronize", "cudaStreamSynchronize", "closed"]
    assert twin.views["images"].all()


def test_layers_of_a_checkpoint() -> None:
    layers = profile(Form("demo", "demo"), TorchSession.load("demo"), read_image(list_images(SAMPLE_PHOTOS)[0]))
    assert any("conv" in layer.kind for layer in layers[:3]), "the longest first"
    assert sum(layer.share for layer in layers) == pytest.approx(1, abs=0.01)
    assert all(layer.ms >= 0 for layer in layers)


@pytest.mark.usefixtures("flavour")
@pytest.mark.gpu
def test_layers_of_an_engine(tmp_path_factory: pytest.TempPathFactory) -> None:
    import numpy as np

    from edgekit.deployment.tensorrt.build import build
    from edgekit.runtime.engine_session import EngineSession
    from tests.tiny_detector import SIZE, write_tiny_detector

    folder = tmp_path_factory.mktemp("engine")
    build(write_tiny_detector(folder / "tiny.onnx"), folder / "tiny.engine")
    with EngineSession.open(folder / "tiny.engine") as session:
        times = layer_times(session, np.zeros((*SIZE, 3), np.uint8), 3)
    assert times
    assert all(ms >= 0 for _, ms in times)
