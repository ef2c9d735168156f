from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.adaptation.bases import Base, OnnxBase, _exported_trunk
from edgekit.errors import EdgekitError
from tests.tiny_detector import META, SIZE, write_tiny_detector


@pytest.mark.parametrize(
    ("changes", "scoring", "said"),
    [
        ({}, "joint", "joint scoring needs the checkpoint"),
        ({"best_only": True}, "exact", "drops covered detections"),
        ({"precision": "fp16"}, "exact", "classes are added in fp32"),
    ],
)
def test_graphs_that_nothing_can_be_added_to(changes: dict[str, Any], scoring: str, said: str) -> None:
    base = OnnxBase.__new__(OnnxBase)  # without reading a file
    base.path, base.meta = Path("base.onnx"), dataclasses.replace(META, **changes)
    with pytest.raises(EdgekitError, match=said):
        base.check(scoring)


@pytest.mark.parametrize("damage", ["none", "cut", "empty", "gone"])
def test_a_damaged_trunk_is_made_again(damage: str, tmp_path: Path) -> None:
    predictors = SimpleNamespace(mask_predictor=object())
    base = cast(Base, SimpleNamespace(meta=SimpleNamespace(input_size=SIZE), trunk_sha256="0", predictors=predictors))
    folders = []

    def make(folder: Path) -> None:
        folders.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("body", "box_head", "mask_head"):
            write_tiny_detector(folder / f"{name}.onnx")

    _exported_trunk(base, "onnx", tmp_path, make)
    part = folders[0] / "mask_head.onnx"
    content = part.read_bytes()
    if damage == "gone":
        part.unlink()
    elif damage != "none":
        part.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    trunk = _exported_trunk(base, "onnx", tmp_path, make)
    assert trunk.mask_head is not None
    assert len(folders) == (1 if damage == "none" else 2)
