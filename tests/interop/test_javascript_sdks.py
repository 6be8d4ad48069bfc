"""The vendors' SDKs for JavaScript reach every upstream, too: one program of each, in `programs/`."""

import json
from pathlib import Path

import pytest

from support.gateway_settings import DEV
from support.interop import UPSTREAMS, Line
from support.node import run_node
from support.services import require_node_package

PROGRAMS = Path(__file__).with_name("programs")

PACKAGES = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic_messages": "@anthropic-ai/sdk",
    "google_generate": "@google/genai",
}
"""By the dialect that a program speaks, and is named by: what it needs."""

ENDINGS = {
    "openai_chat": ("stop", "tool_calls"),
    "openai_responses": ("completed", "completed"),
    "anthropic_messages": ("end_turn", "tool_use"),
    "google_generate": ("STOP", "STOP"),
}
"""How answers end, without and with calls."""

FAILURES = {
    "openai_chat": "RateLimitError",
    "openai_responses": "RateLimitError",
    "anthropic_messages": "RateLimitError",
    "google_generate": "ApiError",
}

CELLS = [pytest.param(client, upstream, id=f"{client}-{upstream}") for client in PACKAGES for upstream in UPSTREAMS]


@pytest.mark.parametrize(("client", "upstream"), CELLS)
async def test_a_program(line: Line, client: str, upstream: str) -> None:
    """Plain and streamed: a text, two rounds of two tools, an error; and a thinking."""
    require_node_package(PACKAGES[client])
    thinking = f"think-{upstream}" if upstream == "cohere_chat" else f"to-{upstream}"
    environment = {"BASE": line.gateway.url, "KEY": DEV.key, "MODEL": f"to-{upstream}", "THINKING_MODEL": thinking}
    code, output, errors = await run_node(str(PROGRAMS / f"{client}.mjs"), **environment)
    assert code == 0, errors.decode()
    seen = json.loads(output)
    ended, called = ENDINGS[client]
    if client == upstream == "google_generate":
        called = "FUNCTION_CALL"  # passed through; aimock's, not Google's
    hello = {"text": "Hello from far away.", "thinking": "", "calls": [], "stop": ended, "usage": [11, 7]}
    assert seen["plain"] == seen["streamed"] == hello
    for rounds in (seen["tools"], seen["tools_streamed"]):
        first, second = rounds
        assert first["calls"] == [["get_weather", {"city": "Paris"}], ["get_time", {"zone": "Europe/Paris"}]]
        assert first["stop"] == called
        assert (second["text"], second["calls"], second["stop"]) == ("20C at noon", [], ended)
    assert (seen["thinking"]["text"], seen["thinking"]["thinking"]) == ("42", "six times seven")
    assert seen["failed"] == seen["failed_stream"] == {"kind": FAILURES[client], "status": 429}
