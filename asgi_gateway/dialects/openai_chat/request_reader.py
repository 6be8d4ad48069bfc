"""A caller's body as a canonical request.

Follows `CreateChatCompletionRequest` of OpenAI's OpenAPI document. Fields of look-alikes that say what another field
says here are read as that: `top_k`, `min_p`, `enable_thinking`, `thinking_budget` (Qwen), `thinking` (DeepSeek, Kimi,
GLM, Doubao), `reasoning` (OpenRouter), `extra_body.google` (Gemini). All others become extras.
"""

from typing import Any, cast

from asgi_gateway.canonical import (
    BUDGETS,
    ChatRequest,
    Effort,
    Extra,
    Losses,
    OutputFormat,
    Reasoning,
    Sampling,
)
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.node import Node, decode_object
from asgi_gateway.dialects.openai_chat.content import DIALECT, note_unread
from asgi_gateway.dialects.openai_chat.message_reader import MessageReader
from asgi_gateway.dialects.openai_chat.tools import read_choice, read_tools

__all__ = ["read_request"]

ESSENTIAL = frozenset({"mcp_servers", "moderation", "plugins", "search_parameters", "search_settings"})
"""Unknown elsewhere, and more than knobs: features of OpenRouter, xAI, Groq and OpenAI."""


def read_request(body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
    """Read a body. Raises `InvalidRequest` with `param` for what OpenAI would refuse, too."""
    node = Node(decode_object(body))
    reader = MessageReader(losses)
    reader.read(node.objects("messages"))
    cached, reasoning = _google(node, _reasoning(node, losses))
    modalities = node.texts("modalities")
    audio = node.object("audio")
    node.skip("model", "messages", "stream", "stream_options")
    _note_options(node, losses)
    return ChatRequest(
        model=outline.model,
        turns=tuple(reader.turns),
        instructions=tuple(reader.instructions),
        tools=read_tools(node, losses),
        tool_choice=read_choice(node),
        parallel_tools=node.flag("parallel_tool_calls"),
        sampling=_sampling(node, outline),
        output=_output(node, losses),
        verbosity=node.text("verbosity"),
        reasoning=reasoning,
        stream=outline.stream,
        wants_usage=outline.wants_usage,
        user=node.text("user") or node.text("safety_identifier"),
        metadata=_metadata(node, losses),
        service_tier=node.text("service_tier"),
        store=node.flag("store"),
        cache_key=node.text("prompt_cache_key"),
        cache_retention=node.text("prompt_cache_retention"),
        cached_content=cached,
        modalities=() if modalities == ("text",) else modalities,
        audio=None if audio is None else audio.value,
        # Last: what is still unread by now is known to nobody.
        extras=tuple(Extra(DIALECT, name, value, name in ESSENTIAL) for name, value in node.unread().items()),
    )


def _note_options(node: Node, losses: Losses) -> None:
    options = node.object("stream_options")
    if options is not None:
        options.skip("include_usage", "include_obfuscation")
        note_unread(options, losses)


def _sampling(node: Node, outline: RequestOutline) -> Sampling:
    node.skip("max_tokens", "max_completion_tokens", "n")
    stop = node.any("stop")
    bias = node.object("logit_bias")
    top_k = node.integer("top_k", -1)
    return Sampling(
        max_output=outline.max_output,
        temperature=node.number("temperature"),
        top_p=node.number("top_p"),
        top_k=top_k if top_k is None or top_k > 0 else None,  # 0 and -1 mean "all" where they are allowed
        min_p=node.number("min_p"),
        stop=(stop,) if isinstance(stop, str) else node.texts("stop"),
        seed=_seed(node),
        presence_penalty=node.number("presence_penalty"),
        frequency_penalty=node.number("frequency_penalty"),
        choices=outline.choices,
        logprobs=node.flag("logprobs") or False,
        top_logprobs=node.integer("top_logprobs", 0),
        logit_bias=None if bias is None else bias.value,
    )


def _seed(node: Node) -> int | None:
    seed = node.number("seed")
    if seed is None or isinstance(seed, int):
        return seed
    raise node.wrong("seed", "a whole number")


def _output(node: Node, losses: Losses) -> OutputFormat | None:
    format = node.object("response_format")
    if format is None:
        return None
    match format.text("type"):
        case "text":
            return OutputFormat(kind="text")
        case "json_object":
            return OutputFormat(kind="json")
        case "json_schema":
            inner = format.object("json_schema")
            if inner is None:
                raise format.missing("json_schema")
            schema = inner.object("schema")
            output = OutputFormat(
                kind="schema",
                name=inner.text("name"),
                description=inner.text("description"),
                schema=None if schema is None else schema.value,
                strict=inner.flag("strict"),
            )
            note_unread(inner, losses)
            return output
    raise format.unknown("type", "'json_object', 'json_schema' and 'text'")


def _metadata(node: Node, losses: Losses) -> dict[str, str] | None:
    metadata = node.object("metadata")
    if metadata is None:
        return None
    kept = {name: value for name, value in metadata.value.items() if isinstance(value, str)}
    if len(kept) < len(metadata.value):
        losses.dropped("metadata")
    return kept


def _effort(value: Any) -> Effort | None:
    return cast(Effort, value) if value in BUDGETS else None


def _reasoning(node: Node, losses: Losses) -> Reasoning | None:
    """What the body says about reasoning, in whichever of the ways; the more special one wins."""
    effort = _effort(node.text("reasoning_effort"))
    if "reasoning_effort" in node and effort is None:
        losses.dropped("reasoning_effort")
    enabled, budget, adaptive, visible, summary = None, None, False, None, ""
    switch = node.any("enable_thinking")
    if isinstance(switch, bool):
        enabled = switch
    budget = node.integer("thinking_budget", -1)
    thinking = node.object("thinking")
    if thinking is not None:
        kind = thinking.text("type")
        enabled = {"enabled": True, "disabled": False}.get(kind, enabled)
        adaptive = kind in ("adaptive", "auto")
        stated = thinking.integer("budget_tokens", -1)
        budget = budget if stated is None else stated
        note_unread(thinking, losses)
    reasoning = node.object("reasoning")
    if reasoning is not None:
        effort = _effort(reasoning.text("effort")) or effort
        stated, switch = reasoning.integer("max_tokens", 0), reasoning.flag("enabled")
        budget, enabled = budget if stated is None else stated, enabled if switch is None else switch
        visible = {True: False, False: True, None: None}[reasoning.flag("exclude")]
        summary = reasoning.text("summary")
        note_unread(reasoning, losses)
    found = Reasoning(
        enabled=enabled, effort=effort, budget=budget, adaptive=adaptive, visible=visible, summary=summary
    )
    return None if found == Reasoning() else found


def _google(node: Node, reasoning: Reasoning | None) -> tuple[str, Reasoning | None]:
    """What stands in `extra_body.google`: a cache, and how to think. https://ai.google.dev/gemini-api/docs/openai."""
    body = node.value.get("extra_body")
    google = body.get("google") if isinstance(body, dict) else None
    if not isinstance(google, dict) or not google.keys() <= {"cached_content", "thinking_config"}:
        return "", reasoning
    node.skip("extra_body")
    inner = Node(google, "extra_body.google")
    config = inner.object("thinking_config")
    if config is not None:
        reasoning = Reasoning(
            effort=_effort(config.text("thinking_level").lower()) or (reasoning.effort if reasoning else None),
            budget=config.integer("thinking_budget", -1),
            visible=config.flag("include_thoughts"),
        )
    return inner.text("cached_content"), reasoning
