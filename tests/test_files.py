"""Files that take their places together or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.files import staged


def test_all_files_take_their_places(tmp_path: Path) -> None:
    output = tmp_path / "new" / "x.onnx"
    with staged(output) as folder:
        (folder / "x.onnx").write_text("graph")
        (folder / "x.engine").write_text("engine")
        assert not output.exists()
    assert {p.name: p.read_text() for p in output.parent.iterdir()} == {"x.onnx": "graph", "x.engine": "engine"}


def test_a_failure_leaves_what_was_there_and_names_the_places(tmp_path: Path) -> None:
    output = tmp_path / "x.onnx"
    output.write_text("earlier")

    def fail() -> None:
        with staged(output) as folder:
            (folder / "x.onnx").write_text("graph")
            raise EdgekitError(f"{folder / 'x.engine'}: is no engine", f"see {folder / 'x.onnx'}")

    with pytest.raises(EdgekitError) as raised:
        fail()
    assert raised.value.message == f"{tmp_path / 'x.engine'}: is no engine"
    assert raised.value.hint == f"see {output}"
    assert [p.read_text() for p in tmp_path.iterdir()] == ["earlier"]


def test_a_folder_in_the_way_keeps_all_from_moving(tmp_path: Path) -> None:
    (tmp_path / "x.engine").mkdir()

    def write() -> None:
        with staged(tmp_path / "x.onnx") as folder:
            (folder / "x.onnx").write_text("graph")
            (folder / "x.engine").write_text("engine")

    with pytest.raises(EdgekitError, match=r"x.engine: is a folder"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["x.engine"]
