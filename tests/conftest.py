"""Real artifacts, made once a session by the test process that needs them first: photos, a model, its exports."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from filelock import FileLock

from edgekit.adaptation.adapt import Adaptation, Learning, adapt
from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.export.export import export
from edgekit.deployment.tensorrt.target import any_tensorrt
from edgekit.errors import EdgekitError
from edgekit.runtime.gpu import Gpu, NoGpu, first_gpu

T = TypeVar("T")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the session that all its test processes have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, name: str, make: Callable[[Path], T]) -> T:
    """What ``make`` returns, given the folder ``name`` to write into; the first process that asks makes it for all."""
    made = folder / f"{name}.pickle"
    with FileLock(folder / f"{name}.lock"):
        if not made.exists():
            (folder / name).mkdir(exist_ok=True)
            made.write_bytes(pickle.dumps(make(folder / name)))
        result: T = pickle.loads(made.read_bytes())
    return result


@pytest.fixture(scope="session", autouse=True)
def cache(shared: Path) -> Iterator[Path]:
    """A cache of the session's own: the trunk is exported once, and nothing of the user's is touched."""
    folder = shared / "cache"
    folder.mkdir(exist_ok=True)
    before = os.environ.get("EDGEKIT_CACHE")
    os.environ["EDGEKIT_CACHE"] = str(folder)
    yield folder
    del os.environ["EDGEKIT_CACHE"]
    if before is not None:
        os.environ["EDGEKIT_CACHE"] = before


@pytest.fixture(scope="session")
def new_train(shared: Path) -> Dataset:
    """Six photos in which only chicken and frog are annotated."""
    return once(shared, "new-train", lambda folder: write_demo_set("new-train", 6, folder, seed=1))


@pytest.fixture(scope="session")
def mixed_test(shared: Path) -> Dataset:
    """Eight photos with everything annotated."""
    return once(shared, "mixed-test", lambda folder: write_demo_set("mixed-test", 8, folder, seed=1))


@pytest.fixture(scope="session")
def adaptation(new_train: Dataset, shared: Path) -> Adaptation:
    """The embedded model with chicken and frog added in a few epochs."""

    def adapted(folder: Path) -> Adaptation:
        return adapt(
            "demo", new_train.file, new_train.file.parent, folder / "adapted.safetensors", learning=Learning(epochs=12)
        )

    return once(shared, "adaptation", adapted)


@pytest.fixture(scope="session")
def adapted(adaptation: Adaptation) -> Path:
    return adaptation.output


@pytest.fixture(scope="session")
def adapted_onnx(adapted: Path, base_onnx: Path, shared: Path) -> Path:
    """Appended to the base model's graph, which the cache has then."""
    return once(shared, "adapted-onnx", lambda folder: export(adapted, folder / "adapted.onnx").output)


@pytest.fixture(scope="session")
def base_onnx(shared: Path) -> Path:
    return once(shared, "base-onnx", lambda folder: export("demo", folder / "base.onnx").output)


@pytest.fixture(scope="session")
def base_parts(base_onnx: Path, shared: Path) -> Path:
    """The embedded model's folder, without packs: to be copied, not changed."""
    return once(shared, "base-parts", lambda folder: export(base_onnx, folder / "model", verify=False).output)


@pytest.fixture(scope="session")  # before the graphs, so that a skip costs nothing
def gpu() -> Gpu:
    """This machine's GPU."""
    found = first_gpu()
    if isinstance(found, NoGpu):
        pytest.skip(f"needs a GPU: {found.reason}")
    return found


@pytest.fixture(scope="session")
def flavour(gpu: Gpu) -> str:
    """Which TensorRT builds for this machine's GPU."""
    try:
        return any_tensorrt(gpu).flavour
    except EdgekitError as error:
        pytest.skip(f"needs TensorRT: {error.message}")
