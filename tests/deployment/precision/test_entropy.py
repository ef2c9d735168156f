from __future__ import annotations

import numpy as np

from edgekit.deployment.precision.entropy import least_divergent


def histogram(values: np.ndarray, bins: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    bound = float(np.abs(values).max())
    return np.histogram(values, bins, range=(-bound, bound))


def test_a_lone_outlier_is_cut() -> None:
    values = np.append(np.random.default_rng(0).normal(size=200_000), 100.0)
    low, high = least_divergent(*histogram(values), values.min(), values.max())
    assert 3 < high < 20
    assert -20 < low < -3


def test_an_even_spread_is_kept_whole() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 200_000)
    low, high = least_divergent(*histogram(values), values.min(), values.max())
    assert high > 0.95
    assert low < -0.95


def test_the_range_never_leaves_the_values() -> None:
    values = np.maximum(np.random.default_rng(0).normal(size=200_000), 0)
    low, high = least_divergent(*histogram(values), values.min(), values.max())
    assert low == 0
    assert 2 < high <= values.max()


def test_nothing_but_zeros() -> None:
    assert least_divergent(np.zeros(4096), np.linspace(-1, 1, 4097), 0.0, 0.0) == (0.0, 0.0)
