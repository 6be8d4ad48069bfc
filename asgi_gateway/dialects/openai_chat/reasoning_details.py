"""Thinking and its seals in messages: `reasoning_details` and `extra_content`, read and written.

Follows https://openrouter.ai/docs/use-cases/reasoning-tokens (a detail is `reasoning.text` with `text` and
`signature`, `reasoning.summary` with `summary`, or `reasoning.encrypted` with `data`; `format` says whose it is, `id`
which tool call or item; details of one `index` belong together) and
https://ai.google.dev/gemini-api/docs/openai#thought-signatures (`extra_content.google.thought_signature`).

A seal whose maker has no `format` there stands wrapped (`canonical.wrap`) in `data`, with the format "unknown".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from asgi_gateway.canonical import Losses, Seal, Thinking, unwrap, wrap

__all__ = ["Thought", "call_detail", "details_of", "google_content", "google_seal", "seal_in", "text_in", "thinking_in"]

Detail = Mapping[str, Any]

_MAKERS = {
    "anthropic-claude-v1": "anthropic",
    "google-gemini-v1": "google",
    "openai-responses-v1": "openai",
    "azure-openai-responses-v1": "openai",
    "xai-responses-v1": "xai",
}
_FORMATS = {
    "anthropic": "anthropic-claude-v1",
    "google": "google-gemini-v1",
    "openai": "openai-responses-v1",
    "xai": "xai-responses-v1",
}
_APART = ("openai-responses-v1", "azure-openai-responses-v1", "xai-responses-v1")
"""Formats whose details have the summary and what is encrypted apart."""

UNKNOWN = "unknown"


def seal_in(detail: Detail) -> tuple[Seal, str] | None:
    """The seal of a detail, and the id of the tool call that a wrapped one belongs to; None without a seal."""
    format = detail.get("format")
    maker = _MAKERS.get(format, "") if isinstance(format, str) else ""
    signature, data = detail.get("signature"), detail.get("data")
    if isinstance(signature, str) and signature:
        found = unwrap(signature)
        return found or (Seal(maker=maker or "anthropic", kind="signature", data=signature), "")
    if not isinstance(data, str) or not data:
        return None
    found = unwrap(data)
    if found is not None:
        return found
    if maker == "anthropic":
        return Seal(maker=maker, kind="redacted", data=data), ""
    if maker == "google":
        return Seal(maker=maker, kind="signature", data=data), ""
    return Seal(maker=maker or UNKNOWN, kind="encrypted", data=data), ""


def text_in(detail: Detail) -> str:
    """The text of a detail, or its summary."""
    for name in ("text", "summary"):
        value = detail.get(name)
        if isinstance(value, str):
            return value
    return ""


class Thought(Struct):
    """A thinking part that is being put together from details."""

    text: str = ""
    seal: Seal | None = None
    id: str = ""
    index: Any = None
    format: Any = None

    def goes_on(self, detail: Detail, text: str, seal: Seal | None) -> bool:
        """Whether a further detail is of this part.

        It is when it has the same index or id; so is the seal that follows a summary, which OpenAI's models give apart.
        """
        index, id = detail.get("index"), detail.get("id")
        if index is None or self.index is None or index == self.index or (id and id == self.id):
            return True
        alone = seal is not None and not text and self.seal is None
        return alone and detail.get("format") == self.format in _APART and not (id and self.id)

    def add(self, detail: Detail, text: str, seal: Seal | None) -> None:
        """Take a further detail of this part."""
        self.text += text
        self.seal = seal or self.seal
        id, index = detail.get("id"), detail.get("index")
        if isinstance(id, str):
            self.id = id or self.id
        self.index = self.index if index is None else index
        self.format = detail.get("format") or self.format


def details_of(thinking: Thinking, index: int) -> list[dict[str, Any]]:
    """One thinking part as details, the first of this index: each has its own, for clients join what shares one."""
    seal, text = thinking.seal, thinking.text
    if seal is None:
        return [_completed({"type": "reasoning.text", "text": text}, thinking.id, UNKNOWN, index)]
    format = _FORMATS.get(seal.maker, UNKNOWN)
    if seal.kind == "signature" and format != UNKNOWN:
        signed = {"type": "reasoning.text", "text": text, "signature": seal.data}
        return [_completed(signed, thinking.id, format, index)]
    details: list[dict[str, Any]] = []
    if text and format in _APART:
        details.append(_completed({"type": "reasoning.summary", "summary": text}, thinking.id, format, index))
    elif text:
        signed = {"type": "reasoning.text", "text": text, "signature": wrap(seal)}
        return [_completed(signed, thinking.id, UNKNOWN, index)]
    # Of one maker a signature and an encrypted text are told apart by the field alone: the odd one is wrapped.
    plain = format in _APART and seal.kind == "encrypted"
    plain = plain or (format == _FORMATS["anthropic"] and seal.kind == "redacted")
    data = seal.data if plain else wrap(seal)
    details.append(_completed({"type": "reasoning.encrypted", "data": data}, thinking.id, format, index + len(details)))
    return details


def call_detail(seal: Seal, call: str, index: int) -> dict[str, Any]:
    """The seal of a tool call as a detail."""
    plain = seal.maker == "google" and seal.kind == "signature"
    detail = {"type": "reasoning.encrypted", "data": seal.data if plain else wrap(seal, call)}
    return _completed(detail, call, _FORMATS.get(seal.maker, UNKNOWN), index)


def _completed(detail: dict[str, Any], id: str, format: str, index: int) -> dict[str, Any]:
    if id:
        detail["id"] = id
    detail["format"] = format
    detail["index"] = index
    return detail


def google_content(seal: Seal) -> dict[str, Any]:
    """Google's own place for a signature."""
    return {"google": {"thought_signature": seal.data}}


def google_seal(holder: Mapping[str, Any]) -> Seal | None:
    """The signature of a tool call or of a message in Google's own place."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    data = google.get("thought_signature") if isinstance(google, dict) else holder.get("thought_signature")
    return Seal(maker="google", kind="signature", data=data) if isinstance(data, str) and data else None


def thinking_in(
    text: str, details: Sequence[Any], calls: Iterable[str], losses: Losses
) -> tuple[list[Thinking], dict[str, Seal]]:
    """The thinking of a whole message, and the seals of its tool calls by their ids.

    `text` is what `reasoning_content` or `reasoning` say, in which the details' texts may be repeated; what they do
    not repeat is thinking without a seal. A seal without a text takes the text when no other detail has one.
    """
    known, seals = set(calls), dict[str, Seal]()
    thoughts: list[Thought] = []
    for detail in details:
        if not isinstance(detail, dict):
            losses.dropped("reasoning_details")
            continue
        found, said = seal_in(detail), text_in(detail)
        seal = None if found is None else found[0]
        call = (found[1] or str(detail.get("id"))) if found is not None else ""
        if seal is not None and call in known:
            seals[call] = seal
            continue
        if not thoughts or detail.get("index") is None or not thoughts[-1].goes_on(detail, said, seal):
            thoughts.append(Thought())
        thoughts[-1].add(detail, said, seal)
    return _merged(text, [Thinking(thought.text, thought.seal, thought.id) for thought in thoughts]), seals


def _merged(text: str, parts: list[Thinking]) -> list[Thinking]:
    if not text:
        return parts
    if not any(part.text for part in parts):
        first = parts[0] if parts else Thinking()
        return [Thinking(text, first.seal, first.id), *parts[1:]]
    given: list[Thinking] = []
    position = 0
    for part in parts:
        start = text.find(part.text, position)
        if start < 0:
            return parts  # the details say it in their own way
        if start > position:
            given.append(Thinking(text[position:start]))
        position = start + len(part.text)
        given.append(part)
    if position < len(text):
        given.append(Thinking(text[position:]))
    return given
