"""A disk without room: a clear error, and what was there stays. A limit on a file's size stands for it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.artifacts.onnx_files import write_onnx
from edgekit.deployment.export.torchvision_state import write_state
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model
from edgekit.runtime.engine_file import read_engine, sidecar_of, write_engine
from tests.runtime.test_engine_file import written
from tests.tiny_detector import META, write_tiny_detector


@pytest.fixture
def little_room() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["model.safetensors", "plain.pth", "plain.safetensors"])
@pytest.mark.usefixtures("little_room")
def test_weights_that_do_not_fit_leave_what_was_there(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    output.write_bytes(b"earlier")
    module, meta = load_model("demo")
    write = save_model if name.startswith("model") else partial(write_state, model="demo")
    with pytest.raises(EdgekitError, match="cannot be written: File too large") as raised:
        write(output, module, meta)
    assert "free space" in str(raised.value.hint)
    assert output.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.usefixtures("little_room")
def test_a_graph_that_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    output = write_tiny_detector(tmp_path / "x.onnx")
    earlier = output.read_bytes()
    model = onnx.load(output)
    weights = np.ones(500_000, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    with pytest.raises(EdgekitError, match=r"x\.onnx: cannot be written: File too large \(free space"):
        write_onnx(output, model, META)
    assert output.read_bytes() == earlier
    assert [p.name for p in tmp_path.iterdir()] == ["x.onnx"]


@pytest.mark.usefixtures("little_room")
def test_an_engine_that_does_not_fit_leaves_the_earlier_one_with_its_description(tmp_path: Path) -> None:
    engine = written(tmp_path / "x.engine")
    with pytest.raises(EdgekitError, match=r"x\.engine: cannot be written: File too large \(free space"):
        write_engine(replace(engine, megabytes=2.0), bytes(2_000_000))
    assert read_engine(engine.path)[0] == engine
    assert {p.name for p in tmp_path.iterdir()} == {engine.path.name, sidecar_of(engine.path).name}
