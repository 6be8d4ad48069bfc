"""Reads a Cohere request into the neutral model."""

from typing import Any

from asgi_gateway.canonical import (
    ChatRequest,
    Extra,
    FunctionTool,
    Losses,
    OutputFormat,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from asgi_gateway.dialects.cohere_chat.citations import NAME
from asgi_gateway.dialects.cohere_chat.message_reader import read_turn
from asgi_gateway.dialects.cohere_chat.thinking import read_thinking
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.node import Node, decode_object

__all__ = ["read_request"]

ESSENTIAL = frozenset({"documents"})
"""Fields without which a request would mean something else."""


def read_request(body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
    """A caller's body. Raises `InvalidRequest` with `param` for what is wrong in it."""
    node = Node(decode_object(body))
    node.skip("stream", "model")
    instructions, turns = _conversation(node, losses)
    strict = node.flag("strict_tools")
    tools = tuple(_tool(tool, strict) for tool in node.objects("tools"))
    thinking = node.object("thinking")
    return ChatRequest(
        model=outline.model,
        turns=turns,
        instructions=instructions,
        tools=tools,
        tool_choice=_tool_choice(node),
        sampling=_sampling(node),
        output=_output(node, losses),
        reasoning=None if thinking is None else read_thinking(thinking, losses),
        stream=outline.stream,
        wants_usage=True,
        extras=tuple(Extra(NAME, name, value, name in ESSENTIAL) for name, value in node.unread().items()),
    )


def _conversation(node: Node, losses: Losses) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """System texts in front of the first other message are instructions; tool messages in a row are one turn."""
    instructions: list[Text] = []
    turns: list[Turn] = []
    for message in node.objects("messages"):
        turn = read_turn(message, losses)
        if turn.role == "system" and not turns and all(isinstance(part, Text) for part in turn.parts):
            instructions += [part for part in turn.parts if isinstance(part, Text)]
        elif turn.role == "tool" and turns and turns[-1].role == "tool":
            turns[-1] = Turn("tool", (*turns[-1].parts, *turn.parts))
        else:
            turns.append(turn)
    return tuple(instructions), tuple(turns)


def _tool(node: Node, strict: bool | None) -> Tool:
    kind = node.text("type", "function")
    if kind != "function":
        raise node.unknown("type", "'function'")
    function = node.object("function")
    if function is None:
        raise node.missing("function")
    parameters = function.object("parameters")
    return FunctionTool(
        name=function.require_text("name"),
        description=function.text("description"),
        parameters=None if parameters is None else parameters.value,
        strict=strict,
        extras=function.unread(),
        dialect=NAME,
    )


def _tool_choice(node: Node) -> ToolChoice | None:
    choice = node.text("tool_choice")
    if not choice:
        return None
    if choice not in ("REQUIRED", "NONE"):
        raise node.unknown("tool_choice", "'REQUIRED' and 'NONE'")
    return ToolChoice("required" if choice == "REQUIRED" else "none")


def _sampling(node: Node) -> Sampling:
    return Sampling(
        max_output=node.integer("max_tokens", least=1),
        temperature=node.number("temperature"),
        top_p=node.number("p"),
        top_k=node.integer("k", least=0),
        stop=node.texts("stop_sequences"),
        seed=node.integer("seed", most=(1 << 64) - 1),
        presence_penalty=node.number("presence_penalty"),
        frequency_penalty=node.number("frequency_penalty"),
        logprobs=bool(node.flag("logprobs")),
    )


def _output(node: Node, losses: Losses) -> OutputFormat | None:
    form = node.object("response_format")
    if form is None:
        return None
    kind = form.require_text("type")
    schema: dict[str, Any] | None = None
    if kind == "json_object":
        # `schema` is the older name of the field.
        found = form.object("json_schema") or form.object("schema")
        schema = None if found is None else dict(found.value)
    elif kind != "text":
        raise form.unknown("type", "'text' and 'json_object'")
    for name in form.unread():
        losses.dropped(f"response_format.{name}")
    if kind == "text":
        return OutputFormat(kind="text")
    return OutputFormat(kind="json") if schema is None else OutputFormat(kind="schema", schema=schema)
