"""Which groups may be used, and at what ratio."""

from decimal import Decimal

import pytest

from asgi_gateway.policies.groups import allowing, ratio_of, usable_groups
from asgi_gateway.storage.records import Group

GROUPS = {
    "default": Group(name="default", ratio=Decimal(2), usable=("vip", "default", "cheap", "vip")),
    "vip": Group(
        name="vip", ratio=Decimal(3), models=("m-1", "m-2"), ratios={"cheap": Decimal("0.1"), "vip": Decimal(1)}
    ),
    "cheap": Group(name="cheap", ratio=Decimal("0.5"), models=("m-1",)),
}


@pytest.mark.parametrize(
    ("own", "usable"),
    [("default", ("default", "vip", "cheap")), ("vip", ("vip",)), ("nobody", ("nobody",))],
)
def test_the_own_group_comes_first(own: str, usable: tuple[str, ...]) -> None:
    """Then those that it names, each once, in their order; a group that nobody described may use none but itself."""
    assert usable_groups(GROUPS, own) == usable


@pytest.mark.parametrize(
    ("group", "own", "ratio"),
    [
        ("default", "default", "2"),
        ("vip", "default", "3"),
        ("cheap", "default", "0.5"),
        ("cheap", "vip", "0.1"),
        ("vip", "vip", "1"),
        ("default", "vip", "2"),
        ("nobody", "default", "1"),
        ("nobody", "nobody", "1"),
        ("cheap", "nobody", "0.5"),
    ],
)
def test_the_users_group_may_replace_a_ratio(group: str, own: str, ratio: str) -> None:
    """It replaces, and does not multiply; without an entry the used group's own holds."""
    assert ratio_of(GROUPS, group, own) == Decimal(ratio)


def test_a_group_is_left_out_that_may_not_use_the_model() -> None:
    """By either of its names; a group without a list may use all."""
    everyone = ("default", "vip", "cheap", "nobody")
    assert allowing(GROUPS, everyone, ("m-1",)) == list(everyone)
    assert allowing(GROUPS, everyone, ("alias", "m-2")) == ["default", "vip", "nobody"]
    assert allowing(GROUPS, ("cheap",), ("m-9",)) == []
