from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.safetensors_files import read_safetensors, write_safetensors
from edgekit.errors import EdgekitError

META = ModelMeta("maskrcnn_mobilenet_v2_fpn", (("__background__", "dog"), ("frog",)), (320, 320))


def test_checkpoint_keeps_arrays_and_metadata(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.array(3)}
    write_safetensors(tmp_path / "x.safetensors", arrays, META)
    read, meta = read_safetensors(tmp_path / "x.safetensors")
    assert meta == META
    assert meta.categories == ("__background__", "dog", "frog")
    assert (meta.old_classes, meta.new_classes) == (("dog",), ("frog",))
    assert all(np.array_equal(read[k], v) and read[k].dtype == v.dtype for k, v in arrays.items())


def test_only_names_of_added_generations_are_refined_classes() -> None:
    """A base model's own names may occur twice, as COCO's "N/A" does."""
    generations = (("__background__", "N/A", "dog", "N/A"), ("hen",), ("dog", "hen", "frog"))
    meta = ModelMeta("x", generations, (320, 320))
    assert meta.class_labels == (0, 1, 2, 3, 4, 2, 4, 7)
    assert meta.refined_classes == ("dog", "hen")
    assert meta.new_classes == ("hen", "frog")
    assert [meta.refined_by(number) for number in range(1, 3)] == [(), ("dog", "hen")]


def test_embedded_model_is_good_and_small() -> None:
    path = resolve("demo")
    assert path.stat().st_size <= 16e6
    _, meta = read_safetensors(path)
    figures = meta.training["base-test"]
    assert figures["box"]["AP50"] >= 0.90
    assert figures["mask"]["AP50"] >= 0.85


def test_safetensors_of_someone_else(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(EdgekitError, match="no edgekit metadata"):
        read_safetensors(tmp_path / "x.safetensors")
