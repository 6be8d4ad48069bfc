"""The transports that the contract suite runs over, and the lines that one of them does not keep.

Each of the `EXCEPTIONS` is a test that must fail, so that it is noticed when the reason has gone.
"""

from collections.abc import Callable, Mapping

from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.httpx_transport import HttpxTransport
from asgi_gateway.relay.transport import Transport

__all__ = ["EXCEPTIONS", "TRANSPORTS", "Make"]

Make = Callable[..., Transport]
"""Makes a transport; options are those that all of them have."""

TRANSPORTS: Mapping[str, Make] = {"http1": Http1Transport, "httpx": HttpxTransport}

EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("httpx", "test_bytes_after_an_answer_spoil_the_connection"): (
        "h11 keeps bytes that follow an answer, and httpcore lets it take them for the next one"
    ),
    ("httpx", "test_an_early_answer_is_heard_while_the_body_is_still_being_sent"): (
        "httpcore reads nothing before it has written the whole request"
    ),
    ("httpx", "test_interim_answers_without_end_are_cut_off"): (
        "httpcore passes over any number of interim answers, until a deadline"
    ),
}
