"""Liveness, readiness and metrics.

`/healthz` says that the process answers; `/readyz` that it takes work: opened, not draining, storage reachable.
`/metrics` is Prometheus text, summed over workers where they share `PROMETHEUS_MULTIPROC_DIR`.
"""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Literal

from asgi_gateway.endpoints.answer import send_answer, send_json
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["HEALTH_PATHS", "Health"]

HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip"})


class Health:
    """A terminal app for the paths in `HEALTH_PATHS`.

    `ready` raises `ServiceUnavailable` with the reason when no work is taken.
    `metrics` says who may read them: "local" (loopback addresses), "open", "off". `render` makes their text.
    """

    def __init__(
        self,
        *,
        ready: Callable[[], Awaitable[None]],
        render: Callable[[], bytes] | None,
        metrics: Literal["local", "open", "off"] = "local",
    ) -> None:
        self.ready = ready
        self.render = render
        self.metrics = metrics

    async def __call__(self, scope: Scope, path: str, receive: Receive, send: Send) -> None:
        """Answer one of `HEALTH_PATHS`."""
        if path == "/healthz":
            await send_json(send, {"status": "ok"})
        elif path == "/readyz":
            try:
                await self.ready()
            except ServiceUnavailable as reason:
                await send_json(send, {"status": "unavailable", "reason": reason.message}, 503)
            else:
                await send_json(send, {"status": "ready"})
        elif self.render is None or self.metrics == "off":
            await send_json(send, {"status": "not found"}, 404)
        elif self.metrics == "local" and not _is_local(scope):
            await send_json(send, {"status": "forbidden"}, 403)
        else:
            await send_answer(send, 200, self.render(), b"text/plain; version=0.0.4; charset=utf-8")


def _is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine. What a proxy here forwards was made elsewhere."""
    if any(name in FORWARDED for name, _ in scope["headers"]):
        return False
    client = scope.get("client")
    if client is None:
        return True  # a Unix socket
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False
