"""What cannot be asked of an export is said before any work, and what is there stays; on a graph of a few nodes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.comparison.compare import compare
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.export.export import export
from edgekit.deployment.export.request import Building, Converting, Reading, Shaping
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from tests.tiny_detector import META, write_tiny_detector

AHEAD: dict[str, Any] = {"trt": "fp32", "compute_capability": ("8.6",)}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "graphs").mkdir()
    return write_tiny_detector(tmp_path / "graphs" / "tiny.onnx")


def refused(model: Path, message: str, **options: Any) -> None:
    """Assert that an export is refused with this message, and that what was there stays."""
    folder = model.parent / "out"
    folder.mkdir()
    names = ("x.onnx", "x.engine", "x.calibration.json")
    for name in names:
        (folder / name).write_text(f"earlier {name}")
    with pytest.raises(EdgekitError, match=message) as raised:
        export(model, folder / "x.onnx", force=True, **options)
    assert raised.value.hint
    assert {p.name: p.read_text() for p in folder.iterdir()} == {name: f"earlier {name}" for name in names}


def test_groups_have_the_defaults_of_the_parameters() -> None:
    parameters = inspect.signature(export).parameters
    for group in (Reading(), Shaping(), Converting(), Building()):
        assert group.given() == []
        for option in fields(group):
            assert option.default == parameters[option.name].default, option.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trt": "foo"}, "--trt foo: unknown"),
        ({"precision": "foo"}, "--precision foo: unknown"),
        ({"precision": "int8", "target": "gpu"}, "--target gpu: unknown"),
        ({"compute_capability": ("8.6",)}, "--compute-capability: is about an engine"),
        ({"version_compatible": True, "workspace_mb": 500}, "--workspace-mb, --version-compatible: is about an engine"),
        ({"timing_cache": Path("timings")}, "--timing-cache: is about an engine"),
        ({"calibration": SAMPLE_PHOTOS}, "--calibration: has no use here, as nothing is converted to fp16 or int8"),
        ({"precision": "fp32", "keep": ("rpn",)}, "--keep: has no use here"),
        ({"precision": "fp16", "target": "cpu"}, "--target: has no use here, as nothing is converted to fp32 or int8"),
        ({"verify": Path("gone")}, "gone: no such folder"),
        ({"precision": "int8"}, "needs photos"),
        ({"precision": "int8", "calibration": Path("gone")}, "gone: no such folder"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message: str, tiny: Path) -> None:
    refused(tiny, message, **options)


def test_a_comparison_on_few_detections_is_noted(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (12, 8), (90, 90, 90)).save(tmp_path / "photos" / "a.png")
    result = export(tiny, tmp_path / "x.onnx", verify=tmp_path / "photos")
    assert any("1 photos were compared, which says little" in n and "--verify DIR" in n for n in result.notes)
    assert not export(tiny, tmp_path / "x.onnx").notes
    comparison = compare(tiny, tmp_path / "x.onnx", tmp_path / "photos")
    assert "--images DIR" in comparison.notes[0]


def test_a_table_alone_cannot_choose_what_to_keep(tiny: Path, tmp_path: Path) -> None:
    from edgekit.deployment.precision.calibration import Table, write_table

    write_table(tmp_path / "ranges.json", Table("", META.input_size, {}, {}))
    with pytest.raises(EdgekitError, match="needs photos, not a table") as raised:
        export("demo", tmp_path / "x.onnx", precision="int8", calibration=tmp_path / "ranges.json")
    assert "--keep none" in str(raised.value.hint)
    with pytest.raises(EdgekitError, match="a table for int8, fp16 looks at photos"):
        export("demo", tmp_path / "x.onnx", precision="fp16", calibration=tmp_path / "ranges.json")


def test_a_precision_it_has_is_no_conversion(tmp_path: Path) -> None:
    half = write_tiny_detector(tmp_path / "half.onnx", meta=replace(META, precision="fp16"))
    refused(half, "--calibration: has no use here", precision="fp16", calibration=SAMPLE_PHOTOS)


def test_masks_of_several_canvases_are_not_cut(tmp_path: Path) -> None:
    two = write_tiny_detector(tmp_path / "two.onnx", batch=2)
    refused(two, "two.onnx takes 2 canvases a run", masks="found")


def test_something_else_in_tritons_place(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "x").mkdir(parents=True)
    (tmp_path / "models" / "x" / "notes.txt").write_text("mine")
    with pytest.raises(EdgekitError, match="models/x: holds something else"):
        export(tiny, tmp_path / "x.onnx", triton=tmp_path / "models")
    assert [p.name for p in (tmp_path / "models" / "x").iterdir()] == ["notes.txt"]
    assert not (tmp_path / "x.onnx").exists()


def test_a_repository_appears_after_the_files_of_the_export(tiny: Path, tmp_path: Path) -> None:
    """Something keeps the graph from taking its place; in the same way an earlier repository stays."""
    output, models = tmp_path / "out" / "x.onnx", tmp_path / "models"

    def in_the_way(items: Iterable[Any], what: str) -> Iterator[Any]:
        output.unlink(missing_ok=True)
        output.mkdir(parents=True, exist_ok=True)
        yield from items

    with pytest.raises(EdgekitError, match=r"x\.onnx: is a folder"):
        export(tiny, output, triton=models, track=in_the_way)
    assert list(models.iterdir()) == []
    output.rmdir()
    export(tiny, output, triton=models, no_verify=True)
    before = {p: p.read_bytes() for p in models.rglob("*") if p.is_file()}
    other = write_tiny_detector(tmp_path / "other.onnx", meta=replace(META, best_only=True))
    with pytest.raises(EdgekitError, match=r"x\.onnx: is a folder"):
        export(other, output, triton=models, track=in_the_way)
    assert {p: p.read_bytes() for p in models.rglob("*") if p.is_file()} == before


def test_more_detections_than_there_are_candidates(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--detections 1000: out of range") as raised:
        export("demo", tmp_path / "x.onnx", detections=1000)
    assert "1 to 512" in str(raised.value.hint)
    with pytest.raises(EdgekitError, match="--detections 20: more than 8 proposals"):
        export("demo", tmp_path / "x.onnx", detections=20, proposals=8)


class TestEngines:
    """With TensorRT-RTX, which compiles without a GPU."""

    @pytest.fixture(autouse=True)
    def rtx(self) -> None:
        pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")

    def test_a_failed_build_leaves_the_graph_too(self, tiny: Path) -> None:
        refused(tiny, r"out/x.onnx: .*FP32 GEMM is not supported", trt="fp32", compute_capability=("7.5",))

    def test_options_are_the_builders_to_refuse(self, tiny: Path) -> None:
        refused(tiny, "--version-compatible: TensorRT-RTX", version_compatible=True, **AHEAD)

    def test_engines_take_one_canvas(self, tmp_path: Path) -> None:
        two = write_tiny_detector(tmp_path / "two.onnx", batch=2)
        refused(two, "an engine takes one canvas a run, not 2", **AHEAD)
        with pytest.raises(EdgekitError, match="an engine takes one canvas a run, not 3"):
            export("demo", tmp_path / "x.onnx", batch=3, **AHEAD)

    def test_triton_serves_no_rtx(self, tiny: Path, tmp_path: Path) -> None:
        refused(tiny, "Triton's TensorRT backend cannot load", triton=tmp_path / "models", **AHEAD)
        assert not (tmp_path / "models").exists()

    def test_graph_engine_and_description_are_written_together(self, tiny: Path, tmp_path: Path) -> None:
        result = export(tiny, tmp_path / "out" / "x.engine", **AHEAD)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.engine", "x.engine.json", "x.onnx"]
        assert result.engine is not None
        assert result.engine.path == tmp_path / "out" / "x.engine"
        assert result.engine.onnx_sha256 == sha256(result.output)
