"""Reads a request into the neutral model."""

from typing import Any

from asgi_gateway.canonical import ChatRequest, Extra, Losses, OutputFormat, Sampling
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.node import Node, decode_object
from asgi_gateway.dialects.openai_responses.content import note_unread
from asgi_gateway.dialects.openai_responses.item_reader import read_input
from asgi_gateway.dialects.openai_responses.names import ENCRYPTED, NAME
from asgi_gateway.dialects.openai_responses.reasoning import read_reasoning
from asgi_gateway.dialects.openai_responses.tools import read_choice, read_tools

__all__ = ["ESSENTIAL", "LOGPROBS", "read_request"]

ESSENTIAL = frozenset({"previous_response_id", "conversation", "prompt", "moderation"})
"""Fields without which a request would mean something else."""

LOGPROBS = "message.output_text.logprobs"

_SEEN = frozenset({ENCRYPTED, LOGPROBS})
"""What `include` asks for and the neutral model knows."""


def read_request(body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
    """A caller's body. Raises `InvalidRequest` with `param` for what is wrong in it."""
    node = Node(decode_object(body))
    node.skip("model", "stream")
    include = node.texts("include")
    instructions, turns = read_input(node, losses)
    reasoning, text = node.object("reasoning"), node.object("text")
    request = ChatRequest(
        model=outline.model,
        turns=turns,
        instructions=instructions,
        tools=read_tools(node, losses),
        tool_choice=read_choice(node),
        parallel_tools=node.flag("parallel_tool_calls"),
        sampling=_sampling(node, include),
        output=None if text is None else _output(text, losses),
        verbosity="" if text is None else text.text("verbosity"),
        reasoning=None if reasoning is None else read_reasoning(reasoning, losses),
        stream=outline.stream,
        wants_usage=True,
        user=node.text("user") or node.text("safety_identifier"),
        metadata=_metadata(node),
        service_tier=node.text("service_tier"),
        store=node.flag("store"),
        cache_key=node.text("prompt_cache_key"),
        cache_retention=node.text("prompt_cache_retention"),
        extras=_extras(node, include),
    )
    if text is not None:
        note_unread(text, losses)
    return request


def _extras(node: Node, include: tuple[str, ...]) -> tuple[Extra, ...]:
    node.skip("safety_identifier")
    extras = [
        Extra(NAME, name, value, name in ESSENTIAL or (name == "background" and value is True))
        for name, value in node.unread().items()
        if not (name == "background" and value is False) and not (name == "truncation" and value == "disabled")
    ]
    others = [name for name in include if name not in _SEEN]
    if others:
        extras.append(Extra(NAME, "include", others))
    return tuple(extras)


def _sampling(node: Node, include: tuple[str, ...]) -> Sampling:
    top = node.integer("top_logprobs", least=0)
    return Sampling(
        max_output=node.integer("max_output_tokens", least=1),
        temperature=node.number("temperature"),
        top_p=node.number("top_p"),
        logprobs=LOGPROBS in include or bool(top),
        top_logprobs=top,
        # Not OpenAI's, but some look-alikes take them.
        presence_penalty=node.number("presence_penalty"),
        frequency_penalty=node.number("frequency_penalty"),
    )


def _output(text: Node, losses: Losses) -> OutputFormat | None:
    form = text.object("format")
    if form is None:
        return None
    kind = form.require_text("type")
    match kind:
        case "text":
            output = OutputFormat(kind="text")
        case "json_object":
            output = OutputFormat(kind="json")
        case "json_schema":
            schema = form.object("schema")
            output = OutputFormat(
                kind="schema",
                name=form.text("name"),
                description=form.text("description"),
                schema=None if schema is None else schema.value,
                strict=form.flag("strict"),
            )
        case _:
            raise form.unknown("type", "'text', 'json_object' and 'json_schema'")
    note_unread(form, losses)
    return output


def _metadata(node: Node) -> dict[str, str] | None:
    metadata = node.object("metadata")
    if metadata is None:
        return None
    found: dict[str, Any] = {name: metadata.text(name) for name in metadata.value}
    return found
