"""Noto's emoji (OFL-1.1), a drawing style that the embedded model has not learned from."""

from __future__ import annotations

from pathlib import Path

from edgekit.demo.emoji import EmojiFont

# Of Debian's package fonts-noto-color-emoji; its bitmaps have this size only.
NOTO = EmojiFont(Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"), 109)
