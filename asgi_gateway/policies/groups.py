"""Which groups a caller may use, and at what ratio.

A user belongs to one group, and may use those that this group names as `usable` beside it. A token may name one of
them, or `AUTO`: the user's own, then the usable ones in their order, the first that has a channel left.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from asgi_gateway.storage.records import Group

__all__ = ["AUTO", "allowing", "ratio_of", "usable_groups"]

AUTO = "auto"

ONE = Decimal(1)


def usable_groups(groups: Mapping[str, Group], own: str) -> tuple[str, ...]:
    """The groups that users of the group `own` may use, that one first. Nobody described it: that one alone."""
    described = groups.get(own)
    if described is None or not described.usable:
        return (own,)
    return tuple(dict.fromkeys((own, *described.usable)))


def ratio_of(groups: Mapping[str, Group], group: str, own: str) -> Decimal:
    """By what charges are multiplied when users of the group `own` use `group`.

    What `own` says of it takes the place of the ratio that `group` has for all others.
    """
    belongs = groups.get(own)
    if belongs is not None and (ratio := belongs.ratios.get(group)) is not None:
        return ratio
    used = groups.get(group)
    return ONE if used is None else used.ratio


def allowing(groups: Mapping[str, Group], candidates: Sequence[str], names: Collection[str]) -> Sequence[str]:
    """Those of the candidates that may use a model which goes by these names."""
    return [name for name in candidates if _allows(groups.get(name), names)]


def _allows(group: Group | None, names: Collection[str]) -> bool:
    return group is None or not group.models or any(name in group.models for name in names)
