"""Writes items of an answer other than messages, event by event: reasoning, calls, hosted calls, images."""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import PartOpened, Seal
from asgi_gateway.dialects.openai_responses.event_lines import EventLines, json_of
from asgi_gateway.dialects.openai_responses.names import short_id
from asgi_gateway.dialects.openai_responses.seals import write_seal

__all__ = ["CallWriter", "ThoughtWriter", "send_hosted", "send_whole"]

SUMMARY = (
    b"event: response.reasoning_summary_text.delta\n"
    b'data: {"type":"response.reasoning_summary_text.delta","sequence_number":'
)
ARGUMENTS = (
    b"event: response.function_call_arguments.delta\n"
    b'data: {"type":"response.function_call_arguments.delta","sequence_number":'
)
INPUT = (
    b"event: response.custom_tool_call_input.delta\n"
    b'data: {"type":"response.custom_tool_call_input.delta","sequence_number":'
)

_STAGES: Mapping[str, tuple[str, ...]] = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
}
"""What is told of the progress of a hosted call."""


class ThoughtWriter:
    """A reasoning item that is open."""

    __slots__ = ("_after", "_id", "_index", "_lines", "_pieces", "seal")

    def __init__(self, lines: EventLines, id: str, index: int) -> None:
        self.seal: Seal | None = None
        self._lines = lines
        self._id = id
        self._index = index
        self._pieces: list[str] = []
        self._after = b',"item_id":%b,"output_index":%d,"summary_index":0,"delta":' % (json_of(id), index)
        item = {"id": id, "type": "reasoning", "summary": []}
        lines.send("response.output_item.added", {"output_index": index, "item": item})

    def text(self, text: str) -> None:
        """More of it."""
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            self._lines.send("response.reasoning_summary_part.added", {**self._place(), "part": part})
        self._pieces.append(text)
        self._lines.delta(SUMMARY, self._after, text)

    def end(self, call: str = "") -> dict[str, Any]:
        """The item is over. `call`: the call that its seal belongs to."""
        item: dict[str, Any] = {"id": self._id, "type": "reasoning", "summary": []}
        if self._pieces:
            text = "".join(self._pieces)
            part = {"type": "summary_text", "text": text}
            self._lines.send("response.reasoning_summary_text.done", {**self._place(), "text": text})
            self._lines.send("response.reasoning_summary_part.done", {**self._place(), "part": part})
            item["summary"] = [part]
        if self.seal is not None:
            item["encrypted_content"] = write_seal(self.seal, call)
        self._lines.send("response.output_item.done", {"output_index": self._index, "item": item})
        return item

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "summary_index": 0}


class CallWriter:
    """A call of the caller's tools that is open. `late` is a seal that came when it was."""

    __slots__ = ("_after", "_before", "_id", "_index", "_item", "_lines", "_pieces", "late")

    def __init__(self, lines: EventLines, opened: PartOpened, id: str, call_id: str, index: int) -> None:
        self.late: Seal | None = None
        self._lines = lines
        self._id = id
        self._index = index
        self._pieces: list[str] = []
        self._before = INPUT if opened.custom else ARGUMENTS
        self._after = b',"item_id":%b,"output_index":%d,"delta":' % (json_of(id), index)
        self._item: dict[str, Any] = {"id": id, "type": "custom_tool_call" if opened.custom else "function_call"}
        if not opened.custom:
            self._item["status"] = "in_progress"
        self._item |= {"call_id": short_id(call_id), "name": opened.name, self._field: ""}
        lines.send("response.output_item.added", {"output_index": index, "item": self._item})

    @property
    def _field(self) -> str:
        return "input" if self._before is INPUT else "arguments"

    def text(self, text: str) -> None:
        """More of its arguments."""
        self._pieces.append(text)
        self._lines.delta(self._before, self._after, text)

    def end(self, status: str) -> dict[str, Any]:
        """The call is over: its item. A function without arguments gets an empty object."""
        field = self._field
        if not self._pieces and field == "arguments":
            self.text("{}")
        text = "".join(self._pieces)
        kind = "response.custom_tool_call_input" if field == "input" else "response.function_call_arguments"
        done = {"item_id": self._id, "output_index": self._index, field: text}
        if field == "arguments":
            done["name"] = self._item["name"]
        self._lines.send(f"{kind}.done", done)
        item = {**self._item, field: text}
        if field == "arguments":
            item["status"] = status
        self._lines.send("response.output_item.done", {"output_index": self._index, "item": item})
        return item


def send_whole(lines: EventLines, index: int, item: Mapping[str, Any]) -> None:
    """An item that comes whole."""
    lines.send("response.output_item.added", {"output_index": index, "item": item})
    lines.send("response.output_item.done", {"output_index": index, "item": item})


def send_hosted(lines: EventLines, index: int, item: Mapping[str, Any], begun: Mapping[str, Any] | None = None) -> None:
    """A hosted call with what is told of its progress. `begun`: the item as it begins."""
    kind, id = str(item.get("type")), item.get("id")
    if begun is None:
        begun = {**item, "status": "in_progress"} if "status" in item else item
    lines.send("response.output_item.added", {"output_index": index, "item": begun})
    if isinstance(id, str) and item.get("status") == "completed":
        for stage in _STAGES.get(kind, ()):
            lines.send(f"response.{kind}.{stage}", {"item_id": id, "output_index": index})
            if stage == "in_progress" and kind == "code_interpreter_call" and item.get("code"):
                place = {"item_id": id, "output_index": index}
                lines.send("response.code_interpreter_call_code.delta", {**place, "delta": item["code"]})
                lines.send("response.code_interpreter_call_code.done", {**place, "code": item["code"]})
    lines.send("response.output_item.done", {"output_index": index, "item": item})
