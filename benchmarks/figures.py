"""Percentiles and medians."""

from collections.abc import Sequence
from math import ceil
from statistics import median

__all__ = ["median_of", "percentile"]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed. Raises `ValueError` on none."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * share) - 1)]


def median_of(values: Sequence[float]) -> float | None:
    """The median, None when there is no value."""
    return median(values) if values else None
