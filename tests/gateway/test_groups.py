"""Groups through the whole stack: which a token may use, how `auto` walks them, and at which ratio is charged."""

from decimal import Decimal
from typing import Any

import pytest

from asgi_gateway.config import ConfigurationError, RateLimit
from asgi_gateway.exchange import Identity
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Account, Budget, Charge, Group, Token, User
from support.asgi import Answer
from support.exchanges import chat
from support.gateways import House, house
from support.upstream import Reply, completion

KEY = "sk-" + "Z9y8X7w6" * 6
BODY = chat(max_tokens=10)
PROMPT = -(-len(BODY) // 3)
RESERVED = PROMPT + 20

GROUPS = {
    "default": Group(name="default", ratio=Decimal(2), usable=("vip", "cheap")),
    "vip": Group(name="vip", ratio=Decimal(3), ratios={"cheap": Decimal(5)}),
    "cheap": Group(name="cheap", ratio=Decimal("0.5")),
    "closed": Group(name="closed"),
}


def channel(name: str, *groups: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "provider": "openai", "keys": ["k"], "models": ["m-1"], "groups": list(groups), **fields}


CHANNELS = [channel("own", "default"), channel("vip", "vip"), channel("cheap", "cheap")]


def good() -> Reply:
    """Ten tokens in and five out: twenty units at the ratio 1."""
    return Reply.json(completion(usage=(10, 5)))


async def inhabited(
    *replies: Reply,
    own: str = "default",
    group: str | None = None,
    groups: dict[str, Group] = GROUPS,
    channels: Any = CHANNELS,
    **options: Any,
) -> House:
    """A gateway with a user of run time in a group, and its token, whose key is `KEY`."""
    at = house(*(replies or (good(),)), channels=channels, settings={"groups": groups}, **options)
    await at.gateway.open()
    storage = at.gateway.storage
    bob = await storage.ensure_user(User(name="bob", group=own), 10_000)
    token = Token(name="bobs", user_id=bob.id, digest=digest_of(KEY), group=group, unlimited=True)
    token = await storage.tokens.add(token)
    await storage.ledger.declare(Account("token", token.id), 0, unlimited=True)
    return at


async def ask(at: House, body: bytes = BODY) -> Answer:
    return await at.ask(body, key=KEY)


async def only(at: House) -> Charge:
    (charge,) = await at.charges()
    return charge


@pytest.mark.parametrize(
    ("own", "group", "channel", "ratio"),
    [
        ("default", None, "own", "2"),
        ("default", "default", "own", "2"),
        ("default", "vip", "vip", "3"),
        ("default", "cheap", "cheap", "0.5"),
        ("vip", None, "vip", "3"),
        ("cheap", "cheap", "cheap", "0.5"),
    ],
)
async def test_a_token_uses_its_own_or_a_usable_group(own: str, group: str | None, channel: str, ratio: str) -> None:
    """The channels of that group serve it, at that group's ratio."""
    at = await inhabited(own=own, group=group)
    assert (await ask(at)).status == 200
    charge = await only(at)
    assert (charge.settlement.channel, charge.settlement.ratio) == (channel, ratio)
    assert charge.settlement.group == (group or own)
    assert charge.charged == int(20 * Decimal(ratio))
    assert charge.reservation.amount == -(-RESERVED * Decimal(ratio) // 1)


@pytest.mark.parametrize(("own", "group"), [("default", "closed"), ("vip", "cheap"), ("cheap", "vip"), ("cheap", "x")])
async def test_another_group_is_refused_by_its_name(own: str, group: str) -> None:
    """403, before anything is read or charged; also a group that nobody described."""
    at = await inhabited(own=own, group=group)
    refused = await ask(at)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "group_not_allowed")
    assert f"`{group}`" in refused.json()["error"]["message"]
    assert at.transport.requests == []
    assert (await at.get("/v1/models", key=KEY)).status == 403
    assert await at.charges() == []


async def test_the_users_group_sets_another_ratio_for_a_group_it_uses() -> None:
    """It replaces the used group's own."""
    groups = {**GROUPS, "vip": Group(name="vip", usable=("cheap",), ratios={"cheap": Decimal(5)})}
    at = await inhabited(own="vip", group="cheap", groups=groups)
    await ask(at)
    charge = await only(at)
    assert (charge.settlement.ratio, charge.charged) == ("5", 100)


async def test_auto_takes_the_own_group_first() -> None:
    """Set aside at the highest ratio of those with a channel, charged at the ratio of the one that served."""
    at = await inhabited(group="auto")
    assert (await ask(at)).status == 200
    charge = await only(at)
    assert (charge.settlement.channel, charge.settlement.group, charge.settlement.ratio) == ("own", "default", "2")
    assert (charge.reservation.group, charge.reservation.amount, charge.charged) == ("auto", 3 * RESERVED, 40)


async def test_auto_goes_on_when_a_group_has_no_channel_left() -> None:
    """Across attempts: own, then usable ones in their order; the last one's ratio is charged."""
    at = await inhabited(Reply.error(503), Reply.error(503), good(), group="auto")
    assert (await ask(at)).status == 200
    charge = await only(at)
    assert (charge.settlement.channel, charge.settlement.group, charge.settlement.attempts) == ("cheap", "cheap", 3)
    assert (charge.settlement.ratio, charge.charged) == ("0.5", 10)


async def test_auto_stays_in_a_group_while_it_has_a_channel() -> None:
    """A second channel of the first group goes before the next group's."""
    channels = [channel("a", "default", priority=2), channel("b", "default", priority=1), *CHANNELS[1:]]
    at = await inhabited(Reply.error(503), good(), group="auto", channels=channels)
    await ask(at)
    assert (await only(at)).settlement.channel == "b"


async def test_auto_ends_with_the_last_real_error() -> None:
    """When all groups are used up."""
    at = await inhabited(*(Reply.error(503, f"no {n}") for n in range(3)), group="auto")
    seen = await ask(at)
    assert (seen.status, seen.json()["error"]["message"]) == (503, "no 2")
    assert (await only(at)).charged == 0


async def test_auto_leaves_out_groups_that_may_not_use_the_model() -> None:
    """And is refused where none may; rights of either name count."""
    groups = {
        "default": Group(name="default", models=("m-2",), usable=("vip", "cheap"), ratio=Decimal(9)),
        "vip": Group(name="vip", models=("fast",), ratio=Decimal(3)),
        "cheap": Group(name="cheap", models=("m-2",)),
    }
    at = await inhabited(group="auto", groups=groups)
    assert (await ask(at, chat("fast", max_tokens=10))).status == 200
    charge = await only(at)
    assert (charge.settlement.group, charge.settlement.ratio) == ("vip", "3")
    refused = await ask(at)
    assert (refused.status, refused.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_auto_reserves_what_the_dearest_usable_group_may_cost() -> None:
    """A balance that covers only a cheaper one is refused; groups without a channel for the model do not count."""
    dear = {**GROUPS, "dear": Group(name="dear", ratio=Decimal(1000))}
    dear["default"] = Group(name="default", usable=("dear",))
    at = await inhabited(group="auto", groups=dear, channels=[*CHANNELS, channel("dear", "dear")])
    assert (await ask(at)).json()["error"]["code"] == "insufficient_quota"
    at = await inhabited(group="auto", groups=dear)
    assert (await ask(at)).status == 200


async def test_auto_lists_what_any_of_its_groups_lists() -> None:
    """The union, each within the rights of its group."""
    groups = {
        "default": Group(name="default", usable=("vip",)),
        "vip": Group(name="vip", models=("v-1",)),
    }
    channels = [channel("own", "default"), {**channel("vip", "vip"), "models": ["v-1", "v-2"]}]
    at = await inhabited(group="auto", groups=groups, channels=channels)
    listed = (await at.get("/v1/models", key=KEY)).json()["data"]
    assert [model["id"] for model in listed] == ["fast", "m-1", "v-1"]


async def test_auto_counts_in_the_limits_of_its_own_group() -> None:
    """A rule for a group holds for its users that leave the group open."""
    rule = RateLimit(per="group", requests="1/hour", groups=("default",))
    at = house(
        *(good() for _ in range(3)),
        channels=CHANNELS,
        settings={"groups": GROUPS, "rate_limits": (rule,)},
        token={"group": "auto"},
    )
    statuses = [(await at.ask(BODY)).status for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("named", "channel", "ratio"), [(None, "own", "2"), ("cheap", "cheap", "0.5"), ("auto", "own", "2")]
)
async def test_a_host_may_name_the_group_of_its_user(named: str | None, channel: str, ratio: str) -> None:
    """The host's word counts; `auto` walks the stored user's own group and those it may use."""
    at = house(
        good(),
        channels=CHANNELS,
        settings={"groups": GROUPS},
        identify=lambda scope: Identity("carol", group=named),
    )
    await at.gateway.open()
    await at.gateway.storage.ensure_user(User(name="carol"), 10_000)
    assert (await at.ask(BODY, key=None)).status == 200
    charge = await only(at)
    assert (charge.settlement.channel, charge.settlement.ratio) == (channel, ratio)


async def test_a_new_user_of_a_host_that_says_auto_belongs_to_the_default_group() -> None:
    """No user's own group is called `auto`."""
    at = house(
        good(), channels=CHANNELS, settings={"groups": GROUPS}, identify=lambda scope: Identity("dora", group="auto")
    )
    await at.gateway.open()
    await at.ask(BODY, key=None)
    dora = await at.gateway.storage.users.find("dora")
    assert dora is not None
    assert dora.group == "default"


async def test_a_budget_is_that_of_the_users_group_whatever_is_used() -> None:
    """Also where the group was left open."""
    groups = {**GROUPS, "default": Group(name="default", usable=("vip",), budget=Budget(day=3 * RESERVED + 30))}
    at = await inhabited(good(), good(), group="auto", groups=groups)
    assert [(await ask(at)).status for _ in range(2)] == [200, 200]
    assert (await ask(at)).status == 429


def test_a_file_refuses_a_token_whose_group_its_user_may_not_use() -> None:
    """With the group, and what to add where."""
    with pytest.raises(ConfigurationError, match=r"\[groups.default\]"):
        house(settings={"groups": GROUPS}, token={"group": "closed"})
