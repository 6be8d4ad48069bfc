"""The tool calls of one choice, delta by delta.

A call is known by its `index`; look-alikes leave that out, or count every call 0: then a new id, or a new name, begins
a new call. A call is opened once its name is known. Calls without an id get one of their index in the response.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Event,
    Losses,
    PartClosed,
    PartOpened,
    Seal,
    SignatureDelta,
    Thinking,
    ToolCallDelta,
)
from asgi_gateway.dialects.openai_chat.reasoning_details import google_seal

__all__ = ["CallReader"]


class _Call:
    """A call on its way. `index` is None until it is opened."""

    __slots__ = ("custom", "held", "id", "index", "name", "seal")

    def __init__(self, id: str) -> None:
        self.id = id
        self.name = ""
        self.custom = False
        self.held: list[str] = []
        self.index: int | None = None
        self.seal: Seal | None = None


class CallReader:
    """Reads calls. `seals` are seals by the id of a call that has not come yet."""

    __slots__ = ("_calls", "_choice", "_last", "_losses", "_new_index", "seals")

    def __init__(self, choice: int, new_index: Callable[[], int], losses: Losses) -> None:
        self.seals: dict[str, Seal] = {}
        self._choice = choice
        self._new_index = new_index
        self._losses = losses
        self._calls: dict[Any, _Call] = {}
        self._last: _Call | None = None

    @property
    def called(self) -> bool:
        """Whether any call was opened."""
        return any(call.index is not None for call in self._calls.values())

    @property
    def open_index(self) -> int | None:
        """The index of the call that came last."""
        return None if self._last is None else self._last.index

    def take(self, value: Any, events: list[Event]) -> None:
        """One of a delta's `tool_calls`."""
        if not isinstance(value, dict):
            self._losses.dropped("choices[].delta.tool_calls")
            return
        function, custom = value.get("function"), value.get("custom")
        inner = function if isinstance(function, dict) else {}
        is_custom = isinstance(custom, dict) and (value.get("type") == "custom" or not inner.get("name"))
        if is_custom and isinstance(custom, dict) and not inner:
            inner = custom
        else:
            is_custom = False
        id, name = value.get("id"), inner.get("name")
        call = self._call_of(value.get("index"), id if isinstance(id, str) else "", bool(name))
        if isinstance(name, str) and name and not call.name:
            call.name, call.custom = name, is_custom
        seal = google_seal(value)
        if seal is not None:
            self._sealed(call, seal, events)
        self._say(call, inner.get("input" if is_custom or call.custom else "arguments"), events)

    def legacy(self, function: dict[str, Any], events: list[Event]) -> None:
        """The older form: one call without an id."""
        name = function.get("name")
        call = self._calls.get("function_call")
        if call is None:
            if not name:
                return  # some fill every field that there is, with nothing
            call = self._calls["function_call"] = _Call("")
        if isinstance(name, str) and not call.name:
            call.name = name
        self._last = call
        self._say(call, function.get("arguments"), events)

    def _call_of(self, key: Any, id: str, named: bool) -> _Call:
        if not isinstance(key, int):
            if id in self._calls or not self._calls or id or named:
                key = id or f"#{len(self._calls)}"
            else:
                return self._last or next(iter(self._calls.values()))
        call = self._calls.get(key)
        if call is not None and id and call.id and id != call.id and named:
            key = id  # another call under the index of an earlier one
            call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call(id)
        elif id and not call.id:
            call.id = id
        self._last = call
        return call

    def _say(self, call: _Call, arguments: Any, events: list[Event]) -> None:
        if isinstance(arguments, dict | list):
            arguments = msgspec.json.encode(arguments).decode()
        text = arguments if isinstance(arguments, str) else ""
        if call.index is None:
            if not call.name:
                call.held.append(text)
                return
            self._open(call, events)
            text = "".join(call.held) + text
        if text and call.index is not None:
            events.append(ToolCallDelta(call.index, text))

    def _open(self, call: _Call, events: list[Event]) -> None:
        call.index = self._new_index()
        call.id = call.id or f"call_{call.index}"
        events.append(PartOpened(call.index, "tool_call", self._choice, call.id, call.name, call.custom))
        seal = call.seal or self.seals.pop(call.id, None)
        if seal is not None:
            events.append(SignatureDelta(call.index, seal))

    def _sealed(self, call: _Call, seal: Seal, events: list[Event]) -> None:
        call.seal = seal
        if call.index is not None:
            events.append(SignatureDelta(call.index, seal))

    def seal(self, seal: Seal, id: str, events: list[Event], *, surely: bool) -> bool:
        """Take a seal for the call of this id. `surely`: it is for a call, even if none has come yet.

        Says whether it was taken.
        """
        if not id:
            return False
        for call in self._calls.values():
            if call.id == id:
                self._sealed(call, seal, events)
                return True
        if surely or seal.maker == "google":
            self.seals[id] = seal
            return True
        return False

    def end(self, events: list[Event]) -> list[Thinking]:
        """Close all calls. Gives the seals whose calls never came."""
        for call in self._calls.values():
            if call.index is None:
                self._losses.dropped("choices[].delta.tool_calls")
            else:
                events.append(PartClosed(call.index))
        self._calls = {key: call for key, call in self._calls.items() if call.index is not None}
        return [Thinking("", seal, id) for id, seal in self.seals.items()]
