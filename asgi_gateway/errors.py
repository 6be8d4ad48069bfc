"""Everything that can go wrong with an exchange, as one tree.

```
GatewayError                     rendered by ErrorMiddleware in the caller's dialect
├─ InvalidRequest           400  the caller sent something we cannot use
│  ├─ PayloadTooLarge       413  a body above its limit, counted after decompression
│  ├─ ModelNotFound         404  nobody serves a model of this name
│  └─ UnpricedModel         400  the model has no price and the deployer refuses such
├─ Unauthenticated          401  no key, or one that is unknown, disabled or expired
├─ PermissionDenied         403  a good key, but not from here or not for this
├─ RateLimited              429  too many requests, tokens or open requests
├─ InsufficientQuota        429  the balance does not cover the reservation
├─ NoChannelAvailable       503  the model is known, but nobody can serve it now
├─ ServiceUnavailable       503  this process is draining, overloaded, or its database is away
└─ UpstreamError                 the upstream answered with an error, or not at all
   ├─ UpstreamUnreachable   502  no connection, or one that broke
   ├─ UpstreamTimeout       504  a deadline passed
   └─ MalformedUpstream     502  an answer that its dialect does not allow, or one that ended too soon
      └─ EmptyUpstream      502  an answer with nothing in it

CallerLeft                       the caller closed the connection: nobody is there to answer
ResponseAborted                  a body that had begun cannot be finished: the server must cut it
```

`CallerLeft` and `ResponseAborted` are no `GatewayError`s: neither is ever rendered.
"""

from collections.abc import Sequence
from enum import Enum

__all__ = [
    "CallerLeft",
    "EmptyUpstream",
    "Fault",
    "GatewayError",
    "InsufficientQuota",
    "InvalidRequest",
    "MalformedUpstream",
    "ModelNotFound",
    "NoChannelAvailable",
    "PayloadTooLarge",
    "PermissionDenied",
    "RateLimited",
    "ResponseAborted",
    "ServiceUnavailable",
    "Unauthenticated",
    "UnpricedModel",
    "UpstreamError",
    "UpstreamTimeout",
    "UpstreamUnreachable",
]


class GatewayError(Exception):
    """A failure that the caller is told about.

    `message` may reach the caller: it names no secret and no upstream address.
    `status` is an HTTP status; `type`, `code` and `param` are the fields of OpenAI's error object
    (https://platform.openai.com/docs/guides/error-codes), from which other dialects derive their own.
    `headers` are added to the answer, lower-case names.
    """

    status = 500
    type = "api_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.status if status is None else status
        self.type = self.type if type is None else type
        self.code = self.code if code is None else code
        self.param = param
        self.headers = tuple(headers)


class InvalidRequest(GatewayError):
    """The caller sent something that cannot be used; `param` names the field."""

    status = 400
    type = "invalid_request_error"


class PayloadTooLarge(InvalidRequest):
    """The body is larger than its limit, counted after decompression."""

    status = 413
    code = "request_too_large"


class ModelNotFound(InvalidRequest):
    """No channel serves a model of this name."""

    status = 404
    code = "model_not_found"


class UnpricedModel(InvalidRequest):
    """The model has no price, and `[billing] unpriced` is "refuse"."""

    code = "model_price_missing"


class Unauthenticated(GatewayError):
    """No key, or one that is unknown, disabled or expired: the three are told apart by nothing."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class PermissionDenied(GatewayError):
    """A good key that may not do this: wrong network, or a model outside its rights."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class RateLimited(GatewayError):
    """A limit of ours is reached; `retry_after` is in seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        whole = max(1, -int(-retry_after // 1))
        super().__init__(message, headers=[(b"retry-after", b"%d" % whole), *headers])
        self.retry_after = retry_after


class InsufficientQuota(GatewayError):
    """The balance of the token or of its user, or a budget, does not cover the reservation. Trying again is of no use.

    `period` names the budget's period, such as "2026-11-25"; it is empty for a balance.
    """

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str, *, period: str = "") -> None:
        super().__init__(message, headers=[(b"x-should-retry", b"false")])
        self.period = period


class NoChannelAvailable(GatewayError):
    """The model is known, but no channel of the caller's group can serve it (any more)."""

    status = 503
    code = "no_channel_available"


class ServiceUnavailable(GatewayError):
    """This process takes no new work now: it is draining, overloaded, or cannot reach its database."""

    status = 503
    code = "service_unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 1) -> None:
        super().__init__(message, code=code, headers=[(b"retry-after", b"%d" % retry_after)])


class Fault(Enum):
    """Whose failure an upstream's error is; it decides what is retried and what the caller sees."""

    CALLER = "caller"
    """What the caller sent: no other channel would take it either. Status and text are kept."""
    CHANNEL = "channel"
    """Key, balance or deployment of the channel: never shown as the caller's own 401, 402 or 403."""
    UPSTREAM = "upstream"
    """The upstream itself: overloaded (429), broken (5xx), unreachable, too slow."""


class UpstreamError(GatewayError):
    """The upstream answered with an error, inside or outside a 200, or with nothing that can be used.

    `original_status` is the upstream's own (None where there was none), kept for the record;
    `status` is what the caller sees. `retry_after` is the upstream's own wish, in seconds.
    """

    status = 502
    type = "upstream_error"
    code = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        fault: Fault = Fault.UPSTREAM,
        original_status: int | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message, status=status, type=type, code=code, param=param, headers=headers)
        self.fault = fault
        self.original_status = original_status
        self.retry_after = retry_after


class UpstreamUnreachable(UpstreamError):
    """No connection to the upstream, or one that broke before the answer was whole."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """A deadline passed; `phase` is one of connect, headers, first_event, idle, plain, total."""

    status = 504
    code = "upstream_timeout"

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class MalformedUpstream(UpstreamError):
    """The upstream's answer breaks HTTP or its dialect, is empty, or ended too soon."""

    code = "upstream_malformed"


class EmptyUpstream(MalformedUpstream):
    """The upstream's answer ended without an error and without anything in it."""

    code = "upstream_empty"


class CallerLeft(Exception):
    """The caller closed the connection; the upstream exchange is stopped, and what came is charged."""


class ResponseAborted(Exception):
    """A plain body that had begun cannot be finished.

    Raised after the start, so that the server cuts the connection and nobody takes half an answer for a whole.
    """
