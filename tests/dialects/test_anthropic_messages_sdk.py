"""What is written is what Anthropic's own client takes: its types, and the accumulator of its streams."""

from typing import Any

import pytest

anthropic = pytest.importorskip("anthropic", reason="the vendor's SDK is asked what is valid")

from anthropic.lib.streaming._beta_messages import accumulate_event  # noqa: E402 # only where it is installed

from asgi_gateway.canonical import (  # noqa: E402 # as above
    ChatResponse,
    Choice,
    Citation,
    HostedCall,
    HostedResult,
    Native,
    Refusal,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
    unfold,
)
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES  # noqa: E402 # as above
from support.anthropic_messages import answered, context, events_of, streamed  # noqa: E402 # as above
from support.strict import check_response, check_stream  # noqa: E402 # as above

NAME = "anthropic_messages"
SIGNED = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="Zw==")
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
COMPACTION = {"type": "compaction", "content": "short", "encrypted_content": "e"}

ANSWERS = {
    "text": Choice(parts=(Text("Hello"),), stopped=Stopped("stop")),
    "sources": Choice(
        parts=(Text("a", (Citation(kind="url", url="https://a.test", title="A", quoted="q"),)),),
        stopped=Stopped("stop_sequence", sequence="END"),
    ),
    "refusal": Choice(parts=(Refusal("No."),), stopped=Stopped("refusal")),
    "thinking": Choice(
        parts=(
            Thinking("why", SIGNED),
            Thinking("", Seal(maker="anthropic", kind="redacted", data="eA==")),
            Thinking("", Seal(maker="openai", kind="encrypted", data="eA==")),
            Text("so"),
        ),
        stopped=Stopped("length"),
    ),
    "calls": Choice(
        parts=(
            ToolCall(id="a", name="f", arguments='{"x":[1,2.50]}', seal=GOOGLE),
            ToolCall(id="b", name="g"),
            ToolCall(id="call|1", name="h", arguments="free", custom=True),
        ),
        stopped=Stopped("tool_calls"),
    ),
    "hosted": Choice(
        parts=(
            HostedCall(id="srvtoolu_1", tool="web_search", dialect=NAME, native=SEARCH),
            HostedResult(call_id="srvtoolu_1", tool="web_search", dialect=NAME, native=FOUND),
        ),
        stopped=Stopped("pause", details={"container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"}}),
    ),
    "compacted": Choice(parts=(Native(NAME, "content[].compaction", COMPACTION),), stopped=Stopped("stop")),
}
USED = Usage(input=3, cache_read=4, cache_write=5, output=6, reasoning=7, tools=(("web_search", 1),))


def accumulated(data: bytes) -> dict[str, Any]:
    """What the client makes of a stream."""
    message: Any = None
    inputs: dict[int, bytes] = {}
    for event in events_of(data):
        message = accumulate_event(event=event, current_snapshot=message, json_bufs=inputs, request_headers=None)
    told: dict[str, Any] = message.to_dict(mode="json")
    return told


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_is_accumulated_into_the_plain_answer(name: str) -> None:
    """By the client's own accumulator; both are what its types say."""
    response = ChatResponse(started=Started("msg_1", "m", 0, "default"), choices=(ANSWERS[name],), usage=USED)
    data = streamed(list(unfold(response)))
    check_stream(NAME, data)
    check_response(NAME, ANTHROPIC_MESSAGES.write_response(response, context()))
    plain, told = _without_nothing(answered(response)), _without_nothing(accumulated(data))
    assert told == plain


def _without_nothing(value: Any) -> Any:
    """Without members that are null, and what the accumulator adds for itself."""
    if isinstance(value, dict):
        return {name: _without_nothing(member) for name, member in value.items() if member is not None}
    return [_without_nothing(member) for member in value] if isinstance(value, list) else value
