"""The run-length encoding of Label Studio's brush: https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CHANNELS = 4  # the brush paints RGBA; what it painted is what is not transparent
_HEADER = 32 + 5 + 4 * 4  # bits: count of words, bits of a word, bits of a count in each of four classes


def decode_brush(encoded: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The painted pixels, bool [height, width], of the bytes that Label Studio saves for a photo of ``size``."""
    try:
        bits = np.unpackbits(np.asarray(encoded, np.uint8))
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its RLE is not a list of bytes") from None
    text = (bits + ord("0")).tobytes().decode("ascii")
    total, word = int(text[:32] or "0", 2), int(text[32:37] or "0", 2) + 1
    height, width = size
    if total != CHANNELS * height * width:
        raise ValueError(f"its RLE is of {total} values, a photo of {width}x{height} pixels has {CHANNELS} a pixel")
    lengths = [int(text[start : start + 4], 2) + 1 for start in range(37, _HEADER, 4)]
    set_words = np.zeros(total, bool)
    position, done = _HEADER, 0
    while done < total:
        repeats, length = text[position] == "1", lengths[int(text[position + 1 : position + 3], 2)]
        start = position + 3 + length
        count = int(text[position + 3 : start], 2) + 1
        position = start + (1 if repeats else count) * word
        if position > len(text) or done + count > total:
            raise ValueError("its RLE ends within a run")
        # A word is set if one of its bits is; a repeated word is written once.
        set_words[done : done + count] = bits[start:position].reshape(-1, word).any(axis=1)
        done += count
    return set_words[CHANNELS - 1 :: CHANNELS].reshape(size)
