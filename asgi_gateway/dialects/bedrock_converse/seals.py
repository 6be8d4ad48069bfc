"""Seals in Bedrock's reasoning blocks.

Of the models on Bedrock only Claude signs, and its signatures are Anthropic's: they hold on either platform. So a
seal that stands unwrapped here is Anthropic's, and seals of all others are wrapped.
"""

from asgi_gateway.canonical import Seal, Thinking, unwrap, wrap

__all__ = ["MAKER", "read_seal", "read_thinking", "shown", "write_sealed_call", "write_thinking"]

MAKER = "anthropic"

Block = dict[str, dict[str, dict[str, str] | str]]


def read_seal(data: str, *, redacted: bool) -> tuple[Seal, str]:
    """A seal, and the id of the tool call that it belongs to or ""."""
    found = unwrap(data)
    if found is not None:
        return found
    return Seal(maker=MAKER, kind="redacted" if redacted else "signature", data=data), ""


def read_thinking(text: str, signature: str, redacted: str) -> tuple[Thinking, str]:
    """A reasoning block, and the id of the tool call that its seal belongs to or ""."""
    if not signature and not redacted:
        return Thinking(text), ""
    seal, call = read_seal(redacted or signature, redacted=bool(redacted))
    return Thinking(text, seal), call


def shown(seal: Seal) -> str:
    """A seal as it stands here."""
    return seal.data if seal.maker == MAKER and seal.kind != "encrypted" else wrap(seal)


def write_thinking(thinking: Thinking) -> Block:
    """A reasoning block. What has a text stands as a text with a signature, everything else as redacted content."""
    seal = thinking.seal
    if seal is None:
        return {"reasoningContent": {"reasoningText": {"text": thinking.text}}}
    if thinking.text or (seal.kind == "signature" and seal.maker == MAKER):
        return {"reasoningContent": {"reasoningText": {"text": thinking.text, "signature": shown(seal)}}}
    return {"reasoningContent": {"redactedContent": shown(seal)}}


def write_sealed_call(seal: Seal, call: str) -> Block:
    """The block in front of a tool call that carries the call's own seal."""
    return {"reasoningContent": {"redactedContent": wrap(seal, call=call)}}
