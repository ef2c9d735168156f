from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.adaptation.recipes import Adaptation, adapt
from edgekit.artifacts import read_checkpoint, resolve
from edgekit.data.coco import Dataset
from edgekit.data.demo_sets import write_demo_set
from edgekit.errors import EdgekitError
from edgekit.measurement.compare import retention
from edgekit.runtime.session import detect, open_session


def test_old_detections_are_bit_identical(adapted: Path, mixed_test: Dataset) -> None:
    before, after = open_session("demo"), open_session(adapted)
    result = retention(((detect(before, p.read()), detect(after, p.read())) for p in mixed_test.photos), 13)
    assert result.compared > 10
    assert result.changed == 0


def test_proof_is_written(adaptation: Adaptation) -> None:
    proof = json.loads(adaptation.output.with_suffix(".retention.json").read_text())
    assert proof["retention"]["changed"] == 0
    assert proof["retention"]["compared"] == adaptation.proof.retention.compared > 0
    assert proof["retention"]["images"] == 6
    assert proof["trunk_sha256_before"] == proof["trunk_sha256_after"]
    assert proof["settings"]["seed"] == 0
    assert set(proof["proposal_recall"]) == {"chicken", "frog"}


def test_every_old_weight_is_kept(adapted: Path) -> None:
    before, _ = read_checkpoint(resolve("demo"))
    after, _ = read_checkpoint(adapted)
    assert before.keys() == {name for name in after if not name.startswith("edgekit.")}
    for name, value in before.items():
        assert np.array_equal(after[name][: len(value)] if value.ndim else after[name], value.astype(after[name].dtype))


def test_losses_fall(adaptation: Adaptation) -> None:
    first, last = adaptation.training.epochs[0], adaptation.training.epochs[-1]
    assert last.classification < first.classification
    assert last.mask < first.mask


def test_same_seed_same_model(new_train: Dataset, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for output in outputs:
        adapt("demo", new_train.file, new_train.file.parent, output, classes=("frog",), epochs=1, seed=3)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_adapted_model_can_be_adapted_again(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    folder, first, second = new_train.file.parent, tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    adapt("demo", new_train.file, folder, first, classes=("chicken",), epochs=2)
    adapt(first, new_train.file, folder, second, classes=("frog",), epochs=2)
    sessions = [open_session(m) for m in ("demo", first, second)]
    assert sessions[2].meta.generations[1:] == (("chicken",), ("frog",))
    for earlier, labels in ((0, 13), (1, 14)):
        pairs = ((detect(sessions[earlier], p.read()), detect(sessions[2], p.read())) for p in mixed_test.photos)
        assert retention(pairs, labels).changed == 0


def test_unknown_class_is_named(new_train: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="class duck: not annotated"):
        adapt("demo", new_train.file, new_train.file.parent, tmp_path / "x.safetensors", classes=("duck",))


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
