"""Tools that OpenAI's responses and Google tell outside of their usage, plain, streamed and passing."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from asgi_gateway.canonical import Usage
from support.usages import LONG, both, both_streamed, events, tapped

# OpenAI's responses

TOTALS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
SEARCH = {"type": "web_search_call", "id": "s", "status": "completed", "action": {"type": "search", "query": "q"}}
PAGE = {"type": "web_search_call", "id": "p", "status": "completed", "action": {"type": "open_page", "url": "u"}}
WORD = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "find_in_page", "pattern": "x"}}
FILES = {"type": "file_search_call", "id": "f", "status": "completed", "queries": ["q"], "results": None}
CODE = {"type": "code_interpreter_call", "id": "c", "status": "completed", "code": "1", "outputs": []}
MCP = {"type": "mcp_call", "id": "m", "name": "n", "arguments": "{}", "output": "o", "status": "completed"}
BROKEN = {"type": "mcp_call", "id": "b", "name": "n", "arguments": "{}", "error": "e", "status": "failed"}
SCREEN = {"type": "computer_call", "id": "k", "call_id": "k", "status": "completed", "action": {"type": "wait"}}
XSEARCH = {"type": "x_search_call", "id": "x", "status": "completed"}
FUNCTION = {"type": "function_call", "id": "fc", "call_id": "fc", "name": "f", "arguments": "{}", "status": "completed"}
IMAGE = {
    "type": "image_generation_call",
    "id": "i",
    "status": "completed",
    "quality": "high",
    "result": "QQ==",
    "size": "1024x1024",
}
MESSAGE = {
    "type": "message",
    "id": "a",
    "role": "assistant",
    "content": [{"type": "output_text", "text": '"mcp_call"'}],
}
ITEMS = [SEARCH, SEARCH, PAGE, WORD, FILES, CODE, MCP, BROKEN, SCREEN, XSEARCH, FUNCTION, IMAGE, MESSAGE]
TOOLS = (
    ("web_search", 2),
    ("file_search", 1),
    ("code_execution", 1),
    ("image_generation", 1),
    ("computer_use", 1),
    ("mcp", 1),
    ("other", 1),
)
ALL = Usage(input=10, output=5, tools=TOOLS, images=(("high/1024x1024", 1),), service_tier="flex")


def answer(*items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    response = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": list(items)}
    return {**response, "service_tier": "flex", "usage": TOTALS, **more}


def stream(response: Mapping[str, Any], *items: Mapping[str, Any]) -> bytes:
    done = (
        {"type": "response.output_item.done", "output_index": number, "item": item} for number, item in enumerate(items)
    )
    return events(
        {"type": "response.created", "response": {"id": "r"}},
        *done,
        {"type": "response.completed", "response": response},
        named=True,
    )


def test_responses_count_items_that_are_charged() -> None:
    """Not pages of a search, nor what failed, nor what runs at the caller's."""
    assert both("openai_responses", answer(*ITEMS)) == ALL
    assert both_streamed("openai_responses", stream(answer(*ITEMS), *ITEMS)) == ALL


def test_responses_that_end_without_their_output() -> None:
    """The items that came before are counted, also where most have been looked at long before the end."""
    padding = [{**MESSAGE, "id": f"a{number}", "content": []} for number in range(400)]
    for output in ([], None):
        ending = {**answer(), "output": output}
        assert tapped("openai_responses", stream(ending, *ITEMS), stream=True, size=50) == ALL
        assert tapped("openai_responses", stream(ending, *ITEMS, *padding), stream=True, size=50) == ALL
    assert tapped("openai_responses", stream({**answer(), "output": 1}, *ITEMS), stream=True) == ALL
    odd = events({"type": 1, "was": "response.output_item.done", "item": MCP}, {"type": "x", "item": None})
    plain = Usage(input=10, output=5, service_tier="flex")
    assert tapped("openai_responses", odd + stream({**answer(), "output": []}), stream=True) == plain
    assert tapped("openai_responses", json.dumps(answer(1)).encode()) == plain  # type: ignore[arg-type] # no item


def test_long_responses_are_counted_as_they_pass() -> None:
    """Images are longer than what is kept: plain, and in the events of a stream."""
    image = {**IMAGE, "result": LONG}
    usage = Usage(input=10, output=5, tools=(("web_search", 1), ("image_generation", 1)), images=ALL.images)
    whole = answer(SEARCH, PAGE, image, BROKEN)
    tiered = Usage(**{**{name: getattr(usage, name) for name in usage.__struct_fields__}, "service_tier": "flex"})
    for size in (5000, 1 << 30):
        assert tapped("openai_responses", json.dumps(whole).encode(), size=size) == tiered
        wire = stream(whole, SEARCH, PAGE, image, BROKEN)
        assert tapped("openai_responses", wire, stream=True, size=size) == tiered
    wire = stream({"text": LONG, **answer(SEARCH)}, SEARCH)
    assert tapped("openai_responses", wire, stream=True, size=5000) == Usage(
        input=10, output=5, tools=(("web_search", 1),), service_tier="flex"
    )


@pytest.mark.parametrize(
    ("output", "more", "tools"),
    [
        ([SEARCH, SEARCH], {"tool_usage": {"web_search": {"num_requests": 1}}}, (("web_search", 1),)),
        ([SEARCH], {"tool_usage": {"web_search": {"num_requests": 0}}}, ()),
        ([SEARCH], {"tool_usage": {}}, (("web_search", 1),)),
        ([SEARCH], {"usage": {**TOTALS, "num_server_side_tools_used": 3}}, (("web_search", 1), ("other", 2))),
        ([SEARCH, SEARCH], {"usage": {**TOTALS, "num_server_side_tools_used": 2}}, (("web_search", 2),)),
        ([], {"usage": {**TOTALS, "num_server_side_tools_used": 2}}, (("other", 2),)),
        (
            [SEARCH],
            {
                "usage": {
                    **TOTALS,
                    "num_server_side_tools_used": 6,
                    "server_side_tool_usage_details": {
                        "web_search_calls": 2,
                        "x_search_calls": 1,
                        "code_interpreter_calls": 1,
                        "document_search_calls": 1,
                    },
                }
            },
            (("web_search", 2), ("file_search", 1), ("code_execution", 1), ("other", 2)),
        ),
    ],
)
def test_what_the_upstream_counted_goes_before_its_items(
    output: list[Any], more: dict[str, Any], tools: tuple[tuple[str, int], ...]
) -> None:
    """And nothing is counted twice."""
    assert both("openai_responses", answer(*output, **more)).tools == tools
    assert both_streamed("openai_responses", stream(answer(*output, **more), *output)).tools == tools


def test_kinds_of_input_that_look_alikes_tell_apart_in_responses() -> None:
    """Sounds and images, never more than there is."""
    details = {"cached_tokens": 1, "audio_tokens": 2, "image_tokens": 3}
    usage = both("openai_responses", answer(usage={**TOTALS, "input_tokens_details": details}, service_tier=None))
    assert usage == Usage(input=4, cache_read=1, audio_input=2, image_input=3, output=5)
    details = {"cached_tokens": 8, "audio_tokens": 9, "image_tokens": 3}
    usage = both("openai_responses", answer(usage={**TOTALS, "input_tokens_details": details}, service_tier=None))
    assert usage == Usage(cache_read=8, audio_input=2, output=5, inconsistent=True)


# Google

REPORT = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
QUERIES = {"groundingMetadata": {"webSearchQueries": ["", "a", "b", "a", 1]}}


def candidate(*parts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": "a"}, *parts]}, "index": 0, **more}


RETRIEVED = {"groundingMetadata": {"groundingChunks": [{"retrievedContext": {}}] * 3}}
PLACES = {"groundingMetadata": {"groundingChunks": [{"maps": {}}] * 3}}
ASKED = {"queries": ["a", "b", "c"]}
RUN = {"executableCode": {"code": "1"}}


def tool(kind: str, **args: Any) -> dict[str, Any]:
    return {"toolCall": {"toolType": kind, "id": kind, "args": args}}


@pytest.mark.parametrize(
    ("model", "told", "tools"),
    [
        ("gemini-3-flash", candidate(**QUERIES), (("web_search", 2),)),
        ("gemini-2.5-flash", candidate(**QUERIES), (("web_search", 1),)),
        ("claude", candidate(**QUERIES), (("web_search", 2),)),
        ("gemini-3-flash", candidate(tool("GOOGLE_SEARCH_WEB", **ASKED)), (("web_search", 3),)),
        ("gemini-3-flash", candidate(tool("GOOGLE_SEARCH_WEB", **ASKED), **QUERIES), (("web_search", 2),)),
        ("gemini-3-flash", candidate(groundingMetadata={"webSearchQueries": [""]}), ()),
        (
            "gemini-3-flash",
            candidate(
                urlContextMetadata={
                    "urlMetadata": [
                        {"retrievedUrl": "u", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
                        {"retrievedUrl": "v"},
                        {"retrievedUrl": "w", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
                    ]
                }
            ),
            (("web_fetch", 2),),
        ),
        ("gemini-2.5-pro", candidate(**RETRIEVED), (("file_search", 1),)),
        ("gemini-3-flash", candidate(tool("FILE_SEARCH"), tool("FILE_SEARCH")), (("file_search", 2),)),
        ("gemini-2.5-pro", candidate(**PLACES), (("other", 1),)),
        ("gemini-3-flash", candidate(tool("GOOGLE_MAPS"), tool("NEW")), (("other", 2),)),
        ("gemini-2.0-flash", candidate(RUN, RUN), (("code_execution", 2),)),
        ("gemini-2.0-flash", candidate(groundingMetadata=1, urlContextMetadata=1), ()),
        ("gemini-2.0-flash", candidate(), ()),
    ],
)
def test_google_tells_tools_in_its_candidates(model: str, told: dict[str, Any], tools: Any) -> None:
    """By query from the third generation on, by prompt before; plain, as an array, and streamed."""
    usage = Usage(input=10, output=5, tools=tools)
    whole = {"candidates": [{**told, "finishReason": "STOP"}], "usageMetadata": REPORT, "modelVersion": model}
    assert both("google_generate", whole) == usage
    assert tapped("google_generate", json.dumps([whole]).encode()) == usage
    end = {
        "candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}],
        "usageMetadata": REPORT,
        "modelVersion": model,
    }
    first = {"candidates": [told], "modelVersion": model}
    assert both_streamed("google_generate", events(first, end)) == usage
    assert both_streamed("google_generate", events({**first, "usageMetadata": REPORT}, end)) == usage


def test_long_answers_of_google_tell_their_searches_at_the_end() -> None:
    """The rest of them is not kept."""
    told = candidate({"text": LONG}, finishReason="STOP", **QUERIES)
    whole = {"candidates": [told], "usageMetadata": REPORT, "modelVersion": "gemini-3-pro"}
    usage = Usage(input=10, output=5, tools=(("web_search", 2),))
    assert tapped("google_generate", json.dumps(whole).encode(), size=9999) == usage
    odd = json.dumps({"x": LONG, "modelVersion": "gemini-3-pro"}).encode()[:-1]
    odd += b', "webSearchQueries": [' + b"\xff" + b'], "usageMetadata": ' + json.dumps(REPORT).encode() + b"}"
    assert tapped("google_generate", odd, size=9999) == Usage(input=10, output=5)


@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ({"serviceTier": "standard"}, ""),
        ({"serviceTier": "FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND"}, ""),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned"),
        ({"serviceTier": "standard", "trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": 1}, ""),
    ],
)
def test_google_has_two_words_for_a_class_of_service(told: dict[str, Any], tier: str) -> None:
    """In the report, of which the second is Vertex's."""
    whole = {"candidates": [candidate(finishReason="STOP")], "usageMetadata": {**REPORT, **told}}
    assert both("google_generate", whole).service_tier == tier
    assert both_streamed("google_generate", events(whole)).service_tier == tier
