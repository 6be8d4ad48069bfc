"""The matrix of conversions: features, and what becomes of each between two dialects."""

from collections.abc import Mapping

from support.matrix.answered import ANSWERED
from support.matrix.asked import ASKED
from support.matrix.feature import Feature
from support.matrix.special import SPECIAL, Special

__all__ = ["FEATURES", "ROWS", "SPECIAL", "Feature", "Special"]

ROWS: Mapping[str, str] = {row.name: row.title for row in (*ASKED, *ANSWERED, *SPECIAL)}
"""The names and titles of all rows, in the order of the page."""

FEATURES: tuple[Feature, ...] = (*ASKED, *ANSWERED)
"""The rows that are made of one request and one answer."""
