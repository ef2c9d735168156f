"""Plots as SVG, which need no script, font or file beside them, for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 40
COLOURS = ("#4361c2", "#c2410c", "#12805c", "#9333ea", "#a16207", "#0e7490", "#be185d", "#475569")
TICKS = 6


def distribution(series: Mapping[str, Sequence[float]], unit: str, share: str) -> str:
    """The share of values up to each value, one line per series: spread and tail at a glance, without bins. ``share``
    names it, e.g. "% of calls"."""
    lines = {}
    for name, values in series.items():
        ordered = np.sort(np.asarray(values, float))
        so_far = np.arange(1, len(ordered) + 1) / len(ordered)
        # Steps: the share rises at each value.
        xs, ys = np.repeat(ordered, 2), np.concatenate([[0.0], np.repeat(so_far, 2)[:-1]])
        lines[name] = (xs, 100 * ys)
    return _plot(lines, unit, share, highest=100.0)


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_unit: str, y_unit: str, lowest: float = 0.0
) -> str:
    """Values y over x, one line per series; the y axis begins at ``lowest``."""
    lines = {name: (np.asarray(x, float), np.asarray(y, float)) for name, (x, y) in series.items()}
    return _plot(lines, x_unit, y_unit, lowest=lowest)


def _plot(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x_unit: str,
    y_unit: str,
    highest: float = 0.0,
    lowest: float = 0.0,
) -> str:
    xs = np.concatenate([x for x, _ in lines.values()])
    ys = np.concatenate([y for _, y in lines.values()])
    low, high = float(xs.min()), float(xs.max())
    high = high if high > low else low + 1.0
    top = highest or lowest + (float(ys.max()) - lowest) * 1.05 or 1.0

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (value - lowest) / (top - lowest) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20 * len(lines)}" role="img">']
    for value in _ticks(lowest, top):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(low, high):
        parts.append(f'<text x="{across(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_unit)}</text>')
    parts.append(f'<text x="4" y="14">{escape(y_unit)}</text>')
    for place, (name, (x, y)) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        parts.append(f'<polyline points="{points}" stroke="{colour}"/>')
        below = HEIGHT + 20 * place + 8
        parts.append(f'<rect x="{LEFT}" y="{below - 8}" width="14" height="8" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 20}" y="{below}">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / TICKS
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    first = np.ceil(low / step)
    return [round(float(step * (first + i)), 10) for i in range(int(np.floor(high / step + 1e-9) - first) + 1)]
