"""Whose failure an upstream's error is, and what the caller sees of it.

| upstream | fault | the caller sees |
|---|---|---|
| 401, 402, 403; a bad key or an empty balance under another status | CHANNEL | 502 `upstream_auth` |
| 429 with an empty balance | CHANNEL | kept |
| 404, 405, 410; a model or deployment that is missing there | CHANNEL | 503 `upstream_model_missing` |
| 400, 413, 415, 422, 451; content refused; a 404 that names a field | CALLER | kept |
| 408, 409, 424, 425, 429, 498, 5xx; a rate limit under another status | UPSTREAM | kept |
| a redirect, and whatever else | UPSTREAM | 502 `upstream_malformed` |

"Kept" means status, type, code, param and message as the dialect read them, which has masked secrets and addresses;
a 429 and a 503 also keep `retry-after`.
What the codes say goes before what the status says: vendors agree less on the latter.
"""

from dataclasses import dataclass
from enum import Enum, auto

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError

__all__ = ["NO_QUIRKS", "Quirks", "judge"]

KEY_CODES = frozenset({"invalid_api_key", "authentication_error", "api_key_invalid"})
BALANCE_CODES = frozenset(
    {
        "insufficient_quota",  # OpenAI, with 429 and sometimes 400
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",  # Moonshot, with 429
        "arrearage",  # Alibaba, with 400
    }
)
MISSING_CODES = frozenset({"model_not_found", "deploymentnotfound", "unknown_url", "model_decommissioned"})
CONTENT_CODES = frozenset(
    {"content_policy_violation", "content_filter", "moderation_blocked", "data_inspection_failed"}
)
LIMIT_CODES = frozenset(
    {"rate_limit_exceeded", "servicequotaexceededexception"}
)  # Groq sends it with 413 for a prompt above the tokens per minute

CHANNEL_STATUSES = frozenset({401, 402, 403})
MISSING_STATUSES = frozenset({404, 405, 410})
CALLER_STATUSES = frozenset({400, 413, 415, 422, 451})
UPSTREAM_STATUSES = frozenset({408, 409, 424, 425, 429, 498, *range(500, 600)})  # 498: Groq has no capacity left


@dataclass(frozen=True, slots=True)
class Quirks:
    """Texts within an error's message that say more than its status and codes, for vendors that need it; lower case."""

    channel: tuple[str, ...] = ()
    """They mean the channel's key or balance."""
    caller: tuple[str, ...] = ()
    """They mean what the caller sent."""
    missing: tuple[str, ...] = ()
    """They mean a model that is not served there."""


NO_QUIRKS = Quirks()


class _Kind(Enum):
    AUTH = auto()
    BALANCE = auto()
    MISSING = auto()
    CALLER = auto()
    UPSTREAM = auto()
    ODD = auto()


def judge(error: UpstreamError, status: int, quirks: Quirks = NO_QUIRKS) -> UpstreamError:
    """The error with its fault and with what the caller shall see.

    `error` is what the dialect read; `status` the upstream's own, or what an error event inside a 200 stands for.
    """
    match _kind(error, status, quirks):
        case _Kind.AUTH:
            return UpstreamError(
                "The upstream refused the credentials or the balance of the channel.",
                fault=Fault.CHANNEL,
                original_status=status,
                code="upstream_auth",
            )
        case _Kind.MISSING:
            return UpstreamError(
                "The upstream of the channel does not serve this model.",
                fault=Fault.CHANNEL,
                original_status=status,
                status=503,
                code="upstream_model_missing",
            )
        case _Kind.ODD:
            return MalformedUpstream(f"The upstream answered with the status {status}.", original_status=status)
        case _Kind.CALLER:
            return _kept(error, status, Fault.CALLER)
        case _Kind.BALANCE:
            return _kept(error, status, Fault.CHANNEL)
        case _Kind.UPSTREAM:
            return _kept(error, status, Fault.UPSTREAM)


def _kind(error: UpstreamError, status: int, quirks: Quirks) -> _Kind:
    if not 400 <= status < 600:
        return _Kind.ODD
    return _by_text(error.message.lower(), quirks) or _by_code(error, status) or _by_status(error, status)


def _by_text(message: str, quirks: Quirks) -> _Kind | None:
    if any(text in message for text in quirks.channel):
        return _Kind.AUTH
    if any(text in message for text in quirks.caller):
        return _Kind.CALLER
    if any(text in message for text in quirks.missing):
        return _Kind.MISSING
    return None


def _by_code(error: UpstreamError, status: int) -> _Kind | None:
    codes = {str(error.code).lower(), str(error.type).lower()}
    if codes & BALANCE_CODES:
        return _Kind.BALANCE if status == 429 else _Kind.AUTH
    if codes & KEY_CODES:
        return _Kind.AUTH
    if codes & MISSING_CODES:
        return _Kind.MISSING
    if codes & CONTENT_CODES and status < 500:
        return _Kind.CALLER
    if codes & LIMIT_CODES:
        return _Kind.UPSTREAM
    return None


def _by_status(error: UpstreamError, status: int) -> _Kind:
    if status in CHANNEL_STATUSES:
        return _Kind.AUTH
    if status in MISSING_STATUSES:
        # A 404 about something else that the request names, a file for instance, is no matter of the deployment.
        return _Kind.MISSING if error.param in (None, "", "model") else _Kind.CALLER
    if status in CALLER_STATUSES:
        return _Kind.CALLER
    return _Kind.UPSTREAM if status in UPSTREAM_STATUSES else _Kind.ODD


def _kept(error: UpstreamError, status: int, fault: Fault) -> UpstreamError:
    waits = status in (429, 503)
    kept = UpstreamError(
        error.message,
        fault=fault,
        original_status=status,
        retry_after=error.retry_after,
        status=status,
        type=error.type,
        param=error.param,
        headers=[pair for pair in error.headers if waits or pair[0] != b"retry-after"],
    )
    kept.code = error.code  # given to the constructor, None would become a code of ours
    return kept
