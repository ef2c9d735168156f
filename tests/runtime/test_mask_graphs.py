from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.images import fit, read_image
from edgekit.deployment.export.export import export
from edgekit.errors import EdgekitError
from edgekit.measurement.bench.forms import Form
from edgekit.measurement.bench.profile import profile
from edgekit.runtime.mask_graphs import sizes
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.opening import open_session

VERIFY = Path(__file__).parents[2] / "edgekit" / "assets" / "verify"


@pytest.mark.parametrize(
    ("found", "chosen"),
    [(0, ()), (1, (4,)), (4, (4,)), (5, (4, 4)), (15, (16,)), (16, (16,)), (23, (16, 4, 4)), (100, (*(6 * [16]), 4))],
)
def test_sizes_hold_what_was_found(found: int, chosen: tuple[int, ...]) -> None:
    assert sizes(found, (4, 16)) == chosen


def test_sizes_leave_as_few_slots_empty_as_can_be() -> None:
    assert sizes(5, (4, 6)) == (6,)
    assert sizes(8, (4, 6)) == (4, 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    return export("demo", folder / "x.onnx", masks="found", verify=False).output


@pytest.mark.parametrize("part", ["x.masks-0-4-*.onnx", "x.masks-*.weights"])
def test_files_that_do_not_belong_together(part: str, files: Path, tmp_path: Path) -> None:
    (name,) = (path.name for path in files.parent.glob(part))
    for file in files.parent.iterdir():
        shutil.copy(file, tmp_path)
    assert open_session(tmp_path / "x.onnx")
    with (tmp_path / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EdgekitError, match="not exported together") as changed:
        open_session(tmp_path / "x.onnx")
    assert name in str(changed.value)
    (tmp_path / name).unlink()
    with pytest.raises(EdgekitError, match="missing") as missing:
        open_session(tmp_path / "x.onnx")
    assert name in str(missing.value)
    assert "export again" in str(missing.value.hint)


def test_nothing_found_runs_no_mask_graph(files: Path) -> None:
    session = OnnxSession(files)
    found = session.infer(np.zeros((*session.meta.input_size, 3), np.uint8))
    assert not (found.scores > 0).any()
    assert found.masks.shape == (len(found.scores), 28, 28)
    assert session.masks is not None
    assert not session.masks.sessions


def test_a_profile_has_the_mask_graphs_layers_too(files: Path) -> None:
    session = OnnxSession(files)
    photo = read_image(VERIFY / "0.jpg")
    pixels = fit(photo, session.meta.input_size).pixels
    found = int((session.infer(pixels).scores > 0).sum())
    assert session.masks is not None
    (offered,) = (tuple(sorted(slots)) for slots in session.masks.files.values())
    kinds = {layer.kind: layer for layer in profile(Form(str(files), "x"), session, photo)}
    assert kinds["ConvTranspose"].count == len(sizes(found, offered)), "one in each run of a mask graph"
    assert sum(layer.share for layer in kinds.values()) == pytest.approx(1, abs=0.01)
