from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import score

META = ModelMeta("maskrcnn_mobilenet_v2_fpn", (("__background__", "dog", "horse"), ("chicken", "frog")), (320, 320))


def perfect(photo: Photo) -> Detections:
    known = [a for a in photo.annotations if a.category in META.categories]
    boxes = np.array([a.bbox for a in known], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([META.categories.index(a.category) for a in known], np.int64)
    masks = np.ones((len(known), 28, 28), np.float32)
    return Detections(boxes, labels, np.full(len(known), 0.9, np.float32), masks, (photo.height, photo.width))


def test_perfect_boxes_score_one(mixed_test: Dataset) -> None:
    found = [perfect(p) for p in mixed_test.photos]
    result = score(mixed_test, mixed_test.photos, found, META)
    assert result.box.AP == result.box.AP50 == 1.0
    assert result.new is not None
    assert result.new.box.AP == 1.0
    assert result.mask is not None
    assert result.mask.AP < 1.0, "boxes full of mask are not the objects' masks"
    assert "car" in result.not_in_model


def test_objects_without_masks_are_no_part_of_the_masks_ap(mixed_test: Dataset) -> None:
    found = [perfect(p) for p in mixed_test.photos]
    whole = score(mixed_test, mixed_test.photos, found, META)

    def without_mask(photo: Photo, *names: str) -> Photo:
        changed = [dataclasses.replace(a, segmentation=None) if a.category in names else a for a in photo.annotations]
        return dataclasses.replace(photo, annotations=tuple(changed))

    result = score(mixed_test, [without_mask(p, "frog") for p in mixed_test.photos], found, META)
    assert result.box == whole.box
    assert result.per_class["frog"].mask is None
    assert result.per_class["chicken"].mask == whole.per_class["chicken"].mask
    assert score(mixed_test, [without_mask(p, *META.categories) for p in mixed_test.photos], found, META).mask is None


def test_a_class_nearly_named_as_the_models_is_refused(mixed_test: Dataset) -> None:
    photos = [
        dataclasses.replace(
            p, annotations=tuple(dataclasses.replace(a, category=a.category.capitalize()) for a in p.annotations)
        )
        for p in mixed_test.photos
    ]
    categories = (*META.categories[1:], *(c.capitalize() for c in mixed_test.categories))
    renamed = dataclasses.replace(mixed_test, categories=categories, photos=tuple(photos))
    with pytest.raises(EdgekitError, match=r"'[A-Z].*' and '.*' differ only by case.*as the model has it"):
        score(renamed, photos, [perfect(p) for p in photos], META)


def test_old_and_new_are_apart(mixed_test: Dataset) -> None:
    found = [perfect(p) for p in mixed_test.photos]
    only_old = [d.select(d.labels < 3) for d in found]
    result = score(mixed_test, mixed_test.photos, only_old, META)
    assert result.new is not None
    assert result.new.box.AP == 0.0
    assert result.old is None or result.old.box.AP == 1.0


def test_each_label_of_a_refined_class_counts_as_that_class(mixed_test: Dataset) -> None:
    meta = dataclasses.replace(META, generations=(*META.generations, ("horse", "dog")))
    photos = [p for p in mixed_test.photos if {"dog", "horse"} & {a.category for a in p.annotations}]
    dataset = dataclasses.replace(mixed_test, photos=tuple(photos))
    first = [perfect(p) for p in photos]
    refined = [dataclasses.replace(d, labels=np.where(d.labels == 1, 6, d.labels)) for d in first]
    result = score(dataset, photos, refined, meta)
    assert result == score(dataset, photos, first, meta)
    assert result.per_class.keys() & {"dog", "horse"}
    assert result.old is not None
    assert result.old.box.AP == 1.0
    twice = [dataclasses.replace(d, labels=np.concatenate([d.labels, d.labels])) for d in refined]
    doubled = [
        dataclasses.replace(d, **{n: np.concatenate([getattr(r, n)] * 2) for n in ("boxes", "scores", "masks")})
        for d, r in zip(twice, refined, strict=True)
    ]
    assert score(dataset, photos, doubled, meta).box.AP < 1, "an object found twice is found wrongly once"


def test_agrees_with_pycocotools_own_summary(mixed_test: Dataset) -> None:
    rng = np.random.default_rng(0)
    found = []
    for photo in mixed_test.photos:
        detections = perfect(photo)
        noise = rng.normal(0, 6, detections.boxes.shape).astype(np.float32)
        scores = rng.random(len(detections)).astype(np.float32)
        found.append(dataclasses.replace(detections, boxes=detections.boxes + noise, scores=scores))
    result = score(mixed_test, mixed_test.photos, found, META)

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(mixed_test.file))
    ids = {c["name"]: c["id"] for c in truth.dataset["categories"]}
    rows = [
        {"image_id": p.id, "category_id": ids[r["category"]], "bbox": r["bbox"], "score": r["score"]}
        for p, d in zip(mixed_test.photos, found, strict=True)
        for r in d.to_coco(META.categories)
    ]
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.params.catIds = [ids[c] for c in META.categories[1:]]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert np.isclose(result.box.AP, evaluation.stats[0], atol=1e-9)
    assert np.isclose(result.box.AP50, evaluation.stats[1], atol=1e-9)


def test_figures_do_not_depend_on_the_order_of_the_classes(mixed_test: Dataset) -> None:
    found = [perfect(p).select(perfect(p).labels < 3) for p in mixed_test.photos]
    turned = dataclasses.replace(mixed_test, categories=tuple(reversed(mixed_test.categories)))
    result = score(turned, turned.photos, found, META)
    expected = {name: float(META.categories.index(name) < 3) for name in result.per_class}
    assert {name: part.box.AP for name, part in result.per_class.items()} == pytest.approx(expected)
