"""The brush's encoding, against an encoder written from the description of rle-pack, and its published example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import pytest

from edgekit.data.annotations.brush_rle import decode_brush

LENGTHS = (3, 4, 8, 16)  # bits of a run's length, by class


def encode_brush(mask: np.ndarray, word: int = 8, literal: bool = False) -> list[int]:
    """The bytes of a painted mask, bool [H, W]; ``literal`` writes no value as repeated."""
    painted = (1 << word) - 1
    values = [channel for on in mask.ravel() for channel in (0, 0, 0, painted if on else 0)]
    return packed(values, _literal(values) if literal else _runs(values), word)


def packed(values: Sequence[int], runs: Iterable[tuple[bool, list[int]]], word: int = 8) -> list[int]:
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{length - 1:04b}" for length in LENGTHS)
    for repeats, run in runs:
        kind = next(k for k, length in enumerate(LENGTHS) if len(run) <= 1 << length)
        words = "".join(f"{value:0{word}b}" for value in (run[:1] if repeats else run))
        bits += f"{int(repeats)}{kind:02b}{len(run) - 1:0{LENGTHS[kind]}b}{words}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def _runs(values: Sequence[int]) -> Iterator[tuple[bool, list[int]]]:
    for _, group in groupby(values):
        same = list(group)
        for start in range(0, len(same), 1 << LENGTHS[-1]):
            part = same[start : start + (1 << LENGTHS[-1])]
            yield len(part) > 1, part


def _literal(values: Sequence[int]) -> Iterator[tuple[bool, list[int]]]:
    for start in range(0, len(values), 300):
        yield False, list(values[start : start + 300])


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("word", [1, 8, 12])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_a_painted_mask_comes_back(share: float, word: int, literal: bool) -> None:
    mask = np.random.default_rng(7).random((37, 53)) < share
    assert (decode_brush(encode_brush(mask, word, literal), mask.shape) == mask).all()


def test_a_run_longer_than_a_length_can_say_is_split() -> None:
    mask = np.zeros((200, 300), bool)
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_the_encoder_of_these_tests_writes_the_published_example() -> None:
    """The values and bytes are those of a test of label-studio-converter."""
    values = [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    published = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    assert packed(values, _runs(values)) == published


@pytest.mark.parametrize("kept", [0, 3, 7, 9, 20])
def test_truncated_bytes_are_refused(kept: int) -> None:
    encoded = encode_brush(np.random.default_rng(7).random((9, 11)) < 0.5)
    with pytest.raises((ValueError, IndexError)):
        decode_brush(encoded[:kept], (9, 11))


def test_bytes_of_another_photo_are_refused() -> None:
    with pytest.raises(ValueError, match="11x9"):
        decode_brush(encode_brush(np.ones((9, 10), bool)), (9, 11))
