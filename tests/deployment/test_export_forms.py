"""One command to a graph in another precision, an engine, a Triton repository."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from edgekit.artifacts.onnx_files import read_onnx
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.run_demo import PHOTOS
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.report.tables import export_table
from edgekit.runtime.engine_file import read_engine
from edgekit.runtime.gpu import NoGpu


def test_fp16_engine_ahead_of_time(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = export("demo", tmp_path / "x.engine", engine=EngineOptions("fp16", compute_capability=("8.6",)))
    assert result.precision == read_onnx(tmp_path / "x.onnx")[1].precision == "fp16"
    assert result.verification is not None
    assert result.verification.passed
    engine, _ = read_engine(tmp_path / "x.engine")
    assert engine.compute_capabilities == ("8.6",)
    assert engine.meta.precision == "fp16"
    served = export(result.output, tmp_path / "y.onnx", triton=tmp_path / "triton").triton
    assert served == tmp_path / "triton" / "y"
    assert (served / "1" / "model.onnx").read_bytes() == (tmp_path / "y.onnx").read_bytes()
    assert "chicken" not in (served / "labels.txt").read_text()


def test_int8_for_cpus_with_its_table(tmp_path: Path) -> None:
    kept, table, photos = ("body.1", "body.2"), tmp_path / "x.calibration.json", tmp_path / "photos"
    write_demo_set("base-test", 12, photos)
    conversion = Conversion("int8", "cpu", photos, kept)
    result = export("demo", tmp_path / "x.onnx", conversion=conversion)
    assert (result.precision, result.kept) == ("int8", kept)
    assert table.exists()
    assert any(kind in result.node_kinds for kind in ("QLinearConv", "DequantizeLinear"))
    assert result.eight_bit_share is not None
    assert 0.8 < result.eight_bit_share < 0.99, "all but two blocks and what is not quantised"
    assert result.verification is not None
    assert result.verification.parity.images == 12, "compared on the photos that it was calibrated on"
    assert any("detections on 12 photos were compared, which says little" in note for note in result.notes)
    again = export("demo", tmp_path / "y.onnx", verify=photos, conversion=replace(conversion, calibration=table))
    assert again.kept == kept
    assert again.node_kinds == result.node_kinds
    assert again.eight_bit_share == result.eight_bit_share
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(export_table(again))
    assert f"{100 * result.eight_bit_share:.0f}% of the multiply-adds" in console.export_text()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_int8_as_the_docs_have_it(target: str, tmp_path: Path) -> None:
    """``edgekit export demo --precision int8 --calibration demo/photos/base-test``, on the photos of the demo."""
    photos = tmp_path / "base-test"
    write_demo_set("base-test", PHOTOS["base-test"], photos)
    result = export("demo", tmp_path / "x.onnx", conversion=Conversion("int8", target=target, calibration=photos))
    assert result.verification is not None
    seen = result.verification.parity
    assert (seen.images, seen.compared >= 100, result.verification.doubts) == (64, True, ())
    assert seen.matched_share > 0.95
    assert result.eight_bit_share is not None
    assert result.eight_bit_share > 0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": EngineOptions("fp16"), "conversion": Conversion("int8")}, "differ"),
        ({"engine": EngineOptions("int8"), "conversion": Conversion(target="cpu")}, "differ"),
        ({"conversion": Conversion("int8")}, "needs photos"),
        ({"conversion": Conversion("fp8")}, "fp8"),
        ({"engine": EngineOptions("fp16")}, "GPU"),
        ({"engine": EngineOptions("fp16", compute_capability=("big",))}, "big"),
        ({"conversion": Conversion("fp16", keep=("nosuchblock",))}, "nosuchblock"),
    ],
)
def test_what_cannot_be_asked_for(
    options: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.deployment.tensorrt.target.first_gpu", lambda: NoGpu("no GPU", "run it elsewhere"))
    output = tmp_path / "x.onnx"
    output.write_bytes(b"earlier")
    with pytest.raises(EdgekitError, match=message):
        export("demo", output, force=True, **options)  # type: ignore[arg-type]
    assert output.read_bytes() == b"earlier"


def test_an_engines_name_needs_a_precision(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--trt"):
        export("demo", tmp_path / "x.engine")
