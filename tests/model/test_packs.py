"""Packs in PyTorch: none changes a bit of what the base model or another pack finds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.artifacts.pack_files import Pack
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import fingerprint, load_model, read_checkpoint
from edgekit.model.packs import generation_of, tensors_of
from tests.packs import random_generation, random_pack, scenes, write_built_in

Found = list[dict[str, torch.Tensor]]


@cache
def pack(name: str, parent: str = "") -> Pack:
    return random_pack(name, 1 + len(name), adapter=name != "b", parents=[pack(parent)] if parent else [])


def found(packs: list[Pack], canvases: torch.Tensor) -> dict[str, Found]:
    """What each pack and the base model, "", find in each canvas, labels counted from the pack's first."""
    module, meta = load_model("demo", packs=packs)
    results = module(canvases)
    owners = {"": (0, len(meta.generations[0]))}
    for record in meta.packs:
        first = sum(len(names) for names in meta.generations[: record.number])
        owners[record.name] = (first, first + len(meta.generations[record.number]))
    parts: dict[str, Found] = {}
    for name, (first, end) in owners.items():
        kept = [(r, (r["labels"] >= first) & (r["labels"] < end)) for r in results]
        parts[name] = [{k: v[own] - first if k == "labels" else v[own] for k, v in r.items()} for r, own in kept]
    return parts


def assert_same(some: Found, others: Found) -> None:
    assert sum(len(r["labels"]) for r in some) > 0, "nothing was found: the test shows nothing"
    for one, other in zip(some, others, strict=True):
        for key, value in one.items():
            assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("batch", [1, 3])
def test_packs_trained_apart_change_no_bit_of_each_other(batch: int) -> None:
    canvases = torch.from_numpy(np.stack(scenes(batch)))
    a, b = pack("a"), pack("b")
    base = found([], canvases)[""]
    alone = {"a": found([a], canvases), "b": found([b], canvases)}
    for both in (found([a, b], canvases), found([b, a], canvases)):
        assert_same(base, both[""])
        for name, results in alone.items():
            assert_same(base, results[""])
            assert_same(results[name], both[name])


def test_a_pack_on_top_of_another_is_scored_against_it() -> None:
    canvases = torch.from_numpy(np.stack(scenes(2)))
    a, b, top = pack("a"), pack("b"), pack("top", "a")
    alone, with_other = found([a, top], canvases), found([top, b, a], canvases)
    for name in ("", "a", "top"):
        assert_same(alone[name], with_other[name])
    free = random_pack("top", len(top.classes))  # the same weights, which know nothing of a
    assert all(np.array_equal(free.tensors[name], value) for name, value in top.tensors.items())
    scores = [sum(float(r["scores"].sum()) for r in part["top"]) for part in (alone, found([a, free], canvases))]
    assert scores[0] < scores[1]


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("mask_channels", [None, (8, 4)])
def test_a_generation_comes_back_from_its_tensors(adapter: bool, mask_channels: tuple[int, int] | None) -> None:
    generation = random_generation(2, 16, mask_channels, adapter)
    first = {"weight": torch.rand(8, 4, 2, 2), "bias": torch.rand(4)} if mask_channels else None
    tensors = tensors_of(generation, first)
    again = generation_of(tensors)
    state = again.state_dict()
    for name, value in generation.state_dict().items():
        assert torch.equal(state[name], value), name
    assert (again.adapter is not None) == adapter
    if first is not None:  # masks that need nothing of the base model
        own = generation.state_dict().get("adapter.mask.conv5_mask.weight", first["weight"])
        assert np.array_equal(tensors["adapter.mask.conv5_mask.weight"], own.numpy())


def test_a_fingerprint_is_of_the_model_and_what_is_built_into_it(tmp_path: Path) -> None:
    weights, meta = read_checkpoint("demo")
    own = fingerprint(weights.tensors, meta)
    assert own == random_pack("a").base
    paths = [
        write_built_in(tmp_path / f"{n}.safetensors", *map(pack, names)) for n, names in enumerate(("a", "b", "ab"))
    ]
    read = [read_checkpoint(path) for path in paths]
    assert len({own, *(fingerprint(w.tensors, m) for w, m in read)}) == 4
    with torch.no_grad():
        weights.tensors["backbone.fpn.inner_blocks.0.0.bias"].add_(1e-6)
    assert fingerprint(weights.tensors, meta) != own


def test_packs_of_another_model_are_refused(tmp_path: Path) -> None:
    other = write_built_in(tmp_path / "grown.safetensors", pack("b"))
    with pytest.raises(EdgekitError, match=r"pack a: was trained on the model .*grown.safetensors is"):
        load_model(other, packs=[pack("a")])
    fitting = random_pack("on it", base=other)
    _, meta = load_model(other, packs=[fitting])
    assert meta.parents == ((), (1,))
