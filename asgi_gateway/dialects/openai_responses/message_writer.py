"""Writes one message of an answer, event by event: texts and refusals, one behind the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import Citation, Losses, Seal, TokenLogprob
from asgi_gateway.dialects.openai_responses.annotations import has_place, write_annotation
from asgi_gateway.dialects.openai_responses.event_lines import EventLines, json_of
from asgi_gateway.dialects.openai_responses.logprobs import write_logprobs

__all__ = ["MessageWriter"]

TEXT = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":'
REFUSAL = b'event: response.refusal.delta\ndata: {"type":"response.refusal.delta","sequence_number":'


class MessageWriter:
    """A message that is open. `seals` are those of its texts, which have no place in it."""

    __slots__ = (
        "_after",
        "_annotations",
        "_before",
        "_content",
        "_id",
        "_index",
        "_kind",
        "_lines",
        "_logprobs",
        "_losses",
        "_pieces",
        "_waiting",
        "seals",
    )

    def __init__(self, lines: EventLines, losses: Losses, id: str, index: int) -> None:
        self.seals: list[Seal] = []
        self._lines = lines
        self._losses = losses
        self._id = id
        self._index = index
        self._kind = ""
        self._before = self._after = b""
        self._pieces: list[str] = []
        self._annotations: list[Mapping[str, Any]] = []
        self._waiting: list[Citation] = []
        self._logprobs: list[TokenLogprob] = []
        self._content: list[dict[str, Any]] = []
        item = {"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        lines.send("response.output_item.added", {"output_index": index, "item": item})

    def open(self, kind: str) -> None:
        """A text or a refusal begins."""
        self._kind = kind
        self._pieces = []
        self._annotations, self._waiting, self._logprobs = [], [], []
        self._lines.send("response.content_part.added", {**self._place(), "part": self._part("")})
        place = b',"item_id":%b,"output_index":%d,"content_index":%d' % (
            json_of(self._id),
            self._index,
            len(self._content),
        )
        if kind == "text":
            self._before, self._after = TEXT, place + b',"logprobs":[],"delta":'
        else:
            self._before, self._after = REFUSAL, place + b',"delta":'

    def text(self, text: str) -> None:
        """More of it."""
        self._pieces.append(text)
        self._lines.delta(self._before, self._after, text)

    def text_with(self, text: str, tokens: Sequence[TokenLogprob]) -> None:
        """More of a text, with the probabilities of its tokens."""
        if self._kind != "text":
            self._losses.dropped("logprobs")
            if text:
                self.text(text)
            return
        self._pieces.append(text)
        self._logprobs += tokens
        fields = {**self._place(), "delta": text, "logprobs": write_logprobs(tokens, bare=True)}
        self._lines.send("response.output_text.delta", fields)

    def cite(self, citation: Citation) -> None:
        """A source; one that does not say which words it is of waits for the text's end."""
        if self._kind != "text":
            self._losses.dropped("citations")
        elif has_place(citation):
            self._annotate(citation, 0)
        else:
            self._waiting.append(citation)

    def close(self) -> None:
        """The text or the refusal is over."""
        text = "".join(self._pieces)
        for citation in self._waiting:
            self._annotate(citation, len(text))
        place, part = self._place(), self._part(text)
        if self._kind == "text":
            said = {**place, "text": text, "logprobs": write_logprobs(self._logprobs, bare=True)}
            self._lines.send("response.output_text.done", said)
        else:
            self._lines.send("response.refusal.done", {**place, "refusal": text})
        self._lines.send("response.content_part.done", {**place, "part": part})
        self._content.append(part)

    def end(self, status: str) -> dict[str, Any]:
        """The message is over: its item."""
        item = {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": self._content,
        }
        self._lines.send("response.output_item.done", {"output_index": self._index, "item": item})
        return item

    def _annotate(self, citation: Citation, length: int) -> None:
        annotation = write_annotation(citation, length, self._losses)
        fields = {**self._place(), "annotation_index": len(self._annotations), "annotation": annotation}
        self._annotations.append(annotation)
        self._lines.send("response.output_text.annotation.added", fields)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._index, "content_index": len(self._content)}

    def _part(self, text: str) -> dict[str, Any]:
        if self._kind != "text":
            return {"type": "refusal", "refusal": text}
        return {
            "type": "output_text",
            "annotations": self._annotations,
            "logprobs": write_logprobs(self._logprobs),
            "text": text,
        }
