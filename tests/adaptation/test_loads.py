"""``adapt`` opens the base model once and the written model once: whatever else needs them is handed what was read."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest

from edgekit.adaptation.adapt import Learning, adapt
from edgekit.artifacts.model_names import EMBEDDED
from edgekit.data.annotations.dataset import Dataset

opened: Counter[str] | None = None


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Count what Python opens to read, by name, while a test counts; fsync's handles have no mode."""
    if opened is not None and event == "open" and isinstance(arguments[0], (str, Path)) and arguments[1] == "r":
        opened[Path(arguments[0]).name] += 1


sys.addaudithook(note)  # stays: Python removes no hook


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Files opened to read, by name: by Python, and by onnxruntime, whose code is not Python's; parsed graphs."""
    global opened
    session, parse = ort.InferenceSession, onnx.load_model_from_string

    def open_session(model: str | bytes, *arguments: Any, **options: Any) -> Any:
        if isinstance(model, str):
            found[Path(model).name] += 1
        return session(model, *arguments, **options)

    def load_model(data: bytes) -> onnx.ModelProto:
        found["parsed"] += 1
        return parse(data)

    monkeypatch.setattr(ort, "InferenceSession", open_session)
    monkeypatch.setattr(onnx, "load_model_from_string", load_model)
    opened = found = Counter()
    try:
        yield found
    finally:
        opened = None


def test_a_checkpoint_is_opened_once(new_train: Dataset, base_onnx: Path, tmp_path: Path, monkeypatch: Any) -> None:
    output = tmp_path / "adapted.safetensors"
    with counting(monkeypatch) as found:  # the graph of the base is in the cache, so the export is prepared too
        adapt("demo", new_train.file, new_train.file.parent, output, learning=Learning(epochs=1, views=1))
    assert found[EMBEDDED["demo"].name] == 1
    assert found[output.name] == 1


def test_a_graph_is_opened_and_parsed_once(
    new_train: Dataset, base_onnx: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    output = tmp_path / "adapted.onnx"
    with counting(monkeypatch) as found:
        adapt(base_onnx, new_train.file, new_train.file.parent, output, learning=Learning(epochs=1, views=1))
    assert found[base_onnx.name] == 1
    assert found[output.name] == 1
    assert found["parsed"] == 2  # and checked, each once
