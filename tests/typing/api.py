"""How the public interface is called: checked by mypy, never run."""

from typing import assert_type

from asgi_gateway.errors import GatewayError, RateLimited
from asgi_gateway.storage.records import Secret, Usage


def records(usage: Usage, secret: Secret) -> None:
    """What is read from records has the type that the documentation says."""
    assert_type(usage.total_input, int)
    assert_type(secret.reveal(), str)
    Usage(1)  # type: ignore[call-arg]  # records are made by keyword only


def errors(error: GatewayError) -> None:
    """An error carries what a caller needs as fields."""
    assert_type(error.status, int)
    assert_type(error.code, str | None)
    assert_type(RateLimited("slow down", retry_after=1.5).retry_after, float)
    RateLimited("slow down")  # type: ignore[call-arg]  # without a time it would be a riddle
