from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.checking.near_duplicates import BITS, NEAR, difference_hash, duplicate_groups, near_duplicates
from edgekit.data.images import SAMPLE_PHOTOS, read_image


def flipped(bits: np.ndarray, count: int, seed: int) -> np.ndarray:
    changed = bits.copy()
    changed[np.random.default_rng(seed).choice(BITS, count, replace=False)] ^= True
    return changed


def test_a_group_is_all_that_hangs_together() -> None:
    rng = np.random.default_rng(0)
    first, other = rng.random(BITS) < 0.5, rng.random(BITS) < 0.5
    chain = [first]
    for step in range(4):  # each near the one before, the last far from the first
        chain.append(flipped(chain[-1], NEAR, step))
    assert (chain[0] ^ chain[-1]).sum() > NEAR
    order = [chain[4], other, chain[0], chain[2], chain[1], chain[3]]  # joined at last by the one in the middle
    assert duplicate_groups(np.stack(order)).tolist() == [0, 1, 0, 0, 0, 0]


def test_one_bit_more_is_too_far() -> None:
    bits = np.random.default_rng(1).random(BITS) < 0.5
    near, far = flipped(bits, NEAR, 2), flipped(bits, NEAR + 1, 2)
    assert duplicate_groups(np.stack([bits, near])).tolist() == [0, 0]
    assert duplicate_groups(np.stack([bits, far])).tolist() == [0, 1]
    assert duplicate_groups(np.zeros((0, BITS), bool)).tolist() == []


def test_different_photos_are_not_near() -> None:
    hashes = [difference_hash(read_image(path)) for path in sorted(SAMPLE_PHOTOS.glob("*.jpg"))]
    assert len(set(duplicate_groups(np.stack(hashes)).tolist())) == len(hashes)


def test_the_hash_says_where_it_grows_brighter() -> None:
    ramp = np.tile(np.arange(0, 170, dtype=np.uint8)[None, :, None], (160, 1, 3))
    assert difference_hash(ramp).all()
    assert not difference_hash(ramp[:, ::-1]).any()


def test_groups_over_the_split_come_first() -> None:
    paths = [Path(str(i)) for i in range(7)]
    held_out = [False, False, False, False, True, False, True]
    found = near_duplicates(paths, held_out, [0, 0, 0, 3, 3, 5, 6])
    assert [(g.learned, g.held_out) for g in found] == [((paths[3],), (paths[4],)), (tuple(paths[:3]), ())]
    assert [g.over_the_split for g in found] == [True, False]
