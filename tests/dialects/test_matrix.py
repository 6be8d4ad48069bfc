"""Every feature in every cell: a caller of one dialect, an upstream of another, and what becomes of it on the way.

Each test asserts that the feature came through, or that it was noted or refused by name: nothing is lost in silence.
What it found is recorded as properties of the test, from which `support.matrix.page` makes the reference's tables.
"""

import itertools
from collections.abc import Callable

import pytest

pytest.importorskip("pydantic", reason="the vendors' SDKs are asked what is valid")

from asgi_gateway.dialects import CHAT_DIALECTS
from support.matrix import FEATURES, ROWS, SPECIAL, Feature, Special
from support.matrix.cell import Side, answer_side, request_side, same_dialect, worst
from support.strict import STRICT

Record = Callable[[str, object], None]

CELLS = tuple(itertools.product((name for name in STRICT if name in CHAT_DIALECTS), repeat=2))


@pytest.fixture(autouse=True)
def sdks(request: pytest.FixtureRequest) -> None:
    """Both SDKs must be there."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    for side in ("caller", "upstream"):
        if side in params:
            pytest.importorskip(STRICT[params[side]])


def note(record: Record, caller: str, upstream: str, name: str, side: Side) -> None:
    """What the page is made of."""
    record("matrix.caller", caller)
    record("matrix.upstream", upstream)
    record("matrix.row", name)
    record("matrix.outcome", side.outcome)
    record("matrix.told", "; ".join(dict.fromkeys(side.told)))


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize(("caller", "upstream"), CELLS)
def test_cell(caller: str, upstream: str, feature: Feature, record_property: Record) -> None:
    """A request there and an answer back, plain and streamed, each valid by the vendor's own types."""
    if caller == upstream:
        side = same_dialect(caller, feature)
    else:
        side = worst(request_side(caller, upstream, feature), answer_side(caller, upstream, feature))
    note(record_property, caller, upstream, feature.name, side)
    if side.outcome not in ("carried", "absent"):
        assert side.told, "what is not carried is told by name"


@pytest.mark.parametrize("special", SPECIAL, ids=lambda special: special.name)
@pytest.mark.parametrize(("caller", "upstream"), CELLS)
def test_cell_of_its_own(caller: str, upstream: str, special: Special, record_property: Record) -> None:
    """What takes more than one request and one answer: errors, broken streams, seals over two turns."""
    side = special.cell(caller, upstream)
    note(record_property, caller, upstream, special.name, side)
    if side.outcome not in ("carried", "absent"):
        assert side.told, "what is not carried is told by name"


def test_the_matrix_is_whole() -> None:
    """All dialects for chat stand in it, and no row twice."""
    assert set(CHAT_DIALECTS) == set(STRICT)
    assert len(ROWS) == len(FEATURES) + len(SPECIAL)
    assert len(CELLS) == 36
