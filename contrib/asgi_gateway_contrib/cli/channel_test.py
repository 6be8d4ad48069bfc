"""Asks a channel's upstream for a few tokens, by the transport that requests take."""

from dataclasses import dataclass
from time import perf_counter

from asgi_gateway.canonical import ChatRequest, Losses, Sampling, Text, Turn
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import GatewayError
from asgi_gateway.providers import Endpoint, conceal, provider
from asgi_gateway.relay import Http1Transport, Transport, UpstreamRequest
from asgi_gateway.relay.authorisation import authorised
from asgi_gateway.relay.grants import Grants
from asgi_gateway.storage.records import Channel, Secret
from asgi_gateway_contrib.cli.output import Refused

__all__ = ["ChannelAnswer", "ask"]

LIMIT = 1 << 20

LEAST = 16
"""Tokens asked for: some vendors take no fewer."""


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
    """Send one short chat request in the channel's first chat dialect.

    Raises `Refused` for a channel that cannot be asked.
    """
    name = _model(channel, model)
    dialect = _dialect(channel, name)
    transport = transport or Http1Transport()
    grants = Grants(transport)
    began = perf_counter()
    status = 0
    try:
        endpoint, request = _request(channel, name, dialect)
        response = await transport.send(await authorised(request, endpoint, channel, grants))
        status = response.status
        try:
            body = bytearray()
            while len(body) < LIMIT and (chunk := await response.read()):
                body += chunk
        finally:
            response.close()
        error = "" if 200 <= status < 300 else _refusal(channel, dialect, status, response.headers, bytes(body))
    except GatewayError as failure:
        error = failure.message
    finally:
        await grants.close()
        await transport.close()
    return ChannelAnswer(status=status, seconds=perf_counter() - began, model=name, error=error)


def _model(channel: Channel, model: str | None) -> str:
    asked = model or next(iter(channel.models), None)
    if asked is None:
        raise Refused(f'the channel "{channel.name}" lists no model: say --model')
    return channel.model_mapping.get(asked, asked)


def _dialect(channel: Channel, name: str) -> str:
    for dialect in provider(channel.provider).dialects_for(name):
        if dialect in CHAT_DIALECTS and (not channel.dialects or dialect in channel.dialects):
            return dialect
    raise Refused(f'the channel "{channel.name}" does not chat')


def _request(channel: Channel, name: str, dialect: str) -> tuple[Endpoint, UpstreamRequest]:
    kind, spoken = provider(channel.provider), CHAT_DIALECTS[dialect]
    key = channel.keys[0] if channel.keys else Secret("")
    endpoint = kind.endpoint(channel, key, Operation.CHAT, dialect, name)
    asked = ChatRequest(model=name, turns=(Turn("user", (Text("Hi"),)),), sampling=Sampling(max_output=LEAST))
    body = spoken.write_request(asked, Losses("request"))
    if overrides := {**kind.overrides(dialect, name), **channel.param_override}:
        body = spoken.rewrite(body, overrides=overrides)
    request = UpstreamRequest(
        method=endpoint.method,
        origin=endpoint.origin,
        target=endpoint.target,
        headers=endpoint.headers,
        body=body,
        stream=False,
        timeouts=channel.timeouts,
        proxy=channel.proxy,
    )
    return endpoint, request


def _refusal(channel: Channel, dialect: str, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> str:
    error = provider(channel.provider).read_error(dialect, status, dict(headers), body)
    conceal(error, channel)
    return error.message
