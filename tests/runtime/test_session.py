from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.opening import open_session
from tests.checkpoints import FASTERRCNN, random_detector, write
from tests.tiny_detector import write_tiny_detector


def test_a_foreign_checkpoint_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    path = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    meta = open_session(path, hints=CheckpointHints(tmp_path / "names.txt", FASTERRCNN)).meta
    assert (meta.architecture, meta.categories[1:], meta.input_size) == (FASTERRCNN, ("a", "b", "c", "d"), (320, 448))


def test_a_graph_says_itself_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="describes itself"):
        open_session(write_tiny_detector(tmp_path / "x.onnx"), hints=CheckpointHints(architecture=FASTERRCNN))
