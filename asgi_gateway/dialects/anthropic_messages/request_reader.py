"""Reads a caller's request."""

from collections.abc import Iterable

from asgi_gateway.canonical import (
    ChatRequest,
    Extra,
    Losses,
    OutputFormat,
    Part,
    Sampling,
    Text,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.anthropic_messages.block_reader import read_content
from asgi_gateway.dialects.anthropic_messages.leftovers import note_unread
from asgi_gateway.dialects.anthropic_messages.media import read_cache
from asgi_gateway.dialects.anthropic_messages.names import NAME
from asgi_gateway.dialects.anthropic_messages.thinking import read_reasoning
from asgi_gateway.dialects.anthropic_messages.tools import read_choice, read_tool
from asgi_gateway.dialects.node import Node, decode_object
from asgi_gateway.errors import InvalidRequest

__all__ = ["read_request"]

ESSENTIAL = frozenset({"mcp_servers", "container"})
"""Features, which another dialect must not leave out."""

TIERS = {"auto": "auto", "standard_only": "default"}


def read_request(body: bytes, losses: Losses) -> ChatRequest:
    """A caller's body. Raises `InvalidRequest` with the field's name."""
    node = Node(decode_object(body), wrong=_wrong)
    turns = tuple(turn for message in node.objects("messages") for turn in _turns(message, losses))
    choice, parallel = read_choice(node, losses)
    tier = node.text("service_tier")
    return ChatRequest(
        model=node.text("model"),
        instructions=_system(node, losses),
        turns=turns,
        tools=tuple(read_tool(tool, losses) for tool in node.objects("tools")),
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=Sampling(
            max_output=node.integer("max_tokens", 0),
            temperature=node.number("temperature"),
            top_p=node.number("top_p"),
            top_k=node.integer("top_k", 0),
            stop=node.texts("stop_sequences"),
        ),
        output=_output(node, losses),
        reasoning=read_reasoning(node, losses),
        stream=bool(node.flag("stream")),
        wants_usage=True,  # every stream has it
        user=_user(node, losses),
        service_tier=TIERS.get(tier, tier),
        extras=_extras(node),
    )


def _wrong(path: str, expected: str, given: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: Input should be {expected}, not {given}", param=path, code="invalid_type")


def _system(node: Node, losses: Losses) -> tuple[Text, ...]:
    system = node.any("system")
    if isinstance(system, str):
        return (Text(system),) if system else ()
    texts: list[Text] = []
    for block in node.objects("system"):
        if block.text("type", "text") != "text":
            raise block.unknown("type", "'text'")
        texts.append(Text(block.text("text"), (), read_cache(block, losses)))
        note_unread(block, losses)
    return tuple(texts)


def _turns(message: Node, losses: Losses) -> Iterable[Turn]:
    """One message: results of tools are a turn of their own, in front of what else the user says."""
    role = message.require_text("role")
    if role not in ("user", "assistant", "system"):
        raise message.unknown("role", "'user', 'assistant', 'system'")
    parts = read_content(message, losses)
    note_unread(message, losses)
    if role in ("assistant", "system"):
        yield Turn("assistant" if role == "assistant" else "system", tuple(parts))
        return
    run: list[Part] = []
    for part in parts:
        if run and isinstance(part, ToolResult) != isinstance(run[-1], ToolResult):
            yield _of_user(run)
            run = []
        run.append(part)
    if run or not parts:
        yield _of_user(run)


def _of_user(parts: list[Part]) -> Turn:
    return Turn("tool" if parts and isinstance(parts[0], ToolResult) else "user", tuple(parts))


def _output(node: Node, losses: Losses) -> OutputFormat | None:
    config = node.object("output_config")
    form = None if config is None else config.object("format")
    if config is not None:
        config.skip("effort")
        note_unread(config, losses)
    if form is None:
        form = node.object("output_format")
    if form is None:
        return None
    if form.require_text("type") != "json_schema":
        raise form.unknown("type", "'json_schema'")
    schema = form.object("schema")
    if schema is None:
        raise form.missing("schema")
    note_unread(form, losses)
    return OutputFormat(kind="schema", schema=schema.value)


def _user(node: Node, losses: Losses) -> str:
    metadata = node.object("metadata")
    if metadata is None:
        return ""
    user = metadata.text("user_id")
    note_unread(metadata, losses)
    return user


def _extras(node: Node) -> tuple[Extra, ...]:
    node.skip("thinking", "output_config", "output_format")
    return tuple(Extra(NAME, name, value, name in ESSENTIAL) for name, value in node.unread().items())
