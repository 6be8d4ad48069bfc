"""The parts of a request's contents.

Follows https://ai.google.dev/api/caching#Part. Function calls without an id get one made of position and name; a
result without one answers the first call of its name that has none yet, in order, as Google matches them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.google_generate.media import read_media
from asgi_gateway.dialects.google_generate.names import NAME, made_id, seal_of
from asgi_gateway.dialects.google_generate.spelling import with_lists
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.errors import InvalidRequest

__all__ = ["TOOL_TYPES", "PartReader", "hosted_part"]

TOOL_TYPES = {
    "GOOGLE_SEARCH_WEB": "web_search",
    "URL_CONTEXT": "web_fetch",
    "FILE_SEARCH": "file_search",
    "GOOGLE_MAPS": "maps",
}

_encode = msgspec.json.Encoder().encode


class PartReader:
    """Reads the parts of one conversation, in order."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._calls = 0
        self._results = 0
        self._open: list[tuple[str, str]] = []
        """Calls without a result so far: id and name."""
        self._ran = ""

    def read(self, node: Node) -> Part | None:
        """One part; None for an empty one. What nobody knows becomes `Native`."""
        if len(node.value) == 1 and isinstance(text := node.value.get("text"), str):  # as nearly all are
            return Text(text) if text else None
        signature = node.text("thoughtSignature")
        part = self._known(node, signature)
        if part is None:
            rest = node.unread()
            if not rest:
                seal = seal_of(signature)
                return None if seal is None else Text("", seal=seal)
            if "thought" in node.value and len(rest) == 1:
                return None
            return Native(NAME, plain_path(node.at(next(iter(rest)))), dict(node.value), essential=True)
        node.skip("thought")
        for name in node.unread():
            self._losses.dropped(plain_path(node.at(name)))
        return part

    def _known(self, node: Node, signature: str) -> Part | None:
        seal = seal_of(signature)
        thought = node.flag("thought")
        if "text" in node:
            text = node.text("text")
            if thought:
                return Thinking(text, seal)
            return Text(text, seal=seal) if text or seal is not None else None
        if thought and ("inlineData" in node or "fileData" in node):
            node.skip(*node.value)
            return Native(NAME, "contents[].parts[].thought", dict(node.value))
        if "functionCall" in node:
            return self._call(node, seal)
        if "functionResponse" in node:
            return self._result(node)
        media = read_media(node, self._losses)
        if media is not None:
            return msgspec.structs.replace(media, seal=seal) if seal is not None else media
        return self._hosted(node)

    def _call(self, node: Node, seal: Seal | None) -> ToolCall:
        call = node.object("functionCall")
        assert call is not None  # the caller looked
        name = call.require_text("name")
        args = call.object("args")
        id = call.text("id") or made_id(self._calls, name)
        self._note_unread(call)
        self._calls += 1
        self._open.append((id, name))
        arguments = "" if args is None else _encode(args.value).decode()
        return ToolCall(id=id, name=name, arguments=arguments, seal=seal)

    def _result(self, node: Node) -> ToolResult:
        given = node.object("functionResponse")
        assert given is not None  # the caller looked
        given = with_lists(given, "parts")
        name = given.text("name")
        response = given.object("response")
        parts, failed = _spoken({} if response is None else response.value)
        media: list[Text | Media | Native] = []
        for inner in given.objects("parts"):
            found = read_media(inner, self._losses)
            media.append(
                Native(NAME, plain_path(inner.path), dict(inner.value), essential=True) if found is None else found
            )
        id = self._answered(given.text("id"), name)
        self._note_unread(given)
        return ToolResult(call_id=id, name=name, parts=(*parts, *media), failed=failed)

    def _answered(self, id: str, name: str) -> str:
        """The call that a result belongs to."""
        matches: tuple[Callable[[tuple[str, str]], bool], ...] = (
            lambda call: bool(id) and call[0] == id,
            lambda call: call[1] == name,
            lambda call: not name,
        )
        for fits in matches:
            for number, call in enumerate(self._open):
                if fits(call):
                    return self._open.pop(number)[0]
        self._results += 1
        return id or made_id("r", self._results, name)

    def _hosted(self, node: Node) -> Part | None:
        for kind in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse"):
            inner = node.object(kind)
            if inner is None:
                continue
            node.skip(*node.value)
            part = hosted_part(dict(node.value), made_id("h", self._calls), self._ran)
            if part is None:
                raise inner.wrong("id", "a string")
            if isinstance(part, HostedCall):
                self._calls += 1
                self._ran = part.id
            return part
        return None

    def _note_unread(self, node: Node) -> None:
        for name in node.unread():
            self._losses.dropped(plain_path(node.at(name)))


def hosted_part(part: dict[str, Any], made: str, ran: str) -> HostedCall | HostedResult | None:
    """A call of one of Google's own tools, or its result, of a part that holds one; None when it is malformed.

    `made` is an id for a call without one, `ran` the id of the last call: Google leaves both out at times.
    """
    for kind in ("executableCode", "codeExecutionResult", "toolCall", "toolResponse"):
        inner = part.get(kind)
        if inner is None:
            continue
        if not isinstance(inner, dict) or not isinstance(inner.get("id", ""), str):
            return None
        id = inner.get("id") or ""
        if kind == "executableCode":
            arguments = {"code": inner.get("code", ""), "language": str(inner.get("language", "python")).lower()}
            return HostedCall(
                id=id or made,
                tool="code_execution",
                arguments=_encode(arguments).decode(),
                dialect=NAME,
                native=part,
            )
        if kind == "codeExecutionResult":
            output = inner.get("output")
            shown = (Text(output),) if isinstance(output, str) and output else ()
            failed = inner.get("outcome") not in ("OUTCOME_OK", None)
            return HostedResult(
                call_id=id or ran, tool="code_execution", parts=shown, failed=failed, dialect=NAME, native=part
            )
        named = str(inner.get("toolType", ""))
        tool = TOOL_TYPES.get(named, named.lower())
        if kind == "toolCall":
            arguments = inner.get("args") or {}
            return HostedCall(
                id=id or made, tool=tool, arguments=_encode(arguments).decode(), dialect=NAME, native=part
            )
        return HostedResult(call_id=id or ran, tool=tool, dialect=NAME, native=part)
    raise InvalidRequest("no hosted tool", param="contents")


def _spoken(response: Any) -> tuple[tuple[Text, ...], bool]:
    """A function's result as a text: what `{"result": text}` and `{"error": text}` hold, else the object's JSON."""
    if len(response) == 1:
        for name in ("result", "error"):
            text = response.get(name)
            if isinstance(text, str):
                return (Text(text),) if text else (), name == "error"
    if not response:
        return (), False
    return (Text(_encode(response).decode()),), False
