"""A class that the base model has, taught more: what is kept, in every form, and that an object has one label."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edgekit.adaptation.adapt import Adaptation, ExtraData, Learning, adapt
from edgekit.artifacts.pack_files import read_pack, write_pack
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import box_iou
from edgekit.data.images import fit
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.errors import EdgekitError
from edgekit.inference.predict import predict
from edgekit.measurement.evaluate import evaluate
from edgekit.report.adaptation_table import adaptation_table
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection, one_label
from edgekit.runtime.session import Outputs, Session
from tests.conftest import once
from tests.packs import Found, assert_same, scenes

OLD, NEW = "cow", "chicken"
LITTLE, UNTRAINED = Learning(epochs=8, views=2), Learning(epochs=0, views=1)


@pytest.fixture(scope="session")
def refined(mixed_test: Dataset, shared: Path) -> Adaptation:
    """A pack that refines one class and adds another, measured on the photos that it learned from."""

    def made(folder: Path) -> Adaptation:
        extra = ExtraData(val=mixed_test.file, old_data=mixed_test.file)
        data, images = mixed_test.file, mixed_test.file.parent
        return adapt("demo", data, images, folder / "cows.pack", (NEW,), improve=(OLD,), learning=LITTLE, extra=extra)

    return once(shared, "refined", made)


@pytest.fixture(scope="session")
def surer(refined: Adaptation, shared: Path) -> Path:
    """The same pack, so sure that it finds all cows that the base model finds."""

    def made(folder: Path) -> Path:
        pack = read_pack(refined.output)
        bias = pack.tensors["adapter.cls_score.bias"] + np.array([6, 0], np.float32)
        write_pack(folder / "surer.pack", replace(pack, tensors={**pack.tensors, "adapter.cls_score.bias": bias}))
        return folder / "surer.pack"

    return once(shared, "surer", made)


def found(session: Session, base_only: bool = False) -> Found:
    """What is found in some scenes, or of that what the base model finds."""
    count = len(session.meta.generations[0]) if base_only else len(session.meta.categories)
    every = [session.infer(pixels) for pixels in scenes()]
    return [Outputs(*(values[(o.labels < count) & (o.scores > 0)] for values in o)) for o in every]


def test_the_proof_shows_the_class_before_and_after(refined: Adaptation) -> None:
    assert (refined.classes, refined.refined) == ((OLD, NEW), (OLD,))
    proof = refined.proof
    assert (proof.retention.changed, proof.retention.compared > 0) == (0, True)
    (cow,) = proof.refined
    assert cow.name == OLD
    assert cow.held_out is not None
    assert cow.old is not None
    assert cow.held_out.photos == cow.old.photos == refined.photos
    assert cow.held_out.after.box.AP >= cow.held_out.before.box.AP > 0
    assert proof.new is not None
    assert read_pack(refined.output).refines == (OLD,)


def test_the_table_shows_it_too(refined: Adaptation) -> None:
    text = io.StringIO()
    Console(width=400, file=text).print(adaptation_table(refined))
    lines = [line for line in text.getvalue().splitlines() if f"AP of {OLD}" in line or "classes" in line]
    assert any("classes added" in line and NEW in line and OLD not in line for line in lines)
    assert any("classes refined" in line and OLD in line for line in lines)
    assert any(f"AP of {OLD}" in line and "before" in line and "replaced" in line for line in lines)


def test_the_base_models_bits_remain_in_every_form(
    refined: Adaptation, base_onnx: Path, base_parts: Path, tmp_path: Path
) -> None:
    keep = Selection("keep", packs=(refined.output,))
    sessions: dict[str | Path, Session] = {}
    for form in ("demo", base_onnx):
        sessions[form] = open_session(form, keep)
        assert_same(found(open_session(form)), found(sessions[form], base_only=True))
    folder = tmp_path / "model"
    shutil.copytree(base_parts, folder)
    before = found(open_session(folder))
    install(refined.output, folder)
    in_parts = open_session(folder, Selection("keep"))
    assert_same(before, found(in_parts, base_only=True))
    assert_same(found(sessions["demo"]), found(in_parts), tolerance=1e-2)
    assert_same(found(sessions["demo"]), found(sessions[base_onnx]), tolerance=1e-2)


def test_an_object_has_one_label_unless_all_is_asked_for(surer: Path, mixed_test: Dataset) -> None:
    photos = [p.path for p in mixed_test.photos]
    session = open_session("demo", Selection(packs=(surer,)))
    every = open_session("demo", Selection("keep", packs=(surer,)))
    ids = {name: session.meta.categories.index(name) for name in (OLD, NEW)}
    twice = 0
    predictions = predict("demo", photos, selection=Selection(packs=(surer,)))
    assert isinstance(predictions, list)
    for path, result in zip(photos, predictions, strict=True):
        cows = [d for d in result.detections if d["category"] == OLD]
        assert {d["category_id"] for d in cows} <= {ids[OLD]}, "both labels are one class"
        corners = np.array([d["bbox"] for d in cows], np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        overlap = box_iou(corners, corners) - np.eye(len(cows))
        assert (overlap < 0.5).all(), path
    for photo in mixed_test.photos:
        pixels = fit(photo.read(), every.meta.input_size).pixels
        outputs = every.infer(pixels)
        own = np.array(every.meta.class_labels)[outputs.labels] == ids[OLD]
        twice += int((own & ~one_label(outputs, every.meta)).sum())
        kept = session.infer(pixels)
        assert np.array_equal(kept.scores, outputs.scores[one_label(outputs, every.meta)])
    assert twice > 0, "no cow was found twice: the test shows nothing"


def test_its_ap_is_that_of_one_label_per_object(refined: Adaptation, surer: Path, mixed_test: Dataset) -> None:
    data, images = mixed_test.file, mixed_test.file.parent
    usual = evaluate("demo", data, images, Selection(packs=(refined.output,)))
    cow = refined.proof.refined[0].held_out
    assert cow is not None
    assert usual.per_class[OLD] == cow.after
    assert usual.new is not None
    assert usual.new.box == usual.per_class[NEW].box, "a refined class is not a new one"
    by_overlaps = {
        overlaps: evaluate("demo", data, images, Selection(overlaps, packs=(surer,)))
        for overlaps in (None, "one", "keep")
    }
    assert by_overlaps[None] == by_overlaps["one"]
    assert by_overlaps["keep"].per_class[OLD] != by_overlaps["one"].per_class[OLD]


def test_a_refined_class_can_be_refined_again(refined: Adaptation, mixed_test: Dataset, tmp_path: Path) -> None:
    output, first = tmp_path / "again.pack", refined.output
    data, images = mixed_test.file, mixed_test.file.parent
    result = adapt("demo", data, images, output, (OLD, NEW), [first], learning=UNTRAINED)
    assert result.refined == (OLD, NEW)
    assert result.proof.retention.changed == 0
    session = open_session("demo", Selection(packs=(output, first)))
    assert session.meta.generations[1:] == ((OLD, NEW), (OLD, NEW))
    assert session.meta.new_classes == (NEW,)


def test_a_whole_model_with_a_refined_class(mixed_test: Dataset, tmp_path: Path) -> None:
    output, data, images = tmp_path / "cows.safetensors", mixed_test.file, mixed_test.file.parent
    result = adapt("demo", data, images, output, improve=(OLD,), learning=UNTRAINED)
    assert (result.classes, result.proof.retention.changed, result.proof.new) == ((OLD,), 0, None)
    assert open_session(output).meta.refined_classes == (OLD,)
    folder = export(output, tmp_path / "model", verify=False).output
    assert_same(found(open_session(output)), found(open_session(folder)), tolerance=1e-2)
    notes = export(output, tmp_path / "cows.onnx", verify=False).notes
    assert any(OLD in note and "--overlaps one" in note for note in notes)
    with pytest.raises(EdgekitError, match=f"has the class {OLD} twice"):
        export(output, tmp_path / "plain.pth", format="torchvision")
    joint = Learning(scoring="joint")
    with pytest.raises(EdgekitError, match=f"has the class {OLD} twice"):
        adapt(output, data, images, tmp_path / "x.safetensors", (NEW,), learning=joint)


def test_rows_of_a_refined_class_start_as_its_own(mixed_test: Dataset, tmp_path: Path) -> None:
    """Without any training they find what the base model's rows find."""
    output, data, images = tmp_path / "cows.pack", mixed_test.file, mixed_test.file.parent
    adapt("demo", data, images, output, (NEW,), improve=(OLD,), learning=UNTRAINED)
    rows, base = read_pack(output).tensors, open_session("demo")
    module = base.module  # type: ignore[attr-defined]
    label = base.meta.categories.index(OLD)
    assert np.array_equal(rows["cls_score.weight"][0], module.heads.box_predictor.cls_score.weight[label].detach())
    assert not np.array_equal(rows["cls_score.weight"][1], rows["cls_score.weight"][0])
