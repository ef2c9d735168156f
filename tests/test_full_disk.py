"""A disk without room: a clear error, and what was there stays. A limit on a file's size stands for it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.deployment.torchvision_export import write_state
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model


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
    write = save_model if name.startswith("model") else write_state
    with pytest.raises(EdgekitError, match="cannot be written: File too large") as raised:
        write(output, module, meta)
    assert "free space" in str(raised.value.hint)
    assert output.read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir()] == [name]
