"""``edgekit bench`` as its user meets it: files, pages, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.lib.svg_files import as_file
from edgekit.cli import main
from edgekit.errors import EdgekitError
from edgekit.measurement.bench import run
from edgekit.measurement.bench.benchmark import Benchmark, Failure, Memory, Power, Streams
from edgekit.measurement.bench.plan import BenchOptions
from edgekit.measurement.telemetry.records import Series
from edgekit.report.bench_page import page
from edgekit.report.bench_tables import markdown, remarks
from edgekit.report.plots import curves, distribution
from edgekit.runtime.torch_session import device_here
from tests.devices import install, write_stand_in
from tests.measurement.bench.results import benchmark, latency, measured, telemetry
from tests.tiny_detector import write_tiny_detector

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "edgekit" / "assets" / "verify" / "0.jpg"
POWER = Power(4.0, 40, 0.5, 5.0, ("jtop VDD_IN",), {"gpu celsius": 50.0})


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "tiny.onnx")


def test_json_file_markdown_page_and_exit_code(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("r.json", "r.md", "r.html")]
    options = ["--json", str(files[0]), "--markdown", str(files[1]), "--html", str(files[2])]
    assert main(["bench", str(tiny), "nothing.onnx", "--runs", "2", *options]) == 1, "one could not be measured"
    said = capsys.readouterr()
    assert "nothing.onnx: no such file" in said.err
    assert "tiny.onnx" in said.out
    result = json.loads(files[0].read_text())
    assert [r["latency"]["runtime"] for r in result["artifacts"]] == [f"onnxruntime {device_here()}"]
    assert all("tiny.onnx" in f.read_text() and "nothing.onnx" in f.read_text() for f in files[1:])


@pytest.mark.parametrize("option", ["--json", "--markdown", "--html"])
def test_a_file_that_cannot_be_written_is_named_before_the_work(
    option: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.report.bench.measure", lambda *_: pytest.fail("it was measured"))
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "folder.json"
    folder.mkdir()
    for path, said in ((tmp_path / "file" / "x.json", "cannot be written"), (folder, "is a folder")):
        assert main(["bench", str(tiny), option, str(path)]) == 1
        assert said in capsys.readouterr().err


def test_tables_are_shown_though_a_disk_fills_up_meanwhile(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise EdgekitError(f"{path}: cannot be written: No space left on device", "free space")

    monkeypatch.setattr("edgekit.report.bench.write_text", full)
    monkeypatch.setattr("edgekit.files.whole_files.write_text", full)
    files = [str(tmp_path / name) for name in ("r.json", "r.md", "r.html")]
    options = ["--json", files[0], "--markdown", files[1], "--html", files[2]]
    assert main(["bench", str(tiny), "--runs", "1", *options]) == 1
    said = capsys.readouterr()
    assert "tiny.onnx" in said.out
    assert all(f"{name}: cannot be written" in said.err for name in files)


def test_json_keeps_its_fields(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Others read this file: a field may be added, never renamed or removed (see result.FORMAT)."""
    assert main(["bench", str(tiny), "--runs", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["format"] == 1
    top = "artifacts failed photos photo_sizes settings machine versions telemetry not_measured comparison slower"
    assert set(result) >= set(top.split())
    row = "latency model sha256 precision calls_ms memory power streams accuracy layers notes not_measured"
    assert set(result["artifacts"][0]) >= set(row.split())
    figures = "artifact runtime p50_ms p90_ms p99_ms mean_ms std_ms images_per_s inference_p50_ms split runs warm_up"
    assert set(result["artifacts"][0]["latency"]) >= {*figures.split(), "stable", "input_size", "batch"}
    split = result["artifacts"][0]["latency"]["split"]
    assert set(split) == {"decode_ms", "preprocess_ms", "inference_ms", "postprocess_ms"}
    assert set(result["artifacts"][0]["memory"]) == {"before_mb", "resident_mb", "peak_mb", "device_mb"}


def test_fail_if_slower(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "old.json"
    command = ["bench", str(tiny), "--runs", "3"]
    assert main([*command, "--json", str(old)]) == 0
    document = json.loads(old.read_text())
    row = document["artifacts"][0]["latency"]

    def against(factor: float, *options: str, cpu: str = "") -> tuple[int, str]:
        changed = json.loads(json.dumps(document))
        changed["artifacts"][0]["latency"]["p50_ms"] = row["p50_ms"] * factor
        changed["machine"]["cpu"] = cpu or document["machine"]["cpu"]
        old.write_text(json.dumps(changed))
        capsys.readouterr()
        code = main([*command, "--against", str(old), *options])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    assert against(100.0, "--fail-if-slower", "5%")[0] == 0
    code, said = against(0.01, "--fail-if-slower", "5%")
    assert (code, "slower than before" in said) == (1, True)
    assert against(0.01)[0] == 0, "without --fail-if-slower a ratio is only shown"
    code, said = against(1.0, "--fail-if-slower", "5%", cpu="Cortex-A78AE")
    assert code == 1
    assert "another machine" in said
    assert "p50" not in said, "it is refused before the work"
    code, said = against(1.0, cpu="Cortex-A78AE")
    assert (code, "ANOTHER MACHINE" in said) == (0, True)
    assert "(measure the old result again on this machine)" in said
    assert main([*command, "--fail-if-slower", "5%"]) == 1
    assert "give an old result" in capsys.readouterr().err


def test_options_reach_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def bench(models: Any, options: BenchOptions, **others: Any) -> Benchmark:
        given.update(vars(options) | others)
        return benchmark()

    monkeypatch.setattr("edgekit.report.bench.bench", bench)
    assert main(["bench", "demo", "--compile", "--profile", "--providers", "cpu,cuda", "--fail-if-slower", "5%"]) == 0
    assert (given["compiled"], given["profile"], given["providers"]) == (True, True, ("cpu", "cuda"))
    assert given["fail_if_slower"] == 0.05


@pytest.mark.parametrize("option", ["--fail-if-slower=fast", "--json=model.onnx", "--runs=x"])
def test_options_that_are_none_exit_2(option: str, tiny: Path) -> None:
    assert main(["bench", str(tiny), option]) == 2


def test_a_model_is_not_overwritten_by_json(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.read_bytes()
    assert main(["bench", "--json", str(tiny)]) == 2
    assert "put --json last" in capsys.readouterr().err
    assert tiny.read_bytes() == before


def test_the_page_needs_nothing_else_and_escapes_names() -> None:
    watts = Series("jtop", "VDD_IN", "W", (0.0, 5.0, 10.0), (4.0, 9.0, 5.0))
    rows = [measured(latency("<script>.onnx"), POWER, Streams(2, 1, 4.0, 180.0, 11.0, 12.0)), measured(latency("b"))]
    text = page(benchmark(*rows, seen=telemetry(watts), failed=(Failure("x.engine", "is broken", "mend it"),)))
    assert text.count("<svg") == 2
    assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|https?://|<script""", text)
    assert "&lt;script&gt;.onnx" in text
    assert "x.engine: is broken (mend it)" in text
    without = page(benchmark(*rows))
    assert without.count("<svg") == 1
    assert "not measured: jtop: this is not a Jetson" in without


def test_markdown_says_what_was_not_measured() -> None:
    text = markdown(benchmark(measured(latency("a"), POWER), measured(latency("b"))))
    assert "| a | 180 | 190 | 0.500 | 5.0 |" in text
    assert "| b | 180 | 190 | not measured | not measured |" in text
    assert "| artifact | gpu celsius |\n| --- | ---: |\n| a | 50.0 |\n| b | not measured |" in text
    assert "ran alone (means)" not in markdown(benchmark(measured(latency("b"))))
    assert "| power and energy | not measured (jtop: this is not a Jetson) |" in text


def test_what_is_not_of_one_size_is_said() -> None:
    rows = [measured(latency("a")), measured(latency("b", input_size=(128, 96)))]
    photos, inputs = remarks(benchmark(*rows, photo_sizes={"48x64": 2, "500x300": 5}))
    assert "different sizes: 5 of 500x300, 2 of 48x64" in photos
    assert "a 64x96, b 128x96 (export them with the same --size)" in inputs
    assert remarks(benchmark(rows[0])) == []
    many = remarks(benchmark(rows[0], photo_sizes={f"{n}x9": 1 for n in range(9)}))
    assert "and 5 more sizes" in many[0]


def points(svg: str) -> list[tuple[float, float]]:
    found = re.search(r'polyline points="([^"]*)"', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_plots_draw_the_values() -> None:
    steps = points(distribution({"a": [30.0, 10.0, 20.0]}, "ms", "% of calls"))
    xs, ys = zip(*steps, strict=True)
    assert len(set(xs)) == 3, "one step a value"
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True), "the share rises, and up is less in SVG"
    line = points(curves({"a": ([0.0, 1.0, 2.0], [5.0, 10.0, 5.0])}, "seconds", "W"))
    assert line[0][1] == line[2][1] > line[1][1]
    assert points(curves({"a": ([1.0], [0.0])}, "seconds", "W"))


def test_a_plot_as_a_file_is_xml_with_its_own_style() -> None:
    plot = curves({"a & b": ([1.0, 2.0], [3.0, 4.0])}, "proposals", "ms")
    root = ElementTree.fromstring(as_file(plot))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "polyline" in (root[0].text or "")
    assert points(as_file(plot)) == points(plot)


def test_engines_are_benched_without_torch(tmp_path: Path) -> None:
    """By the process that reads the command, and by the one that opens the engine, here on stand-ins for the device."""
    engine = write_stand_in(tmp_path / "tiny.engine")
    (tmp_path / "x.engine").write_bytes(b"an engine")
    code = f"""
import sys
sys.modules["torch"] = None  # any import of torch raises
from pathlib import Path
from edgekit.cli import main
from edgekit.measurement.bench import alone
from edgekit.measurement.bench.forms import Form
from tests.devices import install
assert main(["bench", {str(tmp_path / "x.engine")!r}]) == 1
cuda = install(setattr)
answer = alone.measure_memory(Form({str(engine)!r}, "tiny"), Path({str(PHOTO)!r}))
assert cuda.calls.count("cudaGraphLaunch") == alone.CALLS, answer
assert answer["resident_mb"] > 0, answer
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "x.engine.json is not beside it" in done.stderr


def test_an_engine_is_benched_whole_on_stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = write_stand_in(tmp_path / "tiny.engine")
    cuda = install(monkeypatch.setattr)
    monkeypatch.setattr(run, "ALONE", 0.1)
    monkeypatch.setattr(run, "try_alone", lambda form, photo: Memory(1.0, 2.0, 3.0, 4.0))
    result = run.measure([engine], BenchOptions(runs=2, streams=2), sources=[])
    assert result.failed == ()
    (row,) = result.artifacts
    assert row.latency.runtime == "TensorRT 10.3.0, CUDA graph"
    assert row.streams is not None
    assert cuda.calls.count("cudaMalloc") == 2, "the session and its twin"
