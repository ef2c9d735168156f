"""Numbers as annotation files give them: text among them, and what is no number at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.data.annotations.fault_kinds import CROWD_FLAG, CROWD_UNKNOWN, NOT_NUMBERS, TEXT, Unusable
from edgekit.data.annotations.faults import FaultKind

Report = Callable[[FaultKind], None]  # notes a repair of the object in hand
FLAGS = dict.fromkeys(("0", "0.0", "false", "no"), False) | dict.fromkeys(("1", "1.0", "true", "yes"), True)


def as_numbers(values: Any, report: Report) -> np.ndarray:
    """Numbers in lists, float64; those given as text are reported, what is not finite raises ``Unusable``."""
    try:
        found = np.asarray(values)
        is_text = found.dtype.kind in "US"
        found = found.astype(np.float64, copy=False) if found.dtype.kind in "iufUSO" else np.full(1, np.nan)
    except (TypeError, ValueError, OverflowError):
        raise Unusable(NOT_NUMBERS, short(values)) from None
    if not np.isfinite(found).all():
        raise Unusable(NOT_NUMBERS, short(values))
    if is_text:
        report(TEXT)
    return found


def as_number(value: Any, report: Report) -> float:
    """One number, as ``as_numbers`` reads several."""
    if isinstance(value, float) and math.isfinite(value):  # as in nearly every file
        return value
    found = as_numbers(value, report)
    if found.ndim:
        raise Unusable(NOT_NUMBERS, short(value))
    return float(found)


def given_number(value: Any) -> float:
    """One number, or text of one, which is how some formats write all theirs."""
    return as_number(value, lambda _: None)


def whole_number(value: Any) -> int | None:
    """A positive number of pixels, also of text; None for what is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return round(found) if math.isfinite(found) and found >= 1 else None


def flag(value: Any, report: Report) -> bool:
    """``iscrowd`` as 0 or 1, as text or true and false; what is given otherwise than as a number is reported."""
    if value is None or (value == 0 and type(value) is int):  # as in nearly every file
        return False
    found = FLAGS.get(str(value).strip().lower())
    if found is None:
        raise Unusable(CROWD_UNKNOWN, short(value))
    if not isinstance(value, int) or isinstance(value, bool):
        report(CROWD_FLAG)
    return found


def short(value: Any, most: int = 60) -> str:
    """A value as text, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= most else f"{text[: most - 3]}..."
