from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from onnx import helper

from edgekit.deployment.tensorrt.build import build, out_of_memory, remedy, with_less_workspace
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.runtime.engine_file import Tensor, read_engine, sidecar_of
from edgekit.runtime.flavours import Messages, load
from edgekit.runtime.gpu import NoGpu, first_gpu
from tests.tiny_detector import META, SIZE, SLOTS, write_tiny_detector

T = TypeVar("T")
NOTHING_FOUND = "Error Code 10: Internal Error (Could not find any implementation for node Conv_1"
pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
AHEAD = EngineOptions(compute_capability=("8.6",))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("capabilities", [("8.0",), ("8.6",), ("8.9",), ("12.0",), ("8.6", "8.9", "12.0")])
def test_compiles_ahead_of_time(capabilities: tuple[str, ...], tiny: Path, tmp_path: Path) -> None:
    engine = build(tiny, tmp_path / "x.engine", EngineOptions(compute_capability=capabilities))
    again, data = read_engine(tmp_path / "x.engine")
    assert again == engine
    assert engine.compute_capabilities == capabilities
    assert engine.settings["ahead_of_time"]
    assert engine.gpu is None
    assert (engine.flavour, engine.version) == ("rtx", sys.modules["tensorrt_rtx"].__version__)
    assert engine.meta == META
    assert engine.onnx_sha256 == sha256(tiny)
    assert engine.sha256 == sha256(tmp_path / "x.engine")
    assert round(len(data) / 1e6, 3) == engine.megabytes
    assert engine.tensors == (
        Tensor("images", True, (1, *SIZE, 3), "uint8"),
        Tensor("boxes", False, (1, SLOTS, 4), "float32"),
        Tensor("labels", False, (1, SLOTS), "int64"),
        Tensor("scores", False, (1, SLOTS), "float32"),
        Tensor("masks", False, (1, SLOTS, 28, 28), "float32"),
    )


def test_compiles_an_adapted_model(adapted_onnx: Path, tmp_path: Path) -> None:
    engine = build(adapted_onnx, tmp_path / "x.engine", AHEAD)
    assert engine.megabytes > 1
    assert engine.meta.new_classes == ("chicken", "frog")
    assert {t.name for t in engine.tensors} == {"images", "boxes", "labels", "scores", "masks"}
    assert json.loads(sidecar_of(engine.path).read_text())["meta"]["precision"] == "fp32"


def test_the_parser_and_the_engine_agree_on_types(tiny: Path, tmp_path: Path) -> None:
    """Float16 in the ONNX is float16 in the engine: the builder has no precision of its own."""
    half = [helper.make_node("Cast", ["flat"], ["halved"], to=10)]
    graph = write_tiny_detector(tmp_path / "half.onnx", more=half)
    import onnx

    model = onnx.load(graph)
    model.graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, graph)
    engine = build(graph, tmp_path / "x.engine", AHEAD)
    assert engine.tensors[-1] == Tensor("halved", False, (1, SIZE[0] * SIZE[1] * 3), "float16")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("NonZero", ["flat"], ["y"], name="where"), r"node where \(NonZero\): .*unsupported node"),
        (helper.make_node("Det", ["flat"], ["y"], name="det"), r"node det \(Det\): unsupported node"),
        (
            helper.make_node("Own", ["flat"], ["y"], name="own", domain="theirs"),
            r"node own \(Own\): .*Plugin not found",
        ),
        (helper.make_node("Own", ["flat"], ["y"], domain="theirs"), r"node \d+ \(Own\)|node \w+ \(Own\)"),
    ],
)
def test_a_node_it_does_not_take(node: object, words: str, tmp_path: Path) -> None:
    graph = write_tiny_detector(tmp_path / "x.onnx", more=[node])  # type: ignore[list-item]
    output = tmp_path / "x.engine"
    output.write_text("earlier")
    sidecar_of(output).write_text("its sidecar")
    with pytest.raises(EdgekitError, match=words) as caught:
        build(graph, output, AHEAD)
    assert str(graph) in caught.value.message
    assert "\n" not in str(caught.value)
    assert (output.read_text(), sidecar_of(output).read_text()) == ("earlier", "its sidecar")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.engine", "x.engine.json", "x.onnx"]


def test_not_a_detector(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="its one input is not called images"):
        build(write_tiny_detector(tmp_path / "x.onnx", images="photos"), tmp_path / "x.engine", AHEAD)


def test_progress_and_what_it_is_called(tiny: Path, tmp_path: Path) -> None:
    seen: list[tuple[object, str]] = []

    def track(items: Iterable[T], description: str, /) -> Iterator[T]:
        for item in items:
            seen.append((item, description))
            yield item

    build(tiny, tmp_path / "x.engine", AHEAD, track=track)
    assert [item for item, _ in seen] == list(range(100))
    assert seen[0][1] == f"TensorRT-RTX {load('rtx').version} compiles for 8.6"


def test_interrupted(adapted_onnx: Path, tmp_path: Path) -> None:
    def track(items: Iterable[T], description: str, /) -> Iterator[T]:
        for item in items:
            yield item
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(adapted_onnx, tmp_path / "x.engine", AHEAD, track=track)
    assert list(tmp_path.iterdir()) == []
    assert build(adapted_onnx, tmp_path / "x.engine", AHEAD).megabytes > 1  # the next build works


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version_compatible": True}, "TensorRT-RTX .* has no such engines"),
        ({"hardware_compatible": True}, "name every GPU's --compute-capability"),
        ({"workspace_mb": 1}, "--workspace-mb 1: too small"),
        ({"compute_capability": ("8.7",)}, "8.7: TensorRT-RTX .* compiles for 7.5, 8.0, 8.6"),
        ({"compute_capability": ("sm86",)}, "--compute-capability sm86: is not a number such as 8.6"),
    ],
)
@pytest.mark.skipif(not isinstance(first_gpu(), NoGpu), reason="is about machines without a GPU")
def test_what_cannot_be_asked(options: dict[str, object], words: str, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=words):
        build(tiny, tmp_path / "x.engine", replace(AHEAD, **options))  # type: ignore[arg-type]
    assert not (tmp_path / "x.engine").exists()


@pytest.mark.skipif(not isinstance(first_gpu(), NoGpu), reason="is about machines without a GPU")
def test_no_gpu(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"no NVIDIA GPU or driver \(give --compute-capability 8.6 to compile ahead"):
        build(tiny, tmp_path / "x.engine")


def test_no_tensorrt(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    load.cache_clear()
    try:
        with pytest.raises(EdgekitError, match=r"8.6: .*TensorRT-RTX is not installed \(pip install 'edgekit\[rtx\]'"):
            build(tiny, tmp_path / "x.engine", AHEAD)
    finally:
        load.cache_clear()


def test_turing_has_no_float32_products(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"FP32 GEMM is not supported.*for compute capability 7.5 build with --trt"):
        build(tiny, tmp_path / "x.engine", EngineOptions(compute_capability=("7.5",)))


def test_a_name_of_no_engine(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"end it in \.engine"):
        build(tiny, tmp_path / "x.plan", AHEAD)


def test_the_workspace_reaches_the_builder(tiny: Path, tmp_path: Path) -> None:
    assert build(tiny, tmp_path / "x.engine", replace(AHEAD, workspace_mb=100)).settings["workspace_mb"] == 100


@pytest.mark.parametrize(
    ("enough", "complaint", "tried", "works"),
    [
        (1000, "Error Code 2: OutOfMemory (no further information)", [4000, 2000, 1000], True),
        (10, "cudaErrorMemoryAllocation: out of memory", [4000, 2000, 1000, 500, 250, 125], False),
        (4000, "", [4000], True),
        (10, "Error Code 4: invalid graph", [4000], False),
        (10, f"{NOTHING_FOUND} due to insufficient workspace. See verbose log", [4000], False),
        (10, f"{NOTHING_FOUND})", [4000], False),
    ],
)
def test_less_workspace_when_memory_runs_out(enough: int, complaint: str, tried: list[int], works: bool) -> None:
    said: list[Messages] = []
    calls: list[int | None] = []

    def attempt(workspace_mb: int | None) -> str | None:
        calls.append(workspace_mb)
        said.append(Messages())
        if workspace_mb is not None and workspace_mb <= enough:
            return "engine"
        said[-1].errors.append(complaint)
        return None

    built, allowed = with_less_workspace(attempt, 4000, said)
    assert calls == tried
    assert allowed == tried[-1]
    assert (built == "engine") == works


@pytest.mark.parametrize(
    ("error", "warning", "less", "advice"),
    [
        (f"{NOTHING_FOUND})", "", False, "a larger --workspace-mb"),
        (f"{NOTHING_FOUND} due to insufficient workspace. See", "Device memory is insufficient", False, "a larger"),
        (f"{NOTHING_FOUND})", "Skipping tactic 3 due to insuficient memory on requested size", True, "close other"),
        (f"{NOTHING_FOUND})", "Device memory is insufficient to use tactic.", True, "close other"),
        ("Error Code 4: invalid graph", "Device memory is insufficient to use tactic.", False, "please report"),
    ],
)
def test_a_node_without_an_implementation_lacks_memory_only_if_the_builder_said_so(
    error: str, warning: str, less: bool, advice: str
) -> None:
    said = Messages()
    said.errors.append(error)
    said.warnings.append(warning)
    assert out_of_memory(said) == less
    assert advice in remedy(said)
