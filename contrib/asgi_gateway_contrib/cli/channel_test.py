"""Asks a channel's upstream for one token, by the transport that requests take."""

from dataclasses import dataclass
from time import perf_counter

import orjson

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import GatewayError
from asgi_gateway.providers import conceal, provider
from asgi_gateway.relay import Http1Transport, Transport, UpstreamRequest
from asgi_gateway.storage.records import Channel, Secret
from asgi_gateway_contrib.cli.output import Refused

__all__ = ["ChannelAnswer", "ask"]

DIALECT = "openai_chat"
LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAnswer:
    """How an upstream answered. `status` 0: not at all; `error` is empty when it answered well."""

    status: int
    seconds: float
    model: str
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the channel works."""
        return not self.error


async def ask(channel: Channel, model: str | None = None, transport: Transport | None = None) -> ChannelAnswer:
    """Send one chat request of one token. Raises `Refused` for a channel that cannot be asked."""
    request, name = _request(channel, model)
    transport = transport or Http1Transport()
    began = perf_counter()
    status = 0
    try:
        response = await transport.send(request)
        status = response.status
        try:
            body = bytearray()
            while len(body) < LIMIT and (chunk := await response.read()):
                body += chunk
        finally:
            response.close()
        error = "" if 200 <= status < 300 else _refusal(channel, status, response.headers, bytes(body))
    except GatewayError as failure:
        error = failure.message
    finally:
        await transport.close()
    return ChannelAnswer(status=status, seconds=perf_counter() - began, model=name, error=error)


def _request(channel: Channel, model: str | None) -> tuple[UpstreamRequest, str]:
    asked = model or next(iter(channel.models), None)
    if asked is None:
        raise Refused(f'the channel "{channel.name}" lists no model: say --model')
    name = channel.model_mapping.get(asked, asked)
    key = channel.keys[0] if channel.keys else Secret("")
    endpoint = provider(channel.provider).endpoint(channel, key, Operation.CHAT, DIALECT, name)
    body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    request = UpstreamRequest(
        method=endpoint.method,
        origin=endpoint.origin,
        target=endpoint.target,
        headers=endpoint.headers,
        body=orjson.dumps(body),
        stream=False,
        timeouts=channel.timeouts,
        proxy=channel.proxy,
    )
    return request, name


def _refusal(channel: Channel, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> str:
    error = provider(channel.provider).read_error(DIALECT, status, dict(headers), body)
    conceal(error, channel)
    return error.message
