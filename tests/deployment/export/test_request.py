"""What cannot be asked of an export is said before any work, and what is there stays; on a graph of a few nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.cli.cmd_export import export_command as command
from edgekit.comparison.compare import compare
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.export.export import export
from edgekit.deployment.export.request import given
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.model.hints import CheckpointHints
from tests.tiny_detector import META, write_tiny_detector

AHEAD: dict[str, Any] = {"engine": EngineOptions("fp32", compute_capability=("8.6",))}


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


def test_the_command_has_every_option_with_its_default() -> None:
    """What the command passes if nothing is given is what a Python caller passes who gives nothing."""
    options = command.make_context("export", ["demo", "-o", "x.onnx"]).params
    for record in (CheckpointHints(), GraphShape(), Conversion(), EngineOptions()):
        assert given(record) == []
        assert asdict(record) == {f.name: options[f.name] for f in fields(record)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": EngineOptions("foo")}, "--trt foo: unknown"),
        ({"conversion": Conversion("foo")}, "--precision foo: unknown"),
        ({"shape": GraphShape(overlaps="foo")}, "--overlaps foo: unknown"),
        ({"conversion": Conversion("int8", target="gpu")}, "--target gpu: unknown"),
        ({"engine": EngineOptions(compute_capability=("8.6",))}, "--compute-capability: is about an engine"),
        (
            {"engine": EngineOptions(version_compatible=True, workspace_mb=500)},
            "--workspace-mb, --version-compatible: is about an engine",
        ),
        ({"engine": EngineOptions(timing_cache=Path("timings"))}, "--timing-cache: is about an engine"),
        (
            {"conversion": Conversion(calibration=SAMPLE_PHOTOS)},
            "--calibration: has no use here, as nothing is converted to fp16 or int8",
        ),
        ({"conversion": Conversion("fp32", keep=("rpn",))}, "--keep: has no use here"),
        (
            {"conversion": Conversion("fp16", target="cpu")},
            "--target: has no use here, as nothing is converted to fp32 or int8",
        ),
        ({"verify": Path("gone")}, "gone: no such folder"),
        ({"conversion": Conversion("int8")}, "needs photos"),
        ({"conversion": Conversion("int8", calibration=Path("gone"))}, "gone: no such folder"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message: str, tiny: Path) -> None:
    refused(tiny, message, **options)


def test_a_comparison_on_few_detections_is_noted(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (12, 8), (90, 90, 90)).save(tmp_path / "photos" / "a.png")
    result = export(tiny, tmp_path / "x.onnx", verify=tmp_path / "photos")
    assert any("on 1 photo were compared, which says little" in n and "--verify DIR" in n for n in result.notes)
    assert not export(tiny, tmp_path / "x.onnx").notes
    comparison = compare(tiny, tmp_path / "x.onnx", tmp_path / "photos")
    assert "--images DIR" in comparison.notes[0]


def test_a_table_alone_cannot_choose_what_to_keep(tiny: Path, tmp_path: Path) -> None:
    from edgekit.deployment.precision.calibration import Table, write_table

    write_table(tmp_path / "ranges.json", Table("", META.input_size, {}, {}))
    with pytest.raises(EdgekitError, match="needs photos, not a table") as raised:
        export("demo", tmp_path / "x.onnx", conversion=Conversion("int8", calibration=tmp_path / "ranges.json"))
    assert "--keep none" in str(raised.value.hint)
    with pytest.raises(EdgekitError, match="a table for int8, fp16 looks at photos"):
        export("demo", tmp_path / "x.onnx", conversion=Conversion("fp16", calibration=tmp_path / "ranges.json"))


def test_a_precision_it_has_is_no_conversion(tmp_path: Path) -> None:
    half = write_tiny_detector(tmp_path / "half.onnx", meta=replace(META, precision="fp16"))
    refused(half, "--calibration: has no use here", conversion=Conversion("fp16", calibration=SAMPLE_PHOTOS))


def test_several_images_per_run_are_not_cut_in_parts(tmp_path: Path) -> None:
    two = write_tiny_detector(tmp_path / "two.onnx", batch=2, meta=replace(META, generations=META.generations[:1]))
    with pytest.raises(EdgekitError, match=r"two\.onnx: takes 2 images per run"):
        export(two, tmp_path / "model")
    assert not (tmp_path / "model").exists()


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
    export(tiny, output, triton=models, verify=False)
    before = {p: p.read_bytes() for p in models.rglob("*") if p.is_file()}
    other = write_tiny_detector(tmp_path / "other.onnx", meta=replace(META, overlaps="one"))
    with pytest.raises(EdgekitError, match=r"x\.onnx: is a folder"):
        export(other, output, triton=models, track=in_the_way)
    assert {p: p.read_bytes() for p in models.rglob("*") if p.is_file()} == before


def test_more_detections_than_there_are_candidates(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--detections 1000: out of range") as raised:
        export("demo", tmp_path / "x.onnx", shape=GraphShape(detections=1000))
    assert "1 to 512" in str(raised.value.hint)
    with pytest.raises(EdgekitError, match="--detections 20: more than 8 proposals"):
        export("demo", tmp_path / "x.onnx", shape=GraphShape(detections=20, proposals=8))


class TestEngines:
    """With TensorRT-RTX, which compiles without a GPU."""

    @pytest.fixture(autouse=True)
    def rtx(self) -> None:
        pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")

    def test_a_failed_build_leaves_the_graph_too(self, tiny: Path) -> None:
        refused(tiny, r"out/x.onnx: .*FP32 GEMM is not supported", engine=EngineOptions("fp32", ("7.5",)))

    def test_options_are_the_builders_to_refuse(self, tiny: Path) -> None:
        options = EngineOptions("fp32", ("8.6",), version_compatible=True)
        refused(tiny, "--version-compatible: TensorRT-RTX", engine=options)

    def test_engines_take_one_canvas(self, tmp_path: Path) -> None:
        two = write_tiny_detector(tmp_path / "two.onnx", batch=2)
        refused(two, "an engine takes one image per run, not 2", **AHEAD)
        with pytest.raises(EdgekitError, match="an engine takes one image per run, not 3"):
            export("demo", tmp_path / "x.onnx", shape=GraphShape(batch=3), **AHEAD)

    def test_triton_serves_no_rtx(self, tiny: Path, tmp_path: Path) -> None:
        refused(tiny, "Triton's TensorRT backend cannot load", triton=tmp_path / "models", **AHEAD)
        assert not (tmp_path / "models").exists()

    def test_graph_engine_and_description_are_written_together(self, tiny: Path, tmp_path: Path) -> None:
        result = export(tiny, tmp_path / "out" / "x.engine", **AHEAD)
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.engine", "x.engine.json", "x.onnx"]
        assert result.engine is not None
        assert result.engine.path == tmp_path / "out" / "x.engine"
        assert result.engine.onnx_sha256 == sha256(result.output)

    @pytest.mark.parametrize("way", ["itself", "link"])
    def test_an_engine_beside_its_graph_leaves_the_graph_as_it_is(self, way: str, tmp_path: Path) -> None:
        half = write_tiny_detector(tmp_path / "half.onnx", meta=replace(META, precision="fp16"))
        if way == "link":
            (tmp_path / "link.onnx").symlink_to(half)
        model = half if way == "itself" else tmp_path / "link.onnx"
        before = half.read_bytes(), half.stat().st_mtime_ns
        result = export(model, tmp_path / "half.engine", engine=EngineOptions("fp16", ("8.6",)))
        assert (half.read_bytes(), half.stat().st_mtime_ns) == before
        assert result.engine is not None
        assert (result.output, result.engine.path, result.precision) == (half, tmp_path / "half.engine", "fp16")
        assert result.engine.onnx_sha256 == sha256(half)
        export(model, tmp_path / "half.engine", engine=EngineOptions("fp16", ("8.6",)))  # over an engine of its own

    @pytest.mark.parametrize(
        "options",
        [{"engine": EngineOptions("fp16", ("8.6",))}, {"input": "float", **AHEAD}, {"labels": "int32", **AHEAD}],
    )
    def test_an_engine_of_another_graph_is_not_built_beside_it(self, options: dict[str, Any], tiny: Path) -> None:
        before = tiny.read_bytes()
        with pytest.raises(EdgekitError, match=r"tiny\.onnx: is the input"):
            export(tiny, tiny.with_suffix(".engine"), **options)
        assert tiny.read_bytes() == before
        assert [p.name for p in tiny.parent.iterdir()] == ["tiny.onnx"]
