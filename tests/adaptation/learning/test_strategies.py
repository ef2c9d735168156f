from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from edgekit.adaptation.adapt import Adaptation, ExtraData, FeatureStore, Learning, adapt
from edgekit.adaptation.splitting import split
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.assembly.reading_back import read_heads
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect
from tests.checkpoints import FASTERRCNN, SIZE, random_detector, write

OLD = 13  # labels of the embedded model, the background included


def adapted(data: Dataset, output: Path, base: str | Path = "demo", **options: Any) -> Adaptation:
    """Adapt a base for one epoch; ``options`` are ``adapt``'s and those of its records."""
    learning: dict[str, Any] = {"epochs": 1, "views": 1}
    learning |= {f.name: options.pop(f.name) for f in fields(Learning) if f.name in options}
    extra = {f.name: options.pop(f.name) for f in fields(ExtraData) if f.name in options}
    records = {"learning": Learning(**learning), "extra": ExtraData(**extra)}
    return adapt(base, data.file, data.file.parent, output, **records, **options)


def changed(before: str | Path, after: Path, photos: Dataset, labels: int) -> int:
    first, second = open_session(before), open_session(after)
    result = retention(((detect(first, p.read()), detect(second, p.read())) for p in photos.photos), labels)
    assert result.compared > 10
    return result.changed


def renamed(data: Dataset, before: str, after: str, folder: Path) -> Dataset:
    """The data with a class of another name."""
    document = json.loads(data.file.read_text())
    for category in document["categories"]:
        category["name"] = after if category["name"] == before else category["name"]
    for image in document["images"]:
        shutil.copy(data.file.parent / image["file_name"], folder)
    file = folder / f"{after}.json"
    file.write_text(json.dumps(document))
    return read_dataset(file, folder)


@pytest.mark.parametrize("train", ["predictors", "mask", "last:1", "last:2", "last:3"])
def test_every_strategy_is_exact(train: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    result = adapted(new_train, tmp_path / "a.safetensors", train=train)
    assert result.proof.retention.changed == 0
    assert changed("demo", result.output, mixed_test, OLD) == 0


def test_masks_of_a_model_without_masks_cannot_train(new_train: Dataset, tmp_path: Path) -> None:
    base = write(random_detector(FASTERRCNN), tmp_path / "base.pth")
    hints = CheckpointHints(architecture=FASTERRCNN)
    with pytest.raises(EdgekitError, match="--train mask: the base model, a Faster R-CNN, has no masks"):
        adapted(new_train, tmp_path / "x.safetensors", base, train="mask", hints=hints, size=SIZE)


@pytest.mark.parametrize("init", ["mean", "random", "prototype", "dog"])
def test_every_init_is_exact(init: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    result = adapted(new_train, tmp_path / "a.safetensors", init=init)
    assert changed("demo", result.output, mixed_test, OLD) == 0


def test_what_is_not_trained_stays_as_it_began(new_train: Dataset, tmp_path: Path) -> None:
    start = load_model(adapted(new_train, tmp_path / "0.safetensors", epochs=0).output)[0].predictors.generations[0]
    masks = load_model(adapted(new_train, tmp_path / "m.safetensors", train="mask").output)[0].predictors.generations[0]
    last = load_model(adapted(new_train, tmp_path / "l.safetensors", train="last:1").output)[0].predictors.generations[
        0
    ]
    assert torch.equal(start.cls_score.weight, masks.cls_score.weight)
    assert torch.equal(start.bbox_pred.weight, masks.bbox_pred.weight)
    assert start.mask_fcn_logits is not None
    assert masks.mask_fcn_logits is not None
    assert not torch.equal(start.mask_fcn_logits.weight, masks.mask_fcn_logits.weight)
    features = torch.rand(20, start.cls_score.in_features)
    for given, expected in zip(masks(features), start(features), strict=True):  # what edgekit runs, not the rows alone
        assert torch.allclose(given, expected, atol=1e-6)
    assert torch.equal(start.cls_score.weight, last.cls_score.weight)
    assert not torch.equal(start.bbox_pred.weight, last.bbox_pred.weight)
    assert last.adapter is None


def test_named_class_gives_its_rows(new_train: Dataset, tmp_path: Path) -> None:
    module, meta = load_model(adapted(new_train, tmp_path / "a.safetensors", epochs=0, init="dog").output)
    dog = meta.categories.index("dog")
    rows = module.predictors.generations[0].cls_score.weight
    assert torch.equal(rows[0], module.predictors.box_predictor.cls_score.weight[dog])


def test_prototypes_find_new_objects_without_training(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    result = adapted(new_train, tmp_path / "a.safetensors", epochs=0, init="prototype", views=3)
    assert result.training_seconds < 10
    session = open_session(result.output)
    found = [d for p in mixed_test.photos for d in [detect(session, p.read())] if (d.labels >= OLD).any()]
    assert found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": "last:9"}, "last:K with K from 1 to 3"),
        ({"train": "all"}, "not a strategy"),
        ({"init": "unicorn"}, "no class of the base model"),
        ({"scoring": "fair"}, "exact or joint"),
        ({"protect": "luck"}, "distill or l2"),
        ({"epochs": -1}, "nothing would be learned"),
        ({"max_old_drop": 1.0}, "--old-data"),
    ],
)
def test_wrong_values_are_named(options: dict[str, Any], said: str, new_train: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=said):
        adapted(new_train, tmp_path / "a.safetensors", **options)
    with pytest.raises(EdgekitError, match="leaves no room"):
        FeatureStore(cache_gb=0.0)
    assert not (tmp_path / "a.safetensors").exists()


def test_joint_scoring_is_one_softmax_and_says_what_it_changed(
    new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"scoring": "joint", "old_data": mixed_test.file, "epochs": 2}
    moved = {}
    for protect in ("frozen", "l2", "none"):
        result = adapted(new_train, tmp_path / f"{protect}.safetensors", protect=protect, **options)
        module, meta = load_model(result.output)
        assert meta.scoring == "joint"
        assert not module.predictors.generations
        rows = module.predictors.box_predictor.cls_score.weight
        assert len(rows) == OLD + 2
        base = load_model("demo")[0].predictors.box_predictor.cls_score.weight
        moved[protect] = (rows[:OLD] - base).norm().item()
        assert result.proof.old is not None
        report = json.loads(result.output.with_suffix(".retention.json").read_text())
        assert report["old"]["before"]["box"]["AP"] > 0.5
        assert report["retention"]["changed"] > 0
    assert moved["frozen"] == 0
    assert 0 < moved["l2"] < moved["none"]


def test_a_larger_fall_than_allowed_writes_nothing(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"
    output.write_bytes(b"an earlier result")
    with pytest.raises(EdgekitError, match="old classes' AP fell by"):
        adapted(
            new_train,
            output,
            scoring="joint",
            protect="none",
            lr=0.3,
            epochs=2,
            old_data=mixed_test.file,
            max_old_drop=0.1,
            force=True,
        )
    assert output.read_bytes() == b"an earlier result"
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_replayed_photos_are_learned_from(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    with_old = adapted(new_train, tmp_path / "a.safetensors", replay=mixed_test.file)
    without = adapted(new_train, tmp_path / "b.safetensors")
    assert with_old.proof.retention.images > without.proof.retention.images
    assert with_old.training.epochs != without.training.epochs


def test_distillation_learns_otherwise(new_train: Dataset, tmp_path: Path) -> None:
    plain = adapted(new_train, tmp_path / "a.safetensors", scoring="joint")
    other = adapted(new_train, tmp_path / "b.safetensors", scoring="joint", protect="distill")
    assert other.training.epochs[-1].classification > 0
    states = [load_model(r.output)[0].predictors.state_dict() for r in (plain, other)]
    assert any(not torch.equal(states[0][name], value) for name, value in states[1].items())


def test_photos_to_probe_are_compared_too(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    result = adapted(new_train, tmp_path / "a.safetensors", epochs=0, probe=mixed_test.file.parent)
    assert result.proof.retention.images == len(new_train.photos) + len(mixed_test.photos)
    assert result.proof.retention.changed == 0


def test_three_generations_stay_exact(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    third = write_demo_set("mixed-test", 4, tmp_path / "third", seed=5)
    document = json.loads(third.file.read_text())
    name = next(c["name"] for c in document["categories"] if c["name"] not in ("chicken", "frog"))
    for category in document["categories"]:
        if category["name"] == name:
            category["name"] = "thing"
    third.file.write_text(json.dumps(document))
    models: list[str | Path] = ["demo"]
    for number, (data, cls) in enumerate(((new_train, "chicken"), (new_train, "frog"), (third, "thing"))):
        result = adapted(data, tmp_path / f"{number}.safetensors", models[-1], classes=(cls,))
        models.append(result.output)
    last = models[-1]
    assert isinstance(last, Path)
    for generation, model in enumerate(models[:-1]):
        assert changed(model, last, mixed_test, OLD + generation) == 0


def test_a_share_of_the_photos_is_held_out(tmp_path: Path) -> None:
    many = write_demo_set("new-train", 40, tmp_path / "many", seed=3)
    result = adapted(many, tmp_path / "a.safetensors", epochs=7, views=1, val=0.2)
    assert result.proof.held_out_photos == 8
    assert result.photos == 32
    assert result.proof.new is not None
    scores = [e.held_out for e in result.training.epochs]
    assert [s is not None for s in scores] == [True, False, False, False, True, False, True]
    assert (scores[result.training.best_epoch - 1] or 0) >= max(s for s in scores if s is not None) - 0.02


def test_photos_are_held_out_by_themselves_where_there_are_many(new_train: Dataset) -> None:
    photo = new_train.photos[0]
    shown = {a.category for a in photo.annotations}
    assert [len(part) for part in split([photo] * 100, tuple(shown), seed=0)] == [80, 20]
    assert [len(part) for part in split([photo] * 99, tuple(shown), seed=0)] == [99, 0]
    with pytest.raises(EdgekitError, match="one part shows no dragon"):
        split([photo] * 10, ("dragon",), seed=0, share=0.5)


def test_given_photos_are_held_out(new_train: Dataset, mixed_test: Dataset, tmp_path: Path) -> None:
    result = adapted(new_train, tmp_path / "a.safetensors", val=mixed_test.file)
    assert result.photos == len(new_train.photos)
    assert result.proof.held_out_photos == len(mixed_test.photos)
    assert result.proof.new is not None


def test_a_loss_that_explodes_is_named(new_train: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="smaller --lr"):
        adapted(new_train, tmp_path / "a.safetensors", lr=1e30, epochs=3)
    assert not (tmp_path / "a.safetensors").exists()


def test_an_onnx_file_alone_can_be_adapted(
    base_onnx: Path, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    result = adapted(new_train, tmp_path / "a.onnx", base_onnx, epochs=2)
    assert result.proof.trunk_sha256_before == result.proof.trunk_sha256_after
    assert result.proof.runtime.startswith("onnxruntime")
    assert changed(base_onnx, result.output, mixed_test, OLD) == 0
    with pytest.raises(EdgekitError, match="joint scoring needs the checkpoint"):
        adapted(new_train, tmp_path / "b.onnx", base_onnx, scoring="joint")
    toads = renamed(new_train, "frog", "toad", tmp_path)
    again = adapted(toads, tmp_path / "c.onnx", result.output, classes=("toad",), init="frog", epochs=0)
    assert again.proof.retention.changed == 0
    (rows,) = read_heads(open_onnx(again.output)).predictors.generations[1].cls_score.weight
    assert rows.any()  # the graph held no plain rows of a frog, but its adapter
    assert changed(result.output, again.output, mixed_test, OLD + 2) == 0


@pytest.mark.slow
def test_a_faster_rcnn_is_adapted_from_boxes(new_train: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    builder = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    state = builder(weights=None, weights_backbone=None, num_classes=91).state_dict()
    base = tmp_path / "base.pth"
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, base)
    document = json.loads(new_train.file.read_text())
    for annotation in document["annotations"]:
        del annotation["segmentation"]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps(document))
    output, size = tmp_path / "a.safetensors", (128, 160)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    learning, hints = Learning(epochs=1, views=1), CheckpointHints(architecture=name)
    result = adapt(base, boxes, new_train.file.parent, output, learning=learning, hints=hints, size=size)
    assert result.architecture == name
    assert result.proof.retention.changed == 0
    assert result.made_masks == {}
    module, meta = load_model(output)
    assert not module.has_masks
    assert meta.new_classes == ("chicken", "frog")
    assert meta.input_size == size
    from edgekit.deployment.export.export import export

    plain = export(output, tmp_path / "plain.pth", format="torchvision").output
    builder(weights=None, weights_backbone=None, num_classes=93).load_state_dict(torch.load(plain, weights_only=True))
