"""Thinking and its seals in messages: `reasoning_details` and `extra_content`, read and written.

Follows https://openrouter.ai/docs/use-cases/reasoning-tokens (a detail is `reasoning.text` with `text` and
`signature`, `reasoning.summary` with `summary`, or `reasoning.encrypted` with `data`; `format` says whose it is, `id`
which tool call or item, and details of one `index` belong together) and
https://ai.google.dev/gemini-api/docs/openai#thought-signatures (`extra_content.google.thought_signature`).

A seal whose maker has no `format` there stands wrapped (`canonical.wrap`) in `data`, with the format "unknown".
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import Losses, Seal, Thinking, unwrap, wrap

__all__ = ["call_detail", "details_of", "google_content", "google_seal", "seal_in", "thinking_in"]

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


def details_of(thinking: Thinking, index: int) -> list[dict[str, Any]]:
    """One thinking part as details of one index."""
    seal, format = thinking.seal, UNKNOWN
    detail: dict[str, Any]
    if seal is not None:
        format = _FORMATS.get(seal.maker, UNKNOWN)
    if seal is not None and seal.kind == "signature" and seal.maker in _FORMATS:
        detail = {"type": "reasoning.text", "text": thinking.text, "signature": seal.data}
        return [_completed(detail, thinking.id, format, index)]
    details = []
    if thinking.text:
        if seal is not None and seal.maker in ("openai", "xai"):
            detail = {"type": "reasoning.summary", "summary": thinking.text}
        else:
            detail = {"type": "reasoning.text", "text": thinking.text}
        details.append(_completed(detail, "" if seal is not None else thinking.id, format, index))
    if seal is not None:
        detail = {"type": "reasoning.encrypted", "data": seal.data if seal.maker in _FORMATS else wrap(seal)}
        details.append(_completed(detail, thinking.id, format, index))
    return details


def call_detail(seal: Seal, call: str, index: int) -> dict[str, Any]:
    """The seal of a tool call as a detail."""
    data = seal.data if seal.maker == "google" else wrap(seal, call)
    format = _FORMATS["google"] if seal.maker == "google" else UNKNOWN
    return _completed({"type": "reasoning.encrypted", "data": data}, call, format, index)


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
    grouped: dict[Any, Thinking] = {}
    for number, detail in enumerate(details):
        if not isinstance(detail, dict):
            losses.dropped("messages[].reasoning_details")
            continue
        found = seal_in(detail)
        id = str(detail.get("id") or "")
        call = found[1] or id if found is not None else ""
        if found is not None and call in known:
            seals[call] = found[0]
            continue
        key = detail.get("index")
        if not isinstance(key, int):
            key = f"#{number}"
        before = grouped.get(key, Thinking())
        grouped[key] = Thinking(
            before.text + text_in(detail), found[0] if found is not None else before.seal, id or before.id
        )
    return _merged(text, list(grouped.values())), seals


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
