"""The headers of a request that are not known before it is sent: a granted token, a signature, the caller's own."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from asgi_gateway.providers.contract import Endpoint, Pairs
from asgi_gateway.relay.grants import Grants
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Channel

__all__ = ["authorised", "with_headers"]

ANTHROPIC_BETA = b"anthropic-beta"


async def authorised(request: UpstreamRequest, endpoint: Endpoint, channel: Channel, grants: Grants) -> UpstreamRequest:
    """The request with what its endpoint's grant and signature add. Raises `UpstreamError` where no token is given."""
    headers = request.headers
    if endpoint.grant is not None:
        token = await grants.token(endpoint.grant, channel.proxy)
        headers = with_headers(headers, [(b"authorization", b"Bearer " + token)], channel)
    if endpoint.sign is not None:
        headers = with_headers(headers, endpoint.sign(endpoint, request.body, datetime.now(UTC)), channel)
    return msgspec.structs.replace(request, headers=headers)


def with_headers(headers: Pairs, more: Iterable[tuple[bytes, bytes]], channel: Channel) -> Pairs:
    """The headers with others in the place of those of the same name; what the channel overrides stays.

    Names of Anthropic's betas are joined: the upstream needs those of the caller and those of the channel.
    """
    all_headers = dict(headers)
    kept = {name.lower().encode("latin-1") for name in channel.header_override}
    for name, value in more:
        before = all_headers.get(name)
        if name == ANTHROPIC_BETA and before is not None:
            all_headers[name] = b",".join(dict.fromkeys((*_listed(before), *_listed(value))))
        elif name not in kept:
            all_headers[name] = value
    return tuple(all_headers.items())


def _listed(value: bytes) -> list[bytes]:
    return [part.strip() for part in value.split(b",") if part.strip()]
