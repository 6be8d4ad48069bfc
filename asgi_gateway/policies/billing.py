"""What of an exchange is charged, by how it ended; and the usage that is charged for it."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from msgspec.structs import replace

from asgi_gateway.policies.tariff import unsigned
from asgi_gateway.storage.records import Outcome, Usage

__all__ = ["BILLING", "BILLING_REASONS", "Billing", "prompt_tokens", "settle_usage"]

COUNTED_BYTES = 4


class Billing(Enum):
    """What of an exchange is charged."""

    USAGE = "usage"
    """The usage that the upstream reported; where it reported none, the prompt and the output that we counted."""
    REACHED = "reached"
    """As USAGE if an upstream was sent the request, else nothing."""
    PROMPT = "prompt"
    """The prompt as we count it, no output."""
    NOTHING = "nothing"


BILLING: Mapping[Outcome, Billing] = MappingProxyType(
    {
        Outcome.COMPLETED: Billing.USAGE,
        Outcome.TRUNCATED: Billing.USAGE,
        Outcome.CALLER_LEFT: Billing.REACHED,
        Outcome.UPSTREAM_FAILED: Billing.NOTHING,
        Outcome.EMPTY: Billing.NOTHING,
        Outcome.EXHAUSTED: Billing.USAGE,
        Outcome.REFUSED: Billing.NOTHING,
        # Recovery charges the prompt part of the reservation, or what `[billing] lost` says.
        Outcome.LOST: Billing.PROMPT,
    }
)
"""What each outcome costs. Closed: a test holds its rows equal to `Outcome`."""

BILLING_REASONS: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.COMPLETED: "the answer was given whole",
        Outcome.TRUNCATED: "what came before the upstream broke was produced and released",
        Outcome.CALLER_LEFT: "what an upstream had produced by then is charged; if none was asked, there is nothing",
        Outcome.UPSTREAM_FAILED: "the caller got an error and nothing of an answer",
        Outcome.EMPTY: "an answer without anything in it is no answer; the caller got an error",
        Outcome.EXHAUSTED: "what came before the quota ended was produced and released",
        Outcome.REFUSED: "no upstream was asked",
        Outcome.LOST: "the process died and nobody knows how far it came; the upstream had the prompt in any case",
    }
)
"""Why it costs that."""


def prompt_tokens(prompt_bytes: int) -> int:
    """The tokens that we count for a prompt of so many bytes."""
    return -(-max(prompt_bytes, 0) // COUNTED_BYTES)


def settle_usage(
    outcome: Outcome, reported: Usage | None, *, prompt_bytes: int, output_estimate: int, reached_upstream: bool
) -> Usage:
    """The usage that is charged and recorded for an exchange that ended like this.

    Where the upstream reported none, it is ours and marked `estimated`: a prompt token per 4 bytes, rounded up
    (English text has about four bytes to the token, Chinese about one token to a character of three bytes),
    and `output_estimate` tokens of output. So a prompt never counts for more than what was set aside for it.
    A reported usage of zero stays zero: it is not the same as none.
    Of an answer that did not come to its end an upstream may have reported a beginning only, which is less than half
    of the output that we counted: then what we counted counts.
    """
    billing = BILLING[outcome]
    if billing is Billing.NOTHING or (billing is Billing.REACHED and not reached_upstream):
        return Usage()
    prompt = prompt_tokens(prompt_bytes)
    if billing is Billing.PROMPT:
        return Usage(input=prompt, estimated=True)
    if reported is None:
        return Usage(input=prompt, output=max(output_estimate, 0), estimated=True)
    reported = unsigned(reported)
    known = reported.total_output
    if outcome is not Outcome.COMPLETED and output_estimate > 2 * known:
        return replace(reported, output=reported.output + output_estimate - known, estimated=True)
    return reported
