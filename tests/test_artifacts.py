from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifacts import ModelMeta, read_checkpoint, resolve, write_checkpoint
from edgekit.errors import EdgekitError
from edgekit.files import atomic_path, sha256

META = ModelMeta("maskrcnn_mobilenet_v2_fpn", (("__background__", "dog"), ("frog",)), (320, 320))


def test_checkpoint_keeps_arrays_and_metadata(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.array(3)}
    write_checkpoint(tmp_path / "x.safetensors", arrays, META)
    read, meta = read_checkpoint(tmp_path / "x.safetensors")
    assert meta == META
    assert meta.categories == ("__background__", "dog", "frog")
    assert (meta.old_classes, meta.new_classes) == (("dog",), ("frog",))
    assert all(np.array_equal(read[k], v) and read[k].dtype == v.dtype for k, v in arrays.items())


def test_failed_write_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("earlier")

    def write_and_fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_embedded_model_is_good_and_small() -> None:
    path = resolve("demo")
    assert path.stat().st_size <= 16e6
    _, meta = read_checkpoint(path)
    figures = meta.training["base-test"]
    assert figures["box"]["AP50"] >= 0.90
    assert figures["mask"]["AP50"] >= 0.85


def test_safetensors_of_someone_else(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(EdgekitError, match="no edgekit metadata"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_what_cannot_be_read_has_no_sha256(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(EdgekitError, match=r"link: cannot be read: No such file .*replace or remove it"):
        sha256(tmp_path / "link")
    with pytest.raises(EdgekitError, match="cannot be read: Is a directory"):
        sha256(tmp_path)
