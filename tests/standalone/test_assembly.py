"""What stands around the gateway in the standalone app."""

from dataclasses import replace

import httpx

from asgi_gateway.config import Settings, StorageSettings
from asgi_gateway.types import ASGIApp
from asgi_gateway_contrib.standalone import assemble
from asgi_gateway_contrib.standalone.failure import FailureMiddleware
from asgi_gateway_contrib.standalone.forwarded import ForwardedMiddleware

SETTINGS = Settings(storage=StorageSettings(url="memory://"))


def client_of(app: ASGIApp, address: str = "127.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://gateway")


async def test_by_default_only_failures_are_caught() -> None:
    """No CORS, and no header of a proxy is looked at."""
    gateway, app = assemble(SETTINGS)

    assert isinstance(app, FailureMiddleware)
    assert app.app is gateway
    async with gateway, client_of(app) as client:
        answer = await client.get("/readyz", headers={"origin": "https://app.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_origins_of_the_settings_may_call_from_a_browser() -> None:
    """A preflight is answered, and scripts may read our headers; other origins get nothing."""
    _, app = assemble(replace(SETTINGS, server=replace(SETTINGS.server, cors_origins=("https://app.example",))))

    async with client_of(app) as client:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = await client.options("/v1/chat/completions", headers={"origin": "https://app.example", **ask})
        plain = await client.get("/v1/models", headers={"origin": "https://app.example"})
        foreign = await client.get("/v1/models", headers={"origin": "https://evil.example"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert plain.status_code == 401
    assert plain.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in plain.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in foreign.headers


async def test_trusted_proxies_of_the_settings_name_the_caller() -> None:
    """Metrics for this machine alone are not given to a caller from elsewhere."""
    gateway, app = assemble(replace(SETTINGS, server=replace(SETTINGS.server, trusted_proxies=("127.0.0.0/8",))))

    assert isinstance(app, FailureMiddleware)
    assert isinstance(app.app, ForwardedMiddleware)
    async with gateway, client_of(app) as client:
        near = await client.get("/metrics")
        far = await client.get("/metrics", headers={"x-forwarded-for": "203.0.113.7"})
    assert (near.status_code, far.status_code) == (200, 403)
