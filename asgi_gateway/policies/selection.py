"""Which channel an attempt takes, and which of its keys: pure functions over an index that is built once per change.

The highest priority first; a weighted draw inside one priority; what was tried is not taken again.
Randomness is a parameter: any function that gives floats in [0, 1), `random.random` usually.
"""

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from asgi_gateway.storage.records import Channel, Secret

__all__ = ["ChannelTable", "Tier", "choose", "choose_among", "choose_key"]

NO_KEY = Secret("")


@dataclass(frozen=True, slots=True)
class Tier:
    """The channels of one priority for one group and model, in the order of their names."""

    priority: int
    channels: tuple[Channel, ...]


class _Draw:
    """Channels that are drawn among by weight; those of weight 0 or below are alike, and never mixed with others."""

    __slots__ = ("bounds", "channels", "last")

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.channels = channels
        self.bounds = list(accumulate(max(channel.weight, 1) for channel in channels))
        self.last = len(channels) - 1

    def take(self, random: Callable[[], float]) -> Channel:
        """One of the channels. Even a `random` of 1 gives the last, not an error."""
        bounds = self.bounds
        return self.channels[bisect_right(bounds, random() * bounds[-1], 0, self.last)]


class ChannelTable:
    """Which channels serve which model to which group: an index that never changes.

    A channel serves the models it lists and the names that its model mapping maps.
    Only enabled channels are candidates; disabled ones still make a model known.
    Raises `ValueError` when two channels have the same id, for then a tried one could not be told from the other.
    """

    __slots__ = ("_draws", "_known", "_models", "_tiers")

    def __init__(self, channels: Iterable[Channel]) -> None:
        ids: set[int] = set()
        known: set[str] = set()
        found: dict[str, dict[str, list[Channel]]] = {}
        for channel in sorted(channels, key=lambda channel: channel.name):
            if channel.id in ids:
                raise ValueError(f"two channels have the id {channel.id}; one of them is {channel.name!r}")
            ids.add(channel.id)
            served = dict.fromkeys((*channel.models, *channel.model_mapping))
            known.update(served)
            if not channel.enabled:
                continue
            for group in dict.fromkeys(channel.groups):
                models = found.setdefault(group, {})
                for model in served:
                    models.setdefault(model, []).append(channel)
        self._known = frozenset(known)
        self._tiers: Mapping[str, Mapping[str, tuple[Tier, ...]]] = {
            group: {model: _tiers(candidates) for model, candidates in models.items()}
            for group, models in found.items()
        }
        self._draws: Mapping[str, Mapping[str, tuple[_Draw, ...]]] = {
            group: {model: tuple(draw for tier in tiers for draw in _draws(tier)) for model, tiers in models.items()}
            for group, models in self._tiers.items()
        }
        self._models = {group: tuple(sorted(models)) for group, models in self._tiers.items()}

    def knows(self, model: str) -> bool:
        """Whether any channel, enabled or not, serves a model of this name to anybody."""
        return model in self._known

    def serves(self, group: str, model: str) -> bool:
        """Whether an enabled channel serves the model to the group."""
        return model in self._tiers.get(group, ())

    def models(self, group: str) -> tuple[str, ...]:
        """What enabled channels serve to the group, sorted."""
        return self._models.get(group, ())

    def candidates(self, group: str, model: str) -> tuple[Tier, ...]:
        """The enabled channels that serve the model to the group, by priority, the highest first."""
        models = self._tiers.get(group)
        return () if models is None else models.get(model, ())

    def _drawn(self, group: str, model: str) -> tuple[_Draw, ...]:
        models = self._draws.get(group)
        return () if models is None else models.get(model, ())


def choose(
    table: ChannelTable, *, group: str, model: str, tried: Container[int], random: Callable[[], float]
) -> Channel | None:
    """One channel for the model, or None when there is none (any more).

    `tried` holds the ids of channels that must not be taken: tried, cooling, or otherwise unfit ones.
    A lower priority is reached only when nothing of a higher one is left.
    A channel of weight 0 (or below) is taken only when nothing else of its priority is left; several of them are alike.
    """
    for draw in table._drawn(group, model):
        # Drawing among all and rejecting the tried leaves the weights' proportions as they are.
        channel = draw.take(random)
        if channel.id not in tried:
            return channel
        left = [other for other in draw.channels if other.id not in tried]
        if left:
            return _Draw(left).take(random)
    return None


def choose_among(
    table: ChannelTable, *, groups: Sequence[str], model: str, tried: Container[int], random: Callable[[], float]
) -> tuple[str, Channel] | None:
    """Walk the groups in order (the group `auto`): the first that has a channel left, and the channel.

    The group is told because the price follows it.
    """
    for group in groups:
        channel = choose(table, group=group, model=model, tried=tried, random=random)
        if channel is not None:
            return group, channel
    return None


def choose_key(channel: Channel, random: Callable[[], float]) -> Secret:
    """One of the channel's keys, each as likely as another; an empty one for a channel without keys."""
    keys = channel.keys
    count = len(keys)
    if count == 1:
        return keys[0]
    if not count:
        return NO_KEY
    return keys[min(int(random() * count), count - 1)]


def _tiers(channels: Sequence[Channel]) -> tuple[Tier, ...]:
    by_priority: dict[int, list[Channel]] = {}
    for channel in channels:
        by_priority.setdefault(channel.priority, []).append(channel)
    return tuple(Tier(priority, tuple(by_priority[priority])) for priority in sorted(by_priority, reverse=True))


def _draws(tier: Tier) -> Iterator[_Draw]:
    weighted = [channel for channel in tier.channels if channel.weight > 0]
    spare = [channel for channel in tier.channels if channel.weight <= 0]
    if weighted:
        yield _Draw(weighted)
    if spare:
        yield _Draw(spare)
