"""Items of tools that OpenAI runs, or defines: calls, and what they gave.

An item is kept as it is (`native`) for its own dialect; what other dialects can show is taken out of it. Most items
hold call and result in one: their result has no `native` of its own, and is not written again.

Written from another dialect: `web_search` becomes a `web_search_call`, `code_execution` a `code_interpreter_call`
(in answers alone: a request would have to name a container that exists). Others are noted as dropped.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_gateway.canonical import Citation, HostedCall, HostedResult, Media, Remote, Text
from asgi_gateway.dialects.openai_responses.names import NAME

__all__ = ["CALLS", "OUTPUTS", "read_hosted", "write_code_call", "write_search_call"]

CALLS: Mapping[str, str] = MappingProxyType(
    {
        "web_search_call": "web_search",
        "file_search_call": "file_search",
        "code_interpreter_call": "code_execution",
        "image_generation_call": "image_generation",
        "mcp_call": "mcp",
        "computer_call": "computer",
        "shell_call": "shell",
        "local_shell_call": "shell",
        "apply_patch_call": "apply_patch",
        "tool_search_call": "tool_search",
        "x_search_call": "x_search",  # xAI
    }
)
"""Neutral names by the type of an item."""

OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "computer_call_output": "computer",
        "shell_call_output": "shell",
        "local_shell_call_output": "shell",
        "apply_patch_call_output": "apply_patch",
        "tool_search_output": "tool_search",
    }
)
"""Items that hold a result alone."""

_WHOLE = frozenset({"web_search_call", "file_search_call", "code_interpreter_call", "mcp_call"})
"""Items that hold their result, too."""

_LISTED = 64
"""Sources of one search that are shown to other dialects."""


def read_hosted(item: Mapping[str, Any]) -> list[HostedCall | HostedResult]:
    """A call, its result, or both."""
    kind, id = str(item.get("type")), _text(item.get("id"))
    call = _text(item.get("call_id")) or id
    if kind in OUTPUTS:
        return [
            HostedResult(
                call_id=call,
                tool=OUTPUTS[kind],
                parts=_texts(item.get("output")),
                failed=item.get("status") == "failed",
                dialect=NAME,
                native=item,
            )
        ]
    tool = CALLS[kind]
    parts: list[HostedCall | HostedResult] = [
        HostedCall(id=call, tool=tool, arguments=_arguments(kind, item), dialect=NAME, native=item)
    ]
    if kind in _WHOLE:
        parts.append(
            HostedResult(
                call_id=call,
                tool=tool,
                parts=_shown(kind, item),
                citations=_sources(kind, item),
                failed=item.get("status") == "failed" or bool(item.get("error")),
                dialect=NAME,
            )
        )
    return parts


def write_search_call(id: str, call: HostedCall, results: Sequence[Citation]) -> dict[str, Any]:
    """Another dialect's search of the web."""
    try:
        asked = msgspec.json.decode(call.arguments or "{}")
    except (ValueError, RecursionError):
        asked = {}
    asked = asked if isinstance(asked, dict) else {}
    queries = asked.get("queries")
    if not isinstance(queries, list):
        queries = [asked["query"]] if isinstance(asked.get("query"), str) else []
    queries = [query for query in queries if isinstance(query, str)]
    action: dict[str, Any] = {"type": "search", "query": queries[0] if queries else "", "queries": queries}
    if results:
        action["sources"] = [{"type": "url", "url": source.url} for source in results if source.url]
    return {"id": id, "type": "web_search_call", "status": "completed", "action": action}


def write_code_call(id: str, call: HostedCall, result: HostedResult | None) -> dict[str, Any]:
    """Another dialect's run of code. It names no container of OpenAI's."""
    try:
        asked = msgspec.json.decode(call.arguments or "{}")
    except (ValueError, RecursionError):
        asked = None
    code = asked.get("code") if isinstance(asked, dict) else None
    logs = "".join(part.text for part in result.parts if isinstance(part, Text)) if result is not None else ""
    return {
        "id": id,
        "type": "code_interpreter_call",
        "status": "failed" if result is not None and result.failed else "completed",
        "code": code if isinstance(code, str) else call.arguments,
        "container_id": "",
        "outputs": [{"type": "logs", "logs": logs}] if logs else [],
    }


def _arguments(kind: str, item: Mapping[str, Any]) -> str:
    match kind:
        case "web_search_call" | "computer_call" | "shell_call" | "local_shell_call":
            action = item.get("action")
            found = (
                {name: value for name, value in action.items() if name not in ("type", "sources")}
                if isinstance(action, dict)
                else {}
            )
        case "file_search_call":
            found = {"queries": item.get("queries")}
        case "code_interpreter_call":
            found = {"code": item.get("code")}
        case "image_generation_call":
            found = {"prompt": item.get("revised_prompt")}
        case "apply_patch_call":
            found = {"operation": item.get("operation")}
        case _:
            given = item.get("arguments")
            if isinstance(given, str):
                return given or "{}"
            found = given if isinstance(given, dict) else {}
    return msgspec.json.encode(found).decode()


def _shown(kind: str, item: Mapping[str, Any]) -> tuple[Text | Media, ...]:
    if kind == "mcp_call":
        error = item.get("error")
        text = item.get("output") or (msgspec.json.encode(error).decode() if error else "")
        return (Text(text),) if isinstance(text, str) and text else ()
    if kind != "code_interpreter_call":
        return ()
    parts: list[Text | Media] = []
    for output in _objects(item.get("outputs")):
        if output.get("type") == "logs":
            parts.append(Text(_text(output.get("logs"))))
        elif output.get("type") == "image":
            parts.append(Media(kind="image", source=Remote(_text(output.get("url")))))
    return tuple(parts)


def _sources(kind: str, item: Mapping[str, Any]) -> tuple[Citation, ...]:
    if kind == "web_search_call":
        action = item.get("action")
        sources = _objects(action.get("sources")) if isinstance(action, dict) else []
        urls = [_text(source.get("url")) for source in sources[:_LISTED]]
        return tuple(Citation(kind="url", url=url) for url in urls if url)
    if kind == "file_search_call":
        return tuple(
            Citation(
                kind="file",
                source=_text(result.get("file_id")),
                title=_text(result.get("filename")),
                quoted=_text(result.get("text")),
            )
            for result in _objects(item.get("results"))[:_LISTED]
        )
    return ()


def _texts(output: Any) -> tuple[Text | Media, ...]:
    """The words of a result that stands alone: a text, or what a shell wrote to its two channels."""
    if isinstance(output, str):
        return (Text(output),)
    texts = [_text(piece.get("stdout")) + _text(piece.get("stderr")) for piece in _objects(output)]
    return tuple(Text(text) for text in texts if text)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
