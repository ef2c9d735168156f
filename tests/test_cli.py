"""The command line: one command is one function; results, JSON and errors as a user meets them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

import edgekit
from edgekit.cli import cli, main
from edgekit.data.annotations.dataset import Dataset
from edgekit.runtime.torch_session import device_here
from tests.tiny_detector import META, write_tiny_detector

ROOT = Path(__file__).parent.parent
FUNCTIONS = {"eval": "evaluate", "demo": "run_demo"}  # the others have their command's name
VERIFY = ROOT / "edgekit" / "assets" / "verify"


def flat(parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """A function's parameters, with the fields of an option record in the record's place."""
    found: dict[str, inspect.Parameter] = {}
    for name, parameter in parameters.items():
        if dataclasses.is_dataclass(parameter.default):
            found |= flat(inspect.signature(type(parameter.default)).parameters)
        elif name not in ("track", "say"):
            found[name] = parameter
    return found


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_command_is_function(name: str) -> None:
    command = cli.commands[name]
    expected = flat(inspect.signature(getattr(edgekit, FUNCTIONS.get(name, name))).parameters)
    # --no-verify is verify=False in Python, --verify DIR is verify=DIR.
    options = {p.name: p for p in command.params if p.name not in ("as_json", "no_verify")}
    assert set(options) == set(expected)
    for key, option in options.items():
        if (name, key) == ("export", "verify"):
            continue
        default = expected[key].default
        assert option.required == (default is inspect.Parameter.empty), key
        if not option.required:
            assert option.get_default(click.Context(command)) == default, key


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in sorted(cli.commands))])
def test_help_imports_nothing_that_takes_long(arguments: list[str]) -> None:
    heavy = {"torch", "numpy", "onnx", "onnxruntime", "PIL", "rich", "jinja2", "pycocotools", "yaml"}
    code = f"import sys; from edgekit.cli import main; main({arguments}); sys.exit(str({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.startswith("Usage:")
    assert done.stderr.strip() == "set()"


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> object:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_predict_json_and_pictures(adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, "predict", adapted, VERIFY / "0.jpg", VERIFY / "1.jpg", "-o", tmp_path / "drawn")
    assert [Path(r["image"]).name for r in rows] == ["0.jpg", "1.jpg"]
    found = rows[0]["detections"][0]
    assert set(found) == {"category", "category_id", "score", "bbox", "segmentation"}
    assert found["segmentation"]["size"] == [320, 320]
    assert {p.name for p in (tmp_path / "drawn").iterdir()} == {"0.png", "1.png"}


@pytest.mark.parametrize("command", ["predict", "eval", "export"])
def test_overlaps_are_one_or_keep(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {
        "predict": [str(VERIFY / "0.jpg")],
        "eval": ["--data", str(tmp_path / "x.json"), "--images", str(tmp_path)],
        "export": ["-o", str(tmp_path / "x.onnx")],
    }
    assert main([command, "demo", *more[command], "--overlaps", "some"]) == 1
    assert "--overlaps some: unknown" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_predict_of_a_graph_with_one_label_per_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = write_tiny_detector(tmp_path / "one.onnx", meta=dataclasses.replace(META, overlaps="one"))
    arguments = ["predict", str(graph), str(VERIFY / "0.jpg")]
    assert main(arguments) == main([*arguments, "--overlaps", "one"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--overlaps", "keep"]) == 1
    assert "one.onnx: gives one label per object" in capsys.readouterr().err


def test_one_image_is_not_called_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "demo", str(VERIFY / "0.jpg"), "--min-score", "1"]) == 0
    assert "0 objects in 1 image\n" in re.sub(" +\n", "\n", capsys.readouterr().out)


def test_pictures_of_equal_names_are_all_kept(adapted: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.jpg").write_bytes((VERIFY / "1.jpg").read_bytes())
    photos = [str(VERIFY / "0.jpg"), str(tmp_path / "other")]
    assert main(["predict", str(adapted), *photos, "-o", str(tmp_path / "drawn")]) == 0
    assert {p.name for p in (tmp_path / "drawn").iterdir()} == {"0.png", "0-2.png"}


def test_eval_json(adapted: Path, mixed_test: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "eval", adapted, "--data", mixed_test.file, "--images", mixed_test.file.parent)
    assert {"box", "mask", "old", "new", "per_class"} <= set(result)
    assert set(result["old"]["mask"]) == {"AP", "AP50"}
    assert result["old"]["box"]["AP50"] > 0.8


def test_bench_json(adapted: Path, adapted_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "bench", adapted, adapted_onnx, "--runs", 2)
    rows = [r["latency"] for r in result["artifacts"]]
    assert [r["runtime"] for r in rows] == [f"pytorch {device_here()}", f"onnxruntime {device_here()}"]
    assert all(0 < r["p50_ms"] <= r["p90_ms"] <= r["p99_ms"] for r in rows)
    assert result["machine"]["cpu"]


def test_inspect_json(adapted_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "inspect", adapted_onnx)
    assert result["kind"] == "onnx"
    assert result["meta"]["generations"][1] == ["chicken", "frog"]


def damage(document: dict, what: str) -> dict:
    if what == "no annotations":
        return document | {"annotations": []}
    if what == "missing image":
        return document | {"images": [document["images"][0] | {"file_name": "gone.jpg"}, *document["images"][1:]]}
    if what == "old class":
        return document | {"categories": [document["categories"][0] | {"name": "dog"}, *document["categories"][1:]]}
    if what == "unknown image":
        return document | {"annotations": [a | {"image_id": 999} for a in document["annotations"]]}
    return {"pictures": []}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no annotations", "holds no annotations"),
        ("missing image", "gone.jpg"),
        ("old class", "class dog: the base model already has it"),
        ("unknown image", "refers to an image"),
        ("not COCO", "is in no format of annotations"),
    ],
)
def test_adapt_names_what_is_wrong_with_annotations(
    what: str, said: str, new_train: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = tmp_path / "bad.json", tmp_path / "out.safetensors"
    data.write_text(json.dumps(damage(json.loads(new_train.file.read_text()), what)))
    output.write_bytes(b"an earlier result")
    code = main(
        ["adapt", "demo", "--data", str(data), "--images", str(new_train.file.parent), "-o", str(output), "--force"]
    )
    said_all = capsys.readouterr().err
    assert code == 1
    assert said in said_all
    assert len(said_all.splitlines()) == 1
    assert output.read_bytes() == b"an earlier result"
    assert {p.name for p in tmp_path.iterdir()} == {"bad.json", "out.safetensors"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.safetensors", None, "no such file"),
        ("damaged.safetensors", b"\x00" * 100, "is damaged"),
        ("damaged.onnx", b"\x08\x99 not a protobuf", "is damaged"),
        ("photo.jpg", b"\xff\xd8", "not a kind of model"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "bench", "predict"])
def test_bad_model_files(
    command: str, name: str, content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    arguments = [command, str(path)] + ([str(VERIFY / "0.jpg")] if command == "predict" else [])
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert "(" in error, "the hint is missing"


def test_output_that_cannot_be_written(adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", str(adapted), "-o", str(tmp_path / "file" / "x.onnx")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["100x100", "32x32"])
def test_export_refuses_sizes_that_do_not_fit(
    size: str, adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(adapted), "-o", str(tmp_path / "x.onnx"), "--size", size]) == 1
    assert "multiples of 32" in capsys.readouterr().err


def test_bad_images_are_named_and_skipped_on_request(
    adapted: Path, mixed_test: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for photo in mixed_test.photos:
        (tmp_path / photo.path.name).write_bytes(photo.path.read_bytes())
    (tmp_path / "0000.jpg").write_bytes(mixed_test.photos[0].path.read_bytes()[:500])
    arguments = ["eval", str(adapted), "--data", str(mixed_test.file), "--images", str(tmp_path)]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "0000.jpg" in error
    assert "--skip-bad-images" in error
    for skipping in (arguments, ["predict", str(adapted), str(tmp_path)]):
        assert main([*skipping, "--skip-bad-images"]) == 0
        assert "0000.jpg" in capsys.readouterr().err


def test_usage_errors_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "demo"]) == 2
    assert main(["export", "demo", "-o", "x.onnx", "--size", "big"]) == 2


def test_ctrl_c_leaves_nothing(
    new_train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgekit.adaptation.job.prove", interrupt)
    folder = tmp_path / "out"
    output = str(folder / "a.safetensors")
    images = str(new_train.file.parent)
    assert (
        main(["adapt", "demo", "--data", str(new_train.file), "--images", images, "-o", output, "--epochs", "1"]) == 130
    )
    assert list(folder.iterdir()) == []
