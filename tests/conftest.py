"""Real artifacts, made once a session: a small photo set, an adapted model, its exports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.adaptation.recipes import Adaptation, adapt
from edgekit.data.coco import Dataset
from edgekit.data.demo_sets import write_demo_set
from edgekit.deployment.onnx_export import export


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the session's own: the trunk is exported once, and nothing of the user's is touched."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("EDGEKIT_CACHE")
    os.environ["EDGEKIT_CACHE"] = str(folder)
    yield folder
    del os.environ["EDGEKIT_CACHE"]
    if before is not None:
        os.environ["EDGEKIT_CACHE"] = before


@pytest.fixture(scope="session")
def new_train(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six photos in which only chicken and frog are annotated."""
    return write_demo_set("new-train", 6, tmp_path_factory.mktemp("new-train"), seed=1)


@pytest.fixture(scope="session")
def mixed_test(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Eight photos with everything annotated."""
    return write_demo_set("mixed-test", 8, tmp_path_factory.mktemp("mixed-test"), seed=1)


@pytest.fixture(scope="session")
def adaptation(new_train: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Adaptation:
    """The embedded model with chicken and frog added in a few epochs."""
    output = tmp_path_factory.mktemp("models") / "adapted.safetensors"
    return adapt("demo", new_train.file, new_train.file.parent, output, epochs=12)


@pytest.fixture(scope="session")
def adapted(adaptation: Adaptation) -> Path:
    return adaptation.output


@pytest.fixture(scope="session")
def adapted_onnx(adapted: Path) -> Path:
    return export(adapted, adapted.with_suffix(".onnx")).output


@pytest.fixture(scope="session")
def base_onnx(adapted: Path) -> Path:
    return export("demo", adapted.with_name("base.onnx")).output
