"""Which channel an attempt takes."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.policies.selection import ChannelTable, choose, choose_among, choose_key
from asgi_gateway.storage.records import Channel, Secret

KEY = Secret("sk-test")


def channel(
    id: int,
    *,
    priority: int = 0,
    weight: int = 1,
    enabled: bool = True,
    models: tuple[str, ...] = ("m",),
    groups: tuple[str, ...] = ("default",),
    model_mapping: dict[str, str] | None = None,
    keys: tuple[Secret, ...] = (KEY,),
) -> Channel:
    return Channel(
        id=id,
        name=f"c{id:03}",
        provider="openai",
        keys=keys,
        models=models,
        groups=groups,
        priority=priority,
        weight=weight,
        enabled=enabled,
        model_mapping=model_mapping or {},
    )


CHANNELS = st.lists(
    st.builds(
        channel,
        st.integers(1, 1000),
        priority=st.integers(-3, 3),
        weight=st.integers(-1, 5),
        enabled=st.booleans(),
        models=st.sampled_from([("m",), ("n",), ("m", "n"), ()]),
        groups=st.sampled_from([("default",), ("vip",), ("default", "vip"), ()]),
    ),
    max_size=12,
    unique_by=lambda found: found.id,
)


def take(table: ChannelTable, random: Random, tried: set[int], group: str = "default") -> Channel | None:
    return choose(table, group=group, model="m", tried=tried, random=random.random)


def candidates(channels: list[Channel]) -> list[Channel]:
    """Who may serve "m" to "default", told independently of the index."""
    return [found for found in channels if found.enabled and "m" in found.models and "default" in found.groups]


def test_an_empty_table_knows_and_serves_nothing() -> None:
    """Without channels there is no model, no candidate and no choice."""
    table = ChannelTable(())
    assert not table.knows("m")
    assert not table.serves("default", "m")
    assert table.models("default") == ()
    assert table.candidates("default", "m") == ()
    assert take(table, Random(1), set()) is None


def test_a_disabled_channel_makes_its_models_known_but_serves_them_to_nobody() -> None:
    """So that the caller is told 503 and not 404."""
    table = ChannelTable([channel(1, enabled=False)])
    assert table.knows("m")
    assert not table.serves("default", "m")
    assert table.models("default") == ()
    assert take(table, Random(1), set()) is None


def test_a_channel_serves_only_its_groups() -> None:
    """A model of another group is known, but not served."""
    table = ChannelTable([channel(1, groups=("vip",))])
    assert table.knows("m")
    assert table.serves("vip", "m")
    assert not table.serves("default", "m")
    assert take(table, Random(1), set()) is None


def test_the_names_that_a_mapping_maps_are_served_too() -> None:
    """`model_mapping` names what may be asked for, beside `models`."""
    table = ChannelTable([channel(1, models=("m",), model_mapping={"fast": "m"})])
    assert table.knows("fast")
    assert table.models("default") == ("fast", "m")
    assert not table.knows("slow")


def test_models_are_sorted_and_named_once() -> None:
    """However many channels serve a model, and however often one names it."""
    table = ChannelTable(
        [channel(1, models=("z", "a", "z")), channel(2, models=("a", "k"), groups=("default", "default"))]
    )
    assert table.models("default") == ("a", "k", "z")
    assert [len(tier.channels) for tier in table.candidates("default", "z")] == [1]


def test_candidates_come_by_priority_the_highest_first() -> None:
    """Each tier holds the channels of one priority, by name."""
    table = ChannelTable([channel(3, priority=-1), channel(2, priority=5), channel(1, priority=5)])
    tiers = table.candidates("default", "m")
    assert [(tier.priority, [found.id for found in tier.channels]) for tier in tiers] == [(5, [1, 2]), (-1, [3])]


def test_two_channels_of_one_id_are_refused() -> None:
    """A tried one could not be told from the other."""
    with pytest.raises(ValueError, match="id 7"):
        ChannelTable([channel(7), channel(7)])


def test_the_draw_follows_the_weights() -> None:
    """Over many draws each channel gets its share, within five standard deviations."""
    weights = {1: 1, 2: 2, 3: 7}
    table = ChannelTable([channel(id, weight=weight) for id, weight in weights.items()])
    random, draws = Random(20), 20_000
    counts = Counter(found.id for _ in range(draws) if (found := take(table, random, set())))
    for id, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(counts[id] - draws * share) < 5 * (draws * share * (1 - share)) ** 0.5


def test_the_draw_follows_the_weights_among_what_is_left() -> None:
    """Excluding a tried channel keeps the proportions of the others."""
    weights = {1: 10, 2: 1, 3: 3}
    table = ChannelTable([channel(id, weight=weight) for id, weight in weights.items()])
    random, draws = Random(21), 20_000
    counts = Counter(found.id for _ in range(draws) if (found := take(table, random, {1})))
    assert set(counts) == {2, 3}
    assert abs(counts[3] - draws * 0.75) < 5 * (draws * 0.75 * 0.25) ** 0.5


def test_keys_are_drawn_evenly() -> None:
    """Each key of a channel is as likely as another."""
    keys = tuple(Secret(f"sk-{number}") for number in range(4))
    random, draws = Random(22), 20_000
    counts = Counter(choose_key(channel(1, keys=keys), random.random).reveal() for _ in range(draws))
    for key in keys:
        assert abs(counts[key.reveal()] - draws / 4) < 5 * (draws * 0.25 * 0.75) ** 0.5


def test_a_single_key_costs_no_chance() -> None:
    """Nothing is drawn where there is nothing to choose."""
    assert choose_key(channel(1), lambda: pytest.fail("drawn")) == KEY


def test_a_channel_without_keys_gives_an_empty_one() -> None:
    """Some upstreams of one's own need none."""
    assert choose_key(channel(1, keys=()), Random(1).random).reveal() == ""


def test_a_weight_of_zero_is_the_last_resort_of_its_priority() -> None:
    """It comes after all that have a weight, and before a lower priority."""
    table = ChannelTable([channel(1, weight=0), channel(2, weight=3), channel(3, weight=-4), channel(4, priority=-1)])
    random, tried = Random(23), set[int]()
    order = []
    while (found := take(table, random, tried)) is not None:
        tried.add(found.id)
        order.append(found.id)
    assert order[0] == 2
    assert set(order[1:3]) == {1, 3}
    assert order[3] == 4


@pytest.mark.parametrize("extreme", [0.0, 1.0 - 2**-53, 1.0])
@pytest.mark.parametrize("weights", [(1,), (1, 2**60), (9, 1), (0, 0, 0), (3, 3, 3)])
def test_extremes_of_chance_give_a_channel_and_a_key(extreme: float, weights: tuple[int, ...]) -> None:
    """The ends of the interval fall on the first and the last, never beside them."""
    table = ChannelTable([channel(id, weight=weight) for id, weight in enumerate(weights, 1)])
    found = choose(table, group="default", model="m", tried=(), random=lambda: extreme)
    assert found is not None
    assert found.id == (1 if extreme == 0.0 else len(weights))
    assert choose_key(channel(1, keys=(KEY, KEY, KEY)), lambda: extreme) == KEY


@given(CHANNELS, st.randoms(use_true_random=False), st.data())
def test_a_tried_channel_is_never_taken_again(channels: list[Channel], random: Random, data: st.DataObject) -> None:
    """Whatever was tried before, in whatever tiers."""
    table = ChannelTable(channels)
    ids = [found.id for found in channels]
    tried = set(data.draw(st.lists(st.sampled_from(ids)))) if ids else set()
    left = {
        found.id for found in channels if found.enabled and "m" in found.models and "default" in found.groups
    } - tried
    chosen = take(table, random, tried)
    assert (chosen.id in left) if chosen else not left


@given(CHANNELS, st.randoms(use_true_random=False))
def test_a_lower_priority_comes_only_after_the_higher_is_exhausted(channels: list[Channel], random: Random) -> None:
    """Trying until nothing is left visits every candidate once, by falling priority, weight 0 last in each."""
    table = ChannelTable(channels)
    tried, order = set[int](), list[Channel]()
    while (found := take(table, random, tried)) is not None:
        tried.add(found.id)
        order.append(found)
    assert sorted(found.id for found in order) == sorted(found.id for found in candidates(channels))
    ranks = [(-found.priority, found.weight <= 0) for found in order]
    assert ranks == sorted(ranks)


@given(CHANNELS)
def test_the_index_agrees_with_the_channels(channels: list[Channel]) -> None:
    """What is known, served and listed is what the channels say, for every group and model."""
    table = ChannelTable(channels)
    for model in ("m", "n", "o"):
        assert table.knows(model) == any(model in found.models for found in channels)
        for group in ("default", "vip", "none"):
            serving = {f.id for f in channels if f.enabled and model in f.models and group in f.groups}
            assert table.serves(group, model) == bool(serving)
            assert (model in table.models(group)) == bool(serving)
            assert {f.id for tier in table.candidates(group, model) for f in tier.channels} == serving


def test_auto_walks_the_groups_in_order() -> None:
    """The first group with a channel left is taken and named; when all are exhausted there is none."""
    table = ChannelTable([channel(1, groups=("vip",)), channel(2, groups=("default",))])
    random, tried = Random(24), set[int]()
    order = []
    groups = ("missing", "default", "vip")
    while (found := choose_among(table, groups=groups, model="m", tried=tried, random=random.random)) is not None:
        order.append((found[0], found[1].id))
        tried.add(found[1].id)
    assert order == [("default", 2), ("vip", 1)]
