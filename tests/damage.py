"""Damage as disks do it."""

from __future__ import annotations

from pathlib import Path


def flip_a_bit(file: Path, place: float = 0.5) -> None:
    """Flip one bit, at a share of the file's length."""
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    file.write_bytes(content)
