"""Engines and their descriptions, which no device is needed to read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.runtime.engine_file import (
    Engine,
    Tensor,
    check_runs_on,
    describe_engine,
    read_engine,
    sidecar_of,
    write_engine,
)
from edgekit.runtime.opening import open_session
from tests.tiny_detector import META, SIZE, SLOTS

DATA = b"an engine's bytes"


def written(path: Path, **settings: Any) -> Engine:
    """An engine that TensorRT 10.13.3 built for 8.6."""
    tensors = (Tensor("images", True, (1, *SIZE, 3), "uint8"), Tensor("scores", False, (1, SLOTS), "float32"))
    digest = hashlib.sha256(DATA).hexdigest()
    engine = Engine(
        path, META, "tensorrt", "10.13.3", ("8.6",), "NVIDIA A10", digest, "0" * 64, tensors, settings, 1.5, 0.1
    )
    write_engine(engine, DATA)
    return engine


def test_an_engine_is_read_as_it_was_written(tmp_path: Path) -> None:
    engine = written(tmp_path / "x.engine", version_compatible=True)
    assert read_engine(engine.path) == (engine, DATA)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flavour": "foo"}, "its flavour is 'foo', not one of tensorrt, rtx"),
        ({"flavour": 3}, "its flavour is 3"),
        ({"version": "abc"}, "Invalid version: 'abc'"),
        ({"version": None}, "is damaged"),
        ({"settings": []}, "its settings are not an object"),
        ({"compute_capabilities": "8.6"}, "its compute capabilities are 8, ., 6"),
        ({"compute_capabilities": 8.6}, "not iterable"),
        ({"sha256": 5}, "is not the engine that x.engine.json describes"),
        ({"tensors": [{"name": "images", "is_input": True, "shape": ["x"], "dtype": "uint8"}]}, "invalid literal"),
        ({"tensors": [{"name": "images", "is_input": True, "shape": [1], "dtype": 5}]}, "which a host cannot hold"),
        ({"format": 99}, "another version of edgekit"),
        ({"meta": {}}, "metadata is damaged"),
        ({"extra": 1}, "unexpected keyword"),
    ],
)
def test_a_damaged_description_is_named_with_what_to_do(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    sidecar = sidecar_of(written(tmp_path / "x.engine").path)
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | change))
    with pytest.raises(EdgekitError, match=words) as caught:
        open_session(tmp_path / "x.engine")
    assert caught.value.message.startswith(str(tmp_path / "x.engine"))
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '"text"'])
def test_a_description_that_is_none(text: str, tmp_path: Path) -> None:
    sidecar = sidecar_of(written(tmp_path / "x.engine").path)
    sidecar.write_text(text)
    with pytest.raises(EdgekitError, match=r"x\.engine\.json: is damaged: .*copy both files again") as caught:
        describe_engine(tmp_path / "x.engine")
    assert "\n" not in str(caught.value)


def test_bytes_that_the_description_does_not_vouch_for_are_not_loaded(tmp_path: Path) -> None:
    engine = written(tmp_path / "x.engine")
    engine.path.write_bytes(DATA[::-1])
    with pytest.raises(EdgekitError, match=r"other SHA-256\); it was not loaded \(copy both files again"):
        open_session(engine.path)


def test_an_engine_without_its_description(tmp_path: Path) -> None:
    engine = written(tmp_path / "x.engine")
    sidecar_of(engine.path).unlink()
    with pytest.raises(EdgekitError, match=r"x\.engine\.json is not beside it"):
        open_session(engine.path)


@pytest.mark.parametrize(
    ("settings", "version", "capability", "words"),
    [
        ({}, "10.13.4", "8.6", r"was built by TensorRT 10\.13\.3; here is 10\.13\.4, .*\(build it again"),
        ({"version_compatible": True}, "11.3.0", "8.6", "here is 11.3.0"),  # another major release
        ({"version_compatible": True}, "10.3.0", "8.6", "here is 10.3.0"),  # an older one
        ({}, "10.13.3", "8.9", r"for compute capability 8\.6; this GPU has 8\.9 .*--compute-capability 8\.9"),
        ({"hardware_compatible": True}, "10.13.3", "7.5", "this GPU has 7.5"),
    ],
)
def test_another_tensorrt_or_gpu(
    settings: dict[str, Any], version: str, capability: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgekitError, match=words):
        check_runs_on(written(tmp_path / "x.engine", **settings), version, capability)


@pytest.mark.parametrize(
    ("settings", "version", "capability"),
    [
        ({}, "10.13.3", "8.6"),
        ({"version_compatible": True}, "10.14.0", "8.6"),
        ({"hardware_compatible": True}, "10.13.3", "12.0"),
    ],
)
def test_what_runs_it(settings: dict[str, Any], version: str, capability: str, tmp_path: Path) -> None:
    check_runs_on(written(tmp_path / "x.engine", **settings), version, capability)
