"""What the gateway answers itself: health, metrics, models, a key's own account, and that there is nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.config import BillingSettings, ServerSettings
from asgi_gateway.endpoints import exposition
from asgi_gateway.endpoints.health import Health
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.exchange import Identity
from asgi_gateway.middleware import TelemetryMiddleware
from asgi_gateway.storage.records import Group
from support.asgi import Answer, Connection, http_scope
from support.exchanges import KEY, chat
from support.gateways import House, house
from support.upstream import Reply, ScriptedTransport, completion


def served(**options: Any) -> House:
    return house(transport=ScriptedTransport(answer=lambda request: Reply.json(completion(usage=(10, 5)))), **options)


# Nothing.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("POST", "/v1/nothing"),
        ("GET", "/v1/chat/completions"),
        ("OPTIONS", "/v1/models"),
        ("POST", "/healthz"),
    ],
)
async def test_an_unknown_path_is_404_in_openais_shape(method: str, path: str) -> None:
    """With ids, recorded, without asking for a key."""
    at = served()
    seen = await at.ask(method=method, path=path, key=None, headers={"x-request-id": "mine"})
    assert seen.status == 404
    assert seen.json()["error"] == {
        "message": f"Unknown request URL: {method} {path}.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unknown_url",
    }
    assert seen.header("x-request-id") == at.records[0]["request_id"]
    assert seen.header("x-client-request-id") == "mine"
    assert (at.records[0]["status"], at.records[0]["operation"]) == (404, "unknown")


# Health.


async def test_the_process_is_alive_whatever_else_is() -> None:
    """`/healthz` asks nobody."""
    seen = await served().get("/healthz", key=None)
    assert (seen.status, seen.json()) == (200, {"status": "ok"})
    assert seen.header("content-type") == "application/json"


async def test_it_is_ready_when_it_was_opened_and_its_storage_answers() -> None:
    """Else 503 with the reason."""

    class Away(MemoryStorage):
        async def ping(self) -> None:
            if away:
                raise ServiceUnavailable("the database is away")

    away: list[bool] = []
    at = served(storage=Away())
    assert (await at.get("/readyz", key=None)).json() == {"status": "unavailable", "reason": "not opened yet"}
    async with at.gateway:
        seen = await at.get("/readyz", key=None)
        assert (seen.status, seen.json()) == (200, {"status": "ready"})
        away.append(True)
        seen = await at.get("/readyz", key=None)
        assert (seen.status, seen.json()) == (503, {"status": "unavailable", "reason": "the database is away"})
    assert (await at.get("/readyz", key=None)).json()["reason"] == "draining"


async def metrics(who: Any, client: tuple[str, int] | None, **scope: Any) -> Answer:
    at = served(settings={"server": ServerSettings(metrics=who)})
    await at.ask(chat())
    return await at.get("/metrics", key=None, client=client, **scope)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("127.0.0.1", 1), 200),
        (("127.8.8.8", 1), 200),
        (("::1", 1), 200),
        (None, 200),
        (("192.0.2.1", 1), 403),
        (("::ffff:192.0.2.1", 1), 403),
        (("unix:x", 0), 403),
    ],
)
async def test_metrics_are_for_this_machine(client: tuple[str, int] | None, status: int) -> None:
    """Loopback addresses and Unix sockets; Prometheus text."""
    seen = await metrics("local", client)
    assert seen.status == status
    if status == 200:
        assert seen.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        assert b'gateway_requests_total{channel="first",model="m-1",operation="chat",status="200"} 1.0' in seen.body


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
async def test_what_a_proxy_on_this_machine_forwards_was_not_asked_here(header: str) -> None:
    """Its address is not the caller's."""
    assert (await metrics("local", ("127.0.0.1", 1), headers={header: "203.0.113.9"})).status == 403
    assert (await metrics("open", ("127.0.0.1", 1), headers={header: "203.0.113.9"})).status == 200


async def test_metrics_may_be_open_or_off() -> None:
    """As the settings say; where they are off nothing is counted either."""
    assert (await metrics("open", ("192.0.2.1", 1))).status == 200
    assert (await metrics("off", ("127.0.0.1", 1))).status == 404
    assert served(settings={"server": ServerSettings(metrics="off")}).gateway.metrics is None


async def test_a_registry_of_the_hosts_own_is_used() -> None:
    """Beside metrics of other things."""
    from prometheus_client import CollectorRegistry, Counter

    registry = CollectorRegistry()
    Counter("host_things", "Things of the host.", registry=registry).inc()
    at = served(registry=registry)
    text = (await at.get("/metrics", key=None, client=None)).body
    assert b"host_things_total 1.0" in text
    assert b"gateway_open_exchanges" in text


async def test_workers_are_summed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Where they share a directory, the files in it are what is shown, not this process's own registry."""
    from prometheus_client import CollectorRegistry, Counter

    registry = CollectorRegistry()
    Counter("own", "Of this process.", registry=registry).inc()
    assert b"own_total 1.0" in exposition.expose(registry)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert exposition.expose(registry) == b""


async def test_without_a_renderer_there_are_no_metrics() -> None:
    """A `Health` may stand alone."""

    async def ready() -> None: ...

    health = Health(ready=ready, render=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await health(scope, scope["path"], receive, send)

    async with Connection(app, http_scope("GET", "/metrics", client=None)) as caller:
        assert (await caller.answer()).status == 404


# Models.


CHANNELS = [
    {"name": "a", "provider": "openai", "keys": ["k"], "models": ["m-1", "org/m-2"], "groups": ["default", "few"]},
    {"name": "b", "provider": "openai", "keys": ["k"], "models": ["m-3"], "groups": ["vip"]},
    {"name": "c", "provider": "openai", "keys": ["k"], "models": ["m-4"], "enabled": False},
]


async def names(at: House, key: str = KEY) -> list[str]:
    seen = await at.get("/v1/models", key=key)
    assert seen.status == 200
    listed = seen.json()
    assert listed["object"] == "list"
    return [model["id"] for model in listed["data"]]


async def test_the_models_that_a_caller_may_use() -> None:
    """Served to its group by enabled channels, aliases among them, sorted; with a slash at the end too."""
    at = served(channels=CHANNELS)
    assert await names(at) == ["fast", "m-1", "org/m-2"]
    seen = await at.get("/v1/models/")
    assert [model["id"] for model in seen.json()["data"]] == ["fast", "m-1", "org/m-2"]
    assert seen.json()["data"][1] == {
        "id": "m-1",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "asgi_gateway",
    }


@pytest.mark.parametrize(
    ("token", "listed"),
    [
        ({"group": "vip"}, ["m-3"]),
        ({"group": "few"}, ["fast", "m-1"]),
        ({"models": ["m-1"]}, ["fast", "m-1"]),
        ({"models": ["fast"]}, ["fast"]),
        ({"models": ["m-9"]}, []),
        ({"group": "few", "models": ["org/m-2"]}, []),
        ({"group": "nobody"}, []),
    ],
)
async def test_rights_of_token_and_group_filter_the_list(token: dict[str, Any], listed: list[str]) -> None:
    """What is listed can be used, and what cannot be used is not listed."""
    groups = {"few": Group(name="few", models=("m-1",)), "vip": Group(name="vip"), "nobody": Group(name="nobody")}
    groups["default"] = Group(name="default", usable=tuple(groups))
    settings = {"groups": groups, "billing": BillingSettings(unpriced="free")}
    at = served(channels=CHANNELS, token=token, settings=settings)
    assert await names(at) == listed
    everything = ("fast", "m-1", "org/m-2", "m-3", "m-4")
    assert [name for name in everything if (await at.ask(chat(name))).status == 200] == listed


async def test_a_single_model() -> None:
    """By its name, which may hold slashes and percent signs; one that the caller may not use is 404."""
    at = served(channels=[*CHANNELS, {"name": "d", "provider": "openai", "keys": ["k"], "models": ["a%2Fb"]}])
    for name in ("m-1", "fast", "org/m-2", "a%2Fb"):
        seen = await at.get(f"/v1/models/{name}")
        assert (seen.status, seen.json()["id"]) == (200, name)
    for name in ("m-3", "m-4", "nobody", "org"):
        seen = await at.get(f"/v1/models/{name}")
        assert (seen.status, seen.json()["error"]["code"]) == (404, "model_not_found")


async def test_the_list_needs_a_key_and_has_an_id() -> None:
    """It is an exchange like any other, without a charge."""
    at = served()
    assert (await at.get("/v1/models", key=None)).status == 401
    seen = await at.get("/v1/models")
    assert seen.header("x-request-id") == at.records[1]["request_id"]
    assert at.records[1]["operation"] == "models"
    assert await at.charges() == []


async def test_the_list_under_a_prefix() -> None:
    """`root_path` is taken off."""
    at = served()
    assert (await at.get("/ai/v1/models", root_path="/ai")).status == 200
    assert (await at.get("/ai/v1/models/m-1", root_path="/ai")).json()["id"] == "m-1"


# A key's own account.


async def account(path: str, **token: Any) -> Any:
    at = served(token={"unlimited": False, "quota": 1_000_000, **token})
    assert (await at.ask(chat(max_tokens=10))).status == 200
    seen = await at.get(path)
    assert seen.status == 200
    return seen.json()


@pytest.mark.parametrize("path", ["/api/usage/token/", "/api/usage/token"])
async def test_the_quota_of_a_key_in_new_apis_shape(path: str) -> None:
    """Amounts in units; limits of models and expiry as they are."""
    expires = datetime(2100, 1, 1, tzinfo=UTC)
    assert await account(path, models=["m-1", "m-2"], expires=expires) == {
        "code": True,
        "message": "ok",
        "data": {
            "object": "token_usage",
            "name": "dev",
            "total_granted": 1_000_000,
            "total_used": 20,
            "total_available": 999_980,
            "unlimited_quota": False,
            "model_limits": {"m-1": True, "m-2": True},
            "model_limits_enabled": True,
            "expires_at": 4_102_444_800,
        },
    }


async def test_an_unlimited_key_says_so() -> None:
    """It is counted, and has no end."""
    data = (await account("/api/usage/token/", unlimited=True, quota=None))["data"]
    assert (data["unlimited_quota"], data["total_used"], data["expires_at"]) == (True, 20, 0)
    assert (data["model_limits"], data["model_limits_enabled"]) == ({}, False)


async def test_the_old_dashboards_shapes() -> None:
    """Limits in USD, usage in hundredths; an unlimited key shows New API's figure."""
    seen = await account("/v1/dashboard/billing/subscription", expires=datetime(2100, 1, 1, tzinfo=UTC))
    assert seen == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 2.0,
        "hard_limit_usd": 2.0,
        "system_hard_limit_usd": 2.0,
        "access_until": 4_102_444_800,
    }
    assert (await account("/v1/dashboard/billing/subscription", unlimited=True, quota=None))[
        "hard_limit_usd"
    ] == 100_000_000
    assert await account("/v1/dashboard/billing/usage/") == {"object": "list", "total_usage": 0.004}


async def test_an_account_needs_a_key() -> None:
    """401 without one; 403 for an identity of the host, which has none."""
    at = served(identify=lambda scope: Identity("bob") if b"cookie" in dict(scope["headers"]) else None)
    assert (await at.get("/api/usage/token/", key=None)).status == 401
    assert (await at.get("/api/usage/token/", key=None, headers={"cookie": "session=1"})).status == 403


async def test_a_key_may_ask_although_it_has_nothing_left() -> None:
    """That is what it asks about."""
    at = served(token={"unlimited": False, "quota": 0})
    assert (await at.ask(chat())).status == 429
    assert (await at.get("/api/usage/token/")).json()["data"]["total_available"] == 0


async def test_metrics_of_a_gateway_without_telemetry_are_empty() -> None:
    """Nothing counts there."""
    at = served(layers={TelemetryMiddleware: None})
    assert (await at.ask(chat())).status == 200
    assert b"gateway_requests_total{" not in (await at.get("/metrics", key=None, client=None)).body
