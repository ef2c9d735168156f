from __future__ import annotations

import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from edgekit.adaptation.adapt import Adaptation, Learning, adapt
from edgekit.adaptation.before_and_after import Hidden
from edgekit.adaptation.features import extraction as features
from edgekit.adaptation.features.rois import ViewFeatures, view_features
from edgekit.adaptation.job import Job, Prepared
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.safetensors_files import read_safetensors
from edgekit.cli import main
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.photo_sets import write_demo_set
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.report.adaptation_table import adaptation_table
from edgekit.report.inspect import inspect
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect

UNTRAINED = Learning(epochs=0, views=1)


def test_old_detections_are_bit_identical(adapted: Path, mixed_test: Dataset) -> None:
    before, after = open_session("demo"), open_session(adapted)
    result = retention(((detect(before, p.read()), detect(after, p.read())) for p in mixed_test.photos), 13)
    assert result.compared > 10
    assert result.changed == 0


def test_proof_is_written(adaptation: Adaptation) -> None:
    proof = json.loads(adaptation.output.with_suffix(".retention.json").read_text())
    assert proof["retention"]["changed"] == 0
    assert proof["format"] == "edgekit proof 1"
    assert (proof["model"], proof["model_sha256"]) == (adaptation.output.name, sha256(adaptation.output))
    assert "0 of" in inspect(adaptation.output).details["old detections"]
    assert proof["retention"]["compared"] == adaptation.proof.retention.compared > 0
    assert proof["retention"]["images"] == 6
    assert proof["trunk_sha256_before"] == proof["trunk_sha256_after"]
    assert proof["settings"]["seed"] == 0
    assert set(proof["proposed"]) == {"chicken", "frog"}
    assert proof["files"]["data"].endswith(".json")
    assert proof["files"]["val"] is None
    assert proof["input_size"] == [320, 320]
    assert proof["hidden_with_new"] == {"photos_not_learned_from": 0, "detections": 0, "hidden": 0}


def test_what_the_rpn_proposes_is_said_before_training(
    new_train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that the table folds nothing
    arguments = ["adapt", "demo", "--data", str(new_train.file), "--images", str(new_train.file.parent)]
    assert main([*arguments, "-o", str(tmp_path / "a.safetensors"), "--epochs", "0"]) == 0
    said = capsys.readouterr()
    objects = sum(a.category == "frog" for p in new_train.photos for a in p.annotations)
    assert re.search(rf"RPN proposes: .*\d+ of {objects} frog", said.err)
    assert re.search(rf"proposed by the RPN.*\d+ of {objects} frog", said.out)
    assert "12 classes" in said.out


def test_what_is_left_out_is_said_before_training(new_train: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(new_train.file.parent, folder)
    white = new_train.photos[0]
    Image.new("RGB", (white.width, white.height), "white").save(folder / white.path.name)
    said: list[str] = []
    data, output = folder / new_train.file.name, tmp_path / "a.safetensors"
    result = adapt("demo", data, folder, output, learning=UNTRAINED, say=said.append)
    assert result.photos == len(new_train.photos) - 1
    assert said[0].startswith("left out 1 x shows nothing")
    assert white.path.name in said[0]
    assert "is of one colour" in result.skipped[0]
    assert "RPN" in said[1]


def test_ctrl_c_while_computing_features_and_again(
    new_train: Dataset, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "trunks").mkdir(exist_ok=True)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "trunks").symlink_to(cache / "trunks")  # features alone are computed anew
    output, calls = tmp_path / "out" / "a.safetensors", []

    def counted(*arguments: Any) -> ViewFeatures:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return view_features(*arguments)

    monkeypatch.setattr(features, "view_features", counted)
    arguments = ["adapt", "demo", "--data", str(new_train.file), "--images", str(new_train.file.parent)]
    arguments += ["-o", str(output), "--epochs", "0", "--views", "1", "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 130
    assert list(output.parent.iterdir()) == []
    assert main(arguments) == 0
    assert len(calls) == 4 + len(new_train.photos) - 3
    assert output.exists()


def test_every_old_weight_is_kept(adapted: Path) -> None:
    before, _ = read_safetensors(resolve("demo"))
    after, _ = read_safetensors(adapted)
    assert before.keys() == {name for name in after if not name.startswith("edgekit.")}
    for name, value in before.items():
        assert np.array_equal(after[name][: len(value)] if value.ndim else after[name], value.astype(after[name].dtype))


def test_the_table_says_what_one_label_per_object_hides(adaptation: Adaptation) -> None:
    def printed(with_new: Hidden, without_new: Hidden) -> str:
        proof = replace(adaptation.proof, hidden_with_new=with_new, hidden_without_new=without_new)
        text = io.StringIO()
        Console(width=160, file=text).print(adaptation_table(replace(adaptation, proof=proof)))
        return text.getvalue()

    said = "4 of 12 old detections on 3 photos with new objects, 0 of 1 old detection on 1 photo without new objects"
    assert said in printed(Hidden(3, 12, 4), Hidden(1, 1, 0))
    assert "without" not in printed(Hidden(3, 12, 4), Hidden(0, 0, 0))
    assert "--overlaps" not in printed(Hidden(0, 0, 0), Hidden(0, 0, 0))


def test_losses_fall(adaptation: Adaptation) -> None:
    first, last = adaptation.training.epochs[0], adaptation.training.epochs[-1]
    assert last.classification < first.classification
    assert last.mask < first.mask


def test_same_seed_same_model(new_train: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    prepare = Job.prepare

    def drawing(*arguments: Any) -> Prepared:
        ready = prepare(*arguments)
        torch.rand(7)  # as cutting a trunk out of a graph does, in the first run only
        return ready

    for output in outputs:
        adapt("demo", new_train.file, new_train.file.parent, output, ("frog",), learning=Learning(epochs=1, seed=3))
        monkeypatch.setattr(Job, "prepare", drawing)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_adapted_model_can_be_adapted_again(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    folder, first, second = new_train.file.parent, tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    adapt("demo", new_train.file, folder, first, ("chicken",), learning=Learning(epochs=2))
    adapt(first, new_train.file, folder, second, ("frog",), learning=Learning(epochs=2))
    sessions = [open_session(m) for m in ("demo", first, second)]
    assert sessions[2].meta.generations[1:] == (("chicken",), ("frog",))
    for earlier, labels in ((0, 13), (1, 14)):
        pairs = ((detect(sessions[earlier], p.read()), detect(sessions[2], p.read())) for p in mixed_test.photos)
        assert retention(pairs, labels).changed == 0


def test_unknown_class_is_named(new_train: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="class duck: not annotated"):
        adapt("demo", new_train.file, new_train.file.parent, tmp_path / "x.safetensors", classes=("duck",))


def labelled(data: Dataset, folder: Path, kind: str) -> tuple[Path, Path]:
    """The data's boxes as polygons in a YOLO or LabelMe folder: the annotations and the photos."""
    photos, labels = folder / "images", folder / "labels"
    photos.mkdir()
    labels.mkdir()
    (folder / "data.yaml").write_text(f"names: {list(data.categories)}\n")
    for photo in data.photos:
        (photos / photo.path.name).write_bytes(photo.path.read_bytes())
        rows, shapes = "", []
        for item in photo.annotations:
            x, y, w, h = item.bbox
            corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
            values = " ".join(f"{px / photo.width} {py / photo.height}" for px, py in corners)
            rows += f"{data.categories.index(item.category)} {values}\n"
            shapes.append({"label": item.category, "points": corners, "shape_type": "polygon", "group_id": None})
        (labels / f"{photo.path.stem}.txt").write_text(rows)
        document = {"imagePath": photo.path.name, "shapes": shapes}
        document |= {"imageHeight": photo.height, "imageWidth": photo.width, "imageData": None}
        (photos / f"{photo.path.stem}.json").write_text(json.dumps(document))
    return (folder if kind == "yolo" else photos), photos


@pytest.mark.parametrize("kind", ["yolo", "labelme"])
def test_folders_of_other_tools_are_learned_from(kind: str, new_train: Dataset, tmp_path: Path) -> None:
    annotations, photos = labelled(new_train, tmp_path, kind)
    result = adapt("demo", annotations, photos, tmp_path / "a.safetensors", learning=UNTRAINED)
    counts = Counter(a.category for p in new_train.photos for a in p.annotations)
    assert result.objects == dict(counts)
    assert min(result.proposed[name] / count for name, count in result.objects.items()) > 0.8
    assert result.proof.retention.changed == 0


@pytest.mark.slow
def test_learns_from_a_few_photos(tmp_path: Path) -> None:
    from edgekit.measurement.evaluate import evaluate

    train = write_demo_set("new-train", 30, tmp_path / "train", seed=2)
    test = write_demo_set("mixed-test", 60, tmp_path / "test", seed=2)
    result = adapt("demo", train.file, train.file.parent, tmp_path / "x.safetensors")
    figures = evaluate(result.output, test.file, test.file.parent)
    assert figures.new is not None
    assert figures.new.box.AP50 > 0.8
    assert figures.new.mask is not None
    assert figures.new.mask.AP50 > 0.75
