"""Which classes are taught: new ones, those to improve, and what is refused with which remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.adaptation.wanted_classes import choose_classes
from edgekit.artifacts.metadata import ModelMeta, PackRecord
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.errors import EdgekitError

BASE = ModelMeta("x", (("__background__", "dog", "Great Dane"),), (320, 320))
WITH_PACK = ModelMeta("x", (*BASE.generations, ("hen",)), (320, 320), packs=(PackRecord("farm", "0", 1),))


def annotated(*names: str, unused: tuple[str, ...] = ()) -> Dataset:
    """A photo with an object of each class."""
    objects = tuple(Annotation(name, (0, 0, 9, 9), 81, None) for name in names)
    return Dataset(Path("new.json"), (*names, *unused), (Photo(1, Path("x.jpg"), 320, 320, objects),))


@pytest.mark.parametrize(
    ("classes", "improve", "chosen"),
    [
        ((), ("dog",), ("dog",)),
        (("dog",), (), ("dog",)),
        (("frog",), ("dog",), ("dog", "frog")),
        (("frog", "dog"), ("dog",), ("dog", "frog")),
        (("frog",), (), ("frog",)),
        ((), ("hen",), ("hen",)),
    ],
)
def test_what_is_asked_for_is_taught(
    classes: tuple[str, ...], improve: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    assert choose_classes(annotated("dog", "frog", "hen"), classes, improve, WITH_PACK, joint=False) == chosen


def test_all_that_is_annotated_is_taught_by_default() -> None:
    assert choose_classes(annotated("frog", "owl", unused=("dog",)), (), (), BASE, joint=False) == ("frog", "owl")


@pytest.mark.parametrize(
    ("classes", "improve", "said", "remedy"),
    [
        ((), (), "class dog: the base model already has it", "--improve dog,hen, or pick the others: --classes frog"),
        ((), ("owl",), "--improve owl: the base model has no class owl", "it has dog, Great Dane, hen"),
        ((), ("dgo",), "--improve dgo: the base model has no class dgo", "did you mean dog"),
        ((), ("great danes",), "has no class great danes", "did you mean Great Dane"),
        (("owl",), (), "class owl: not annotated in new.json", "its classes are dog, frog, hen"),
        ((), ("Great Dane",), "class Great Dane: not annotated in new.json", "its classes are dog, frog, hen"),
    ],
)
def test_what_cannot_be_taught(classes: tuple[str, ...], improve: tuple[str, ...], said: str, remedy: str) -> None:
    with pytest.raises(EdgekitError, match=said) as raised:
        choose_classes(annotated("dog", "frog", "hen"), classes, improve, WITH_PACK, joint=False)
    assert remedy in raised.value.hint


def test_a_pack_that_has_the_class_is_named() -> None:
    with pytest.raises(EdgekitError, match="class hen: pack farm already has it") as raised:
        choose_classes(annotated("hen"), (), (), WITH_PACK, joint=False)
    assert raised.value.hint.endswith("--improve hen")


def test_joint_scoring_teaches_old_classes_by_itself() -> None:
    for classes, improve in (((), ("dog",)), (("dog",), ()), ((), ())):
        with pytest.raises(EdgekitError, match=r"class dog: .*joint scoring trains its rows"):
            choose_classes(annotated("dog", "frog"), classes, improve, BASE, joint=True)
    assert choose_classes(annotated("dog", "frog"), ("frog",), (), BASE, joint=True) == ("frog",)
