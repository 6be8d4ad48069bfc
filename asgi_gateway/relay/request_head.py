"""The head of a request as it goes over the wire (RFC 9112, 3 and 5)."""

import re

from asgi_gateway.errors import Fault, UpstreamError
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.proxy import ProxyAddress, authority
from asgi_gateway.relay.transport import UpstreamRequest

__all__ = ["BODILESS", "PORTS", "request_head"]

BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods that state no length of a body unless there is one."""

PORTS = {"http": 80, "https": 443}
_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(rb"/[!-~]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")


def request_head(request: UpstreamRequest, forwarder: ProxyAddress | None) -> bytes:
    """All of a request's head but the length of the body, which the transport adds.

    `forwarder` is a proxy that the request itself is sent to, with the whole URL as its target.
    Raises `UpstreamError` when a part would break the head: the channel's settings are wrong.
    """
    origin = request.origin
    _check(request)
    host = authority(origin.host, origin.port, PORTS[origin.scheme])
    target = request.target if forwarder is None else b"http://" + host + request.target
    lines = [
        b"%s %s HTTP/1.1" % (request.method.encode("ascii"), target),
        b"host: " + host,
        b"accept-encoding: identity",
        *(name + b": " + value for name, value in request.headers),
    ]
    if forwarder is not None and forwarder.credentials:
        lines.append(b"proxy-authorization: " + forwarder.credentials)
    lines.append(b"")
    return b"\r\n".join(lines)


def _check(request: UpstreamRequest) -> None:
    origin: Origin = request.origin
    if origin.scheme not in PORTS:
        raise UpstreamError("the upstream's address must begin with http:// or https://", fault=Fault.CHANNEL)
    good = _METHOD.fullmatch(request.method) and _TARGET.fullmatch(request.target)
    if not good:
        raise UpstreamError("the upstream's path holds characters that cannot be sent", fault=Fault.CHANNEL)
    for name, value in request.headers:
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise UpstreamError("a header of the channel holds characters that cannot be sent", fault=Fault.CHANNEL)
