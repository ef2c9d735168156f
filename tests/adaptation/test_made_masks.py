"""Adapting a Mask R-CNN to objects of which only boxes are annotated."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from edgekit.adaptation.adapt import Adaptation, ExtraData, Learning, adapt
from edgekit.artifacts.pack_files import read_pack
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import evaluate
from edgekit.report.adaptation_table import adaptation_table
from edgekit.runtime.selection import Selection


def boxes_only(data: Dataset, folder: Path) -> Path:
    """The annotations without masks, in another file."""
    photos = [
        dataclasses.replace(p, annotations=tuple(dataclasses.replace(a, segmentation=None) for a in p.annotations))
        for p in data.photos
    ]
    write_dataset(Dataset(folder / "boxes.json", data.categories, tuple(photos)))
    return folder / "boxes.json"


@pytest.fixture(scope="module")
def from_boxes(new_train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Adaptation:
    folder = tmp_path_factory.mktemp("boxes")
    data = boxes_only(new_train, folder)
    learning, extra = Learning(epochs=12), ExtraData(val=data)
    return adapt("demo", data, new_train.file.parent, folder / "farm.pack", learning=learning, extra=extra)


def test_what_was_made_is_in_result_proof_and_table(from_boxes: Adaptation) -> None:
    made = from_boxes.made_masks
    assert {name: m.boxes_only for name, m in made.items()} == from_boxes.objects
    assert sum(m.made for m in made.values()) > 0.5 * sum(from_boxes.objects.values())
    pack = read_pack(from_boxes.output)
    recorded = {name: {"boxes_only": m.boxes_only, "made": m.made} for name, m in made.items()}
    assert json.loads(json.dumps([pack.proof["made_masks"], pack.training["made_masks"]])) == [recorded] * 2
    assert pack.training["masks_from_boxes"] == "auto"
    text = io.StringIO()
    Console(width=160, file=text).print(adaptation_table(from_boxes))
    assert f"{made['frog'].made} of {made['frog'].boxes_only} frog" in text.getvalue()


def test_masks_are_learned_from_boxes(from_boxes: Adaptation) -> None:
    first, last = from_boxes.training.epochs[0], from_boxes.training.epochs[-1]
    assert 0 < last.mask < first.mask


def test_held_out_boxes_are_measured_by_boxes_only(from_boxes: Adaptation) -> None:
    assert from_boxes.proof.new is not None
    assert from_boxes.proof.new.box.AP > 0
    assert from_boxes.proof.new.mask is None


def test_boxes_alone_are_evaluated(from_boxes: Adaptation, new_train: Dataset, tmp_path: Path) -> None:
    selection = Selection(packs=(from_boxes.output,))
    found = evaluate("demo", boxes_only(new_train, tmp_path), new_train.file.parent, selection)
    assert found.new is not None
    assert (found.new.box.AP50 > 0.3, found.new.mask) == (True, None)


def test_all_have_masks_then_none_are_made(adaptation: Adaptation) -> None:
    assert adaptation.made_masks == {}


def test_none_refuses_boxes(new_train: Dataset, tmp_path: Path) -> None:
    data, learning = boxes_only(new_train, tmp_path), Learning(masks_from_boxes="none")
    with pytest.raises(EdgekitError, match="has a box but no mask"):
        adapt("demo", data, new_train.file.parent, tmp_path / "a.pack", learning=learning)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(EdgekitError, match="--masks-from-boxes all: unknown"):
        Learning(masks_from_boxes="all")
