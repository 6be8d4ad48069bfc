"""Features of requests: what a caller asks for."""

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    CustomTool,
    Extra,
    FunctionTool,
    HostedTool,
    Inline,
    Media,
    OutputFormat,
    PlainText,
    Reasoning,
    Remote,
    Sampling,
    Stored,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    effort_of,
)
from support.matrix.feature import Feature, ask, parts_of, plain, turn_texts

__all__ = ["ASKED"]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOL = FunctionTool(name="weather", description="Tells the weather", parameters=SCHEMA)
OTHER = FunctionTool(name="clock", description="Tells the time", parameters={"type": "object", "properties": {}})
THIRD = FunctionTool(name="calendar", description="Tells the day", parameters={"type": "object", "properties": {}})
ODD = "call:" + "x" * 80 + ".|"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJUVPRgo="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA"


def _call(id: str, name: str = "weather", arguments: str = '{"city":"Berlin"}') -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments)


def _result(id: str, text: str, **more: Any) -> ToolResult:
    return ToolResult(call_id=id, parts=(Text(text),), name="weather", **more)


def _calls(request: ChatRequest) -> list[Any]:
    """Names and arguments of calls, and each result with the name and arguments of its call."""
    calls = {part.id: part for part in parts_of(request, ToolCall)}
    told = [(part.name, json.loads(part.arguments or "{}")) for part in calls.values()]
    results = [
        (calls[part.call_id].name if part.call_id in calls else "?", _shown(part), part.failed)
        for part in parts_of(request, ToolResult)
    ]
    return [told, results] if told else []


def _shown(result: ToolResult) -> str:
    """A result's text; what Google's wrapping adds around it is taken off."""
    text = plain(" ".join(part.text for part in result.parts if isinstance(part, Text)))
    return str(text)


def _media(request: ChatRequest) -> list[Any]:
    return [(part.kind, _content(part.source)) for part in parts_of(request, Media)]


def _content(source: Any) -> Any:
    """A text is the same in base64."""
    if isinstance(source, Inline) and source.media_type.startswith("text/plain"):
        return PlainText(b64decode(source.data).decode())
    return source


def _loose_media(request: ChatRequest) -> list[Any]:
    """Media without what a dialect does not say of it, such as the type of what stands at an address."""
    told: list[Any] = []
    for kind, source in _media(request):
        told.append((kind, source.url if isinstance(source, Remote) else source))
    return told


def _field(name: str) -> Callable[[ChatRequest], Any]:
    return lambda request: getattr(request, name) or None


def _sampling(*names: str) -> Callable[[ChatRequest], Any]:
    def told(request: ChatRequest) -> Any:
        values = {name: getattr(request.sampling, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, (), False)}

    return told


def _extra(name: str) -> Callable[[ChatRequest], Any]:
    return lambda request: [extra.value for extra in request.extras if extra.name == name]


def _tools(request: ChatRequest) -> list[Any]:
    return [(tool.name, tool.description, tool.parameters) for tool in request.tools if isinstance(tool, FunctionTool)]


def _strict(request: ChatRequest) -> list[Any]:
    """The names of strict tools. Google's mode VALIDATED makes all of them strict."""
    validated = Extra("google_generate", "toolConfig.functionCallingConfig", {"mode": "VALIDATED"})
    if validated in request.extras:
        return [tool.name for tool in request.tools if isinstance(tool, FunctionTool)]
    return [tool.name for tool in request.tools if isinstance(tool, FunctionTool) and tool.strict]


def _custom(request: ChatRequest) -> list[Any]:
    return [tool.name for tool in request.tools if isinstance(tool, CustomTool)]


def _hosted(request: ChatRequest) -> list[Any]:
    return [tool.kind for tool in request.tools if isinstance(tool, HostedTool)]


def _choice(request: ChatRequest) -> Any:
    choice = request.tool_choice
    names = sorted(tool.name for tool in request.tools if isinstance(tool, FunctionTool))
    return None if choice is None else (choice.mode, choice.names, choice.required, names)


def _free_choice(request: ChatRequest) -> Any:
    """Nothing said is "auto" everywhere, as long as there are tools."""
    choice = request.tool_choice
    return bool(request.tools) and ("auto" if choice is None else choice.mode)


def _format(request: ChatRequest) -> Any:
    output = request.output
    if output is None or output.kind == "text":
        return None
    return (output.kind, output.schema)


def _marks(request: ChatRequest) -> Any:
    texts = [*request.instructions, *parts_of(request, Text)]
    return [(text.text, text.cache.ttl) for text in texts if text.cache is not None]


def _effort(request: ChatRequest) -> Any:
    return None if request.reasoning is None else effort_of(request.reasoning)


def _budget(request: ChatRequest) -> Any:
    return None if request.reasoning is None else request.reasoning.budget


def _off(request: ChatRequest) -> Any:
    asked = request.reasoning
    return asked is not None and (asked.enabled is False or asked.effort == "none" or asked.budget == 0)


def _with_tools(**more: Any) -> ChatRequest:
    return ask(tools=(TOOL, OTHER), **more)


def _history(*turns: Turn) -> ChatRequest:
    return ask(Turn("user", (Text("Weather?"),)), *turns, tools=(TOOL, OTHER))


def _sees(media: Media) -> ChatRequest:
    return ask(Turn("user", (Text("What is this?"), media)))


ASKED: tuple[Feature, ...] = (
    Feature("text", "text", ask(), turn_texts),
    Feature(
        "system",
        "system text",
        ask(instructions=(Text("Be brief."),)),
        lambda request: plain([text.text for text in request.instructions]),
    ),
    Feature(
        "system-between",
        "system text between turns",
        ask(
            Turn("user", (Text("Hi"),)),
            Turn("assistant", (Text("Yes?"),)),
            Turn("system", (Text("Be rude."),)),
            Turn("user", (Text("Go on"),)),
        ),
        lambda request: [text for role, text in turn_texts(request) if role == "system"],
    ),
    Feature(
        "turns",
        "several turns",
        ask(Turn("user", (Text("Hi"),)), Turn("assistant", (Text("Yes?"),)), Turn("user", (Text("Go on"),))),
        turn_texts,
    ),
    Feature(
        "names",
        "names of participants",
        ask(Turn("user", (Text("Hi"),), "anna")),
        lambda request: [turn.name for turn in request.turns if turn.name],
    ),
    Feature("tools", "tools", _with_tools(), _tools),
    Feature(
        "strict-tools",
        "strict tools",
        ask(tools=(FunctionTool(name="weather", parameters={**SCHEMA, "additionalProperties": False}, strict=True),)),
        _strict,
    ),
    Feature(
        "custom-tools", "tools of free text", ask(tools=(CustomTool(name="sql", description="Runs SQL"),)), _custom
    ),
    Feature("tool-choice-auto", "tool choice: auto", _with_tools(tool_choice=ToolChoice("auto")), _free_choice),
    Feature("tool-choice-required", "tool choice: any", _with_tools(tool_choice=ToolChoice("required")), _choice),
    Feature("tool-choice-none", "tool choice: none", _with_tools(tool_choice=ToolChoice("none")), _choice),
    Feature("tool-choice-one", "tool choice: one", _with_tools(tool_choice=ToolChoice("tool", ("weather",))), _choice),
    Feature(
        "tool-choice-some",
        "tool choice: some",
        ask(tools=(TOOL, OTHER, THIRD), tool_choice=ToolChoice("allowed", ("weather", "clock"), required=True)),
        _choice,
    ),
    Feature(
        "serial-tools",
        "parallel calls off",
        _with_tools(parallel_tools=False),
        lambda request: request.parallel_tools is False,
    ),
    Feature(
        "tool-result",
        "a call and its result",
        _history(Turn("assistant", (_call("call_1"),)), Turn("tool", (_result("call_1", "sunny"),))),
        _calls,
    ),
    Feature(
        "parallel-results",
        "parallel calls and results",
        _history(
            Turn("assistant", (Text("Let me see."), _call("call_1"), _call("call_2", "clock", "{}"))),
            Turn(
                "tool", (_result("call_1", "sunny"), ToolResult(call_id="call_2", parts=(Text("noon"),), name="clock"))
            ),
            Turn("assistant", (_call("call_3"),)),
            Turn("tool", (_result("call_3", "rain"),)),
        ),
        _calls,
    ),
    Feature(
        "odd-ids",
        "ids of calls that another vendor made",
        _history(
            Turn("assistant", (_call(ODD), _call(ODD + "2", "clock", "{}"))),
            Turn("tool", (ToolResult(call_id=ODD + "2", parts=(Text("noon"),), name="clock"), _result(ODD, "sunny"))),
        ),
        lambda request: [sorted(map(repr, side)) for side in _calls(request)],
    ),
    Feature(
        "tool-failure",
        "a result that is a failure",
        _history(
            Turn("assistant", (_call("call_1"),)), Turn("tool", (_result("call_1", "no such city", failed=True),))
        ),
        lambda request: [part.failed for part in parts_of(request, ToolResult) if part.failed],
    ),
    Feature(
        "tool-result-image",
        "a result with an image",
        _history(
            Turn("assistant", (_call("call_1"),)),
            Turn(
                "tool",
                (
                    ToolResult(
                        call_id="call_1",
                        parts=(Text("a map"), Media(kind="image", source=Inline("image/png", PNG))),
                        name="weather",
                    ),
                ),
            ),
        ),
        lambda request: [
            (part.kind, part.source)
            for result in parts_of(request, ToolResult)
            for part in result.parts
            if isinstance(part, Media)
        ],
        newest=True,
    ),
    Feature("image", "image", _sees(Media(kind="image", source=Inline("image/png", PNG))), _media),
    Feature(
        "image-url",
        "image at an address",
        _sees(Media(kind="image", source=Remote("https://example.com/a.png", "image/png"))),
        _loose_media,
    ),
    Feature(
        "image-detail",
        "detail of an image",
        _sees(Media(kind="image", source=Inline("image/png", PNG), detail="low")),
        lambda request: [part.detail for part in parts_of(request, Media) if part.detail],
    ),
    Feature(
        "document",
        "document (PDF)",
        _sees(Media(kind="document", source=Inline("application/pdf", PDF), name="a.pdf")),
        _media,
    ),
    Feature(
        "document-url",
        "document at an address",
        _sees(Media(kind="document", source=Remote("https://example.com/a.pdf", "application/pdf"))),
        _loose_media,
    ),
    Feature(
        "document-text",
        "document of text",
        _sees(Media(kind="document", source=PlainText("Once upon a time"), title="Tale")),
        _media,
    ),
    Feature("audio", "sound", _sees(Media(kind="audio", source=Inline("audio/wav", WAV))), _media),
    Feature("video", "film", _sees(Media(kind="video", source=Inline("video/mp4", "AAAA"))), _media),
    Feature(
        "stored-file",
        "file that the caller's vendor keeps",
        _sees(Media(kind="document", source=Stored("file-abc123", "*", "application/pdf"))),
        lambda request: [part.source.id for part in parts_of(request, Media) if isinstance(part.source, Stored)],
    ),
    Feature("json", "JSON as output", ask(output=OutputFormat(kind="json")), _format),
    Feature(
        "json-schema",
        "output by a schema",
        ask(output=OutputFormat(kind="schema", name="place", schema={**SCHEMA, "additionalProperties": False})),
        _format,
    ),
    Feature("max-output", "bound of the output", ask(sampling=Sampling(max_output=2000)), _sampling("max_output")),
    Feature("temperature", "temperature", ask(sampling=Sampling(temperature=0.5)), _sampling("temperature")),
    Feature("top-p", "top_p", ask(sampling=Sampling(top_p=0.5)), _sampling("top_p")),
    Feature("top-k", "top_k", ask(sampling=Sampling(top_k=5)), _sampling("top_k")),
    Feature("stop-sequences", "stop sequences", ask(sampling=Sampling(stop=("END", "STOP"))), _sampling("stop")),
    Feature("seed", "seed", ask(sampling=Sampling(seed=7)), _sampling("seed")),
    Feature(
        "penalties",
        "penalties",
        ask(sampling=Sampling(presence_penalty=0.5, frequency_penalty=0.25)),
        _sampling("presence_penalty", "frequency_penalty"),
    ),
    Feature("logit-bias", "logit_bias", ask(sampling=Sampling(logit_bias={"50256": -100})), _sampling("logit_bias")),
    Feature("effort", "effort of reasoning", ask(reasoning=Reasoning(effort="high")), _effort, thinks=True),
    Feature("budget", "budget of reasoning", ask(reasoning=Reasoning(budget=2048)), _budget, thinks=True),
    Feature(
        "no-reasoning",
        "reasoning off",
        ask(reasoning=Reasoning(effort="none", enabled=False)),
        _off,
        thinks=True,
        unasked=frozenset({"anthropic_messages", "bedrock_converse", "cohere_chat"}),
    ),
    Feature("cache-marks", "marks for the cache", ask(instructions=(Text("Long.", (), CacheMark("5m")),)), _marks),
    Feature(
        "cache-marks-within",
        "marks for the cache on tools and turns",
        ask(
            Turn("user", (Text("Long.", (), CacheMark("1h")),)),
            tools=(msgspec.structs.replace(TOOL, cache=CacheMark("1h")),),
        ),
        lambda request: [*_marks(request), *(tool.name for tool in request.tools if getattr(tool, "cache", None))],
    ),
    Feature("cache-key", "key for the cache", ask(cache_key="k1"), _field("cache_key")),
    Feature(
        "cached-content", "reference to a cache", ask(cached_content="cachedContents/c1"), _field("cached_content")
    ),
    Feature("end-user", "name of the end user", ask(user="u1"), _field("user")),
    Feature("metadata", "metadata", ask(metadata={"team": "blue"}), _field("metadata")),
    Feature("service-tier", "service tier", ask(service_tier="flex"), _field("service_tier")),
    Feature("verbosity", "verbosity", ask(verbosity="low"), _field("verbosity"), thinks=True),
    Feature("store", "store", ask(store=True), lambda request: request.store),
    Feature(
        "previous-response",
        "previous_response_id",
        ask(extras=(Extra("openai_responses", "previous_response_id", "resp_1", essential=True),)),
        _extra("previous_response_id"),
    ),
    Feature(
        "background",
        "background",
        ask(extras=(Extra("openai_responses", "background", True, essential=True),)),
        _extra("background"),
    ),
    Feature(
        "audio-output",
        "sound as output",
        ask(modalities=("text", "audio"), audio={"voice": "alloy", "format": "wav"}),
        lambda request: [kind for kind in request.modalities if kind == "audio"],
    ),
    Feature(
        "image-output",
        "images as output",
        ask(modalities=("text", "image")),
        lambda request: [kind for kind in request.modalities if kind == "image"],
    ),
    Feature(
        "web-search",
        "web search of the vendor's",
        ask(tools=(HostedTool(kind="web_search", dialect="", native=None),)),
        _hosted,
    ),
    Feature(
        "code-execution",
        "code execution of the vendor's",
        ask(tools=(HostedTool(kind="code_execution", dialect="", native=None),)),
        _hosted,
    ),
)
