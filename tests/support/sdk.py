"""The OpenAI SDK in tests: both of its clients behind the same few calls, and the gateway that they talk to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from operator import attrgetter
from typing import Any, Self

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, Payer
from support.scripted_upstream import Script, ScriptedServer, Visit
from support.waiting import eventually

__all__ = ["MESSAGES", "MODELS", "MORE", "PAYERS", "POOR", "Sdk", "Service"]

MESSAGES = [{"role": "user", "content": "hello"}]

MODELS = ("m", "org/model", "renamed", "overridden", "limited", "unreachable", "omni-moderation-latest")
"""What the gateway serves. `m` is the model of most tests, which change its script."""

POOR = Payer("poor", user_quota=10)
PAYERS = (DEV, POOR)

MORE = """
[[channels]]
name = "renaming"
provider = "openai"
base_url = "http://127.0.0.1:{port}"
keys = ["sk-upstream"]
models = ["renamed"]
priority = 1
model_mapping = {{ renamed = "the-upstreams-own" }}
[[channels]]
name = "overriding"
provider = "openai"
base_url = "http://127.0.0.1:{port}"
keys = ["sk-upstream"]
models = ["overridden"]
priority = 1
param_override = {{ temperature = 0.25, seed = 7 }}
[[tokens]]
name = "bound"
key = "sk-bound-0123456789abcdef"
user = "dev"
unlimited = true
models = ["org/model"]
[[tokens]]
name = "elsewhere"
key = "sk-elsewhere-0123456789abcdef"
user = "dev"
unlimited = true
networks = ["10.0.0.0/8"]
[[tokens]]
name = "disabled"
key = "sk-disabled-0123456789abcdef"
user = "dev"
unlimited = true
enabled = false
[[tokens]]
name = "expired"
key = "sk-expired-0123456789abcdef"
user = "dev"
unlimited = true
expires = 2020-01-01T00:00:00Z
[[rate_limits]]
per = "token"
requests = "1/hour"
models = ["limited"]
"""


@dataclass(frozen=True, slots=True)
class Service:
    """The gateway and its upstream."""

    gateway: GatewayProcess
    upstream: ScriptedServer

    def plays(self, script: Script, model: str = "m") -> None:
        """What the upstream answers from now on; what it was asked before is forgotten."""
        self.upstream.visits.clear()
        self.upstream.scripts[model] = script

    @property
    def visit(self) -> Visit:
        """The only request that the upstream got."""
        (visit,) = self.upstream.visits
        return visit

    async def charge(self, request_id: str) -> Mapping[str, Any]:
        """The charge of an exchange."""

        def found() -> Iterator[Mapping[str, Any]]:
            return (charge for charge in self.gateway.books.charges() if charge["request_id"] == request_id)

        await eventually(lambda: any(found()), 10, "charge")
        return next(found())


class Sdk:
    """One client. `sent` are the bodies that it wrote, as they went over the wire."""

    def __init__(self, service: Service, *, blocking: bool, key: str = DEV.key, retries: int = 0) -> None:
        self.service = service
        self.blocking = blocking
        self.sent: list[bytes] = []
        options: dict[str, Any] = {
            "base_url": service.gateway.url + "/v1",
            "api_key": key,
            "max_retries": retries,
            "timeout": 30,
        }
        if blocking:
            http = DefaultHttpxClient(event_hooks={"request": [lambda request: self.sent.append(request.content)]})
            self.client: Any = OpenAI(**options, http_client=http)
        else:

            async def note(request: Any) -> None:
                self.sent.append(request.content)

            self.client = AsyncOpenAI(**options, http_client=DefaultAsyncHttpxClient(event_hooks={"request": [note]}))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await settled(self.client.close())

    async def call(self, method: str, **options: Any) -> Any:
        """Call a method by its dotted name, and give its result."""
        return await settled(attrgetter(method)(self.client)(**options))

    async def chat(self, **options: Any) -> Any:
        """A chat completion; `model` and `messages` have defaults."""
        return await self.call("chat.completions.create", **{"model": "m", "messages": MESSAGES, **options})

    async def chunks(self, **options: Any) -> list[Any]:
        """All chunks of a streamed chat completion."""
        return await items(await self.chat(stream=True, **options))

    def as_other(self, key: str) -> "Sdk":
        """Another client of the kind, with another key."""
        return Sdk(self.service, blocking=self.blocking, key=key)


async def settled(result: Any) -> Any:
    """A result, awaited if need be."""
    return await result if isawaitable(result) else result


async def items(stream: Any) -> list[Any]:
    """What a stream gives, of either kind."""
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)
