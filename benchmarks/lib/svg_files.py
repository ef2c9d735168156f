"""Plots as SVG files of their own, which need a style that a page would give them."""

from __future__ import annotations

STYLE = (
    "svg { font: 12px system-ui, sans-serif; fill: #5b6675; background: #fff } "
    "polyline { fill: none; stroke-width: 1.8 } .grid { stroke: #dde3ea }"
)


def as_file(plot: str) -> str:
    """A plot as the text of an SVG file."""
    return plot.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{STYLE}</style>", 1
    )
