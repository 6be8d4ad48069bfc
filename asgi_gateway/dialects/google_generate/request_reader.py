"""A caller's request, read into the neutral model.

Follows https://ai.google.dev/api/generate-content#request-body and Vertex's generateContent. Both spellings of every
field are taken.
"""

from typing import Any

from asgi_gateway.canonical import (
    ChatRequest,
    Extra,
    Losses,
    OutputFormat,
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.google_generate.names import DEFAULT_TIER, NAME
from asgi_gateway.dialects.google_generate.part_reader import PartReader
from asgi_gateway.dialects.google_generate.schemas import json_schema
from asgi_gateway.dialects.google_generate.spelling import camel_case, with_lists
from asgi_gateway.dialects.google_generate.thinking import read_thinking
from asgi_gateway.dialects.google_generate.thoughts import joined_thoughts
from asgi_gateway.dialects.google_generate.tool_reader import read_tool_choice, read_tools
from asgi_gateway.dialects.node import Node, decode_object, plain_path

__all__ = ["read_request"]

JSON = "application/json"

_MODALITIES = {"TEXT": "text", "IMAGE": "image", "AUDIO": "audio", "VIDEO": "video"}


def read_request(body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
    """Read a body. Unknown fields of the top level and of `generationConfig` become extras.

    Raises `InvalidRequest` with `param` for what cannot be read.
    """
    node = with_lists(Node(camel_case(body, decode_object(body))), "contents", "tools")
    node.skip("model")
    turns = _turns(node, losses)
    tools = read_tools(node, losses)
    choice, tool_config = read_tool_choice(node)
    extras = [Extra(NAME, "toolConfig." + name, value) for name, value in tool_config.items()]
    config = node.object("generationConfig") or Node({}, "generationConfig")
    sampling = _sampling(config)
    output = _output(config, losses)
    reasoning = _reasoning(config)
    modalities = _modalities(config)
    extras += [Extra(NAME, "generationConfig." + name, value) for name, value in config.unread().items()]
    instructions = _instructions(node, losses)
    cached = node.text("cachedContent")
    tier = node.text("serviceTier").lower()
    tier = DEFAULT_TIER.get(tier, tier)
    store = node.flag("store")
    extras += [Extra(NAME, name, value) for name, value in node.unread().items()]
    return ChatRequest(
        model=outline.model,
        turns=turns,
        instructions=instructions,
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        output=output,
        reasoning=reasoning,
        stream=outline.stream,
        service_tier=tier,
        store=store,
        cached_content=cached,
        modalities=modalities,
        extras=tuple(extras),
    )


def _turns(body: Node, losses: Losses) -> tuple[Turn, ...]:
    reader = PartReader(losses)
    turns: list[Turn] = []
    for given in body.objects("contents"):
        content = with_lists(given, "parts")
        role: Role = _role(content)
        parts: list[Part] = []
        for node in content.objects("parts"):
            part = reader.read(node)
            if part is not None:
                parts.append(part)
        for name in content.unread():
            losses.dropped(plain_path(content.at(name)))
        turns += _split(role, parts)
    return tuple(joined_thoughts(turns))


def _role(content: Node) -> Role:
    match content.text("role", "user"):
        case "user" | "function" | "tool" | "":
            return "user"
        case "model" | "assistant":
            return "assistant"
        case "system":
            return "system"
    raise content.unknown("role", "user, model")


def _split(role: Role, parts: list[Part]) -> list[Turn]:
    """Results of functions become turns of their own."""
    turns: list[Turn] = []
    run: list[Part] = []
    results = False
    for part in parts:
        is_result = isinstance(part, ToolResult)
        if run and is_result is not results:
            turns.append(Turn("tool" if results else role, tuple(run)))
            run = []
        results = is_result
        run.append(part)
    if run:
        turns.append(Turn("tool" if results else role, tuple(run)))
    return turns


def _instructions(body: Node, losses: Losses) -> tuple[Text, ...]:
    content = body.object("systemInstruction")
    if content is None:
        return ()
    content = with_lists(content, "parts")
    content.skip("role")
    texts: list[Text] = []
    for part in content.objects("parts"):
        text = part.text("text")
        if text:
            texts.append(Text(text))
        for name in part.unread():
            losses.dropped(plain_path(part.at(name)))
    return tuple(texts)


def _sampling(config: Node) -> Sampling:
    top = config.integer("logprobs", 0)
    return Sampling(
        max_output=config.integer("maxOutputTokens", 1),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.integer("topK"),
        stop=config.texts("stopSequences"),
        seed=config.integer("seed"),
        presence_penalty=config.number("presencePenalty"),
        frequency_penalty=config.number("frequencyPenalty"),
        choices=config.integer("candidateCount", 1, 128) or 1,
        logprobs=bool(config.flag("responseLogprobs")),
        top_logprobs=top,
    )


def _output(config: Node, losses: Losses) -> OutputFormat | None:
    kind = config.text("responseMimeType")
    plain, own = config.object("responseJsonSchema"), config.object("responseSchema")
    schema: dict[str, Any] | None = None
    if plain is not None:
        schema = dict(plain.value)
    elif own is not None:
        schema = json_schema(own.value)
    if kind == "text/x.enum":
        losses.approximated("generationConfig.responseMimeType")
    if schema is not None:
        return OutputFormat(kind="schema", schema=schema)
    return OutputFormat(kind="json") if kind == JSON else None


def _reasoning(config: Node) -> Reasoning | None:
    thinking = config.object("thinkingConfig")
    return None if thinking is None else read_thinking(thinking)


def _modalities(config: Node) -> tuple[str, ...]:
    """The kinds of output; text alone is what every request wants."""
    names = [name.upper() for name in config.texts("responseModalities")]
    kinds = tuple(dict.fromkeys(_MODALITIES[name] for name in names if name in _MODALITIES))
    return () if kinds == ("text",) else kinds
