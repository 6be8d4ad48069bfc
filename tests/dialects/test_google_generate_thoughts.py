"""Thoughts of another maker's that were streamed in pieces, and come back in pieces."""

import json
from typing import Any

from asgi_gateway.canonical import Losses, Part, Seal, Text, Thinking, ToolCall, wrap
from asgi_gateway.dialects.contract import Target
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE

SIGNED = Seal(maker="anthropic", kind="signature", data="EqoB?>~")
REDACTED = Seal(maker="anthropic", kind="redacted", data="EmwK")
OWN = Seal(maker="google", kind="signature", data="CsMB")

USER = {"role": "user", "parts": [{"text": "Hi"}]}
CALL = {"functionCall": {"id": "c1", "name": "f", "args": {}}}


def thought(text: str, seal: Seal | None = None) -> dict[str, Any]:
    """A part as a caller got it."""
    signature = None if seal is None else seal.data if seal.maker == "google" else wrap(seal)
    return {"text": text, "thought": True, **({"thoughtSignature": signature} if signature else {})}


def turns_of(*contents: list[dict[str, Any]]) -> list[tuple[Part, ...]]:
    """The model's turns of a conversation in which it said these contents."""
    said = [USER, *({"role": "model", "parts": parts} for parts in contents)]
    body = json.dumps({"contents": said}).encode()
    outline = GOOGLE.outline(body, Target("/v1beta/models/m:generateContent"))
    return [turn.parts for turn in GOOGLE.read_request(body, outline, Losses("request")).turns[1:]]


def test_pieces_of_one_content_are_one_thought() -> None:
    """Else its maker refuses the seal, which is good for the whole text."""
    (parts,) = turns_of([{"text": "I see. "}, thought("a"), thought("b"), thought("", SIGNED), CALL])
    assert parts == (Text("I see. "), Thinking("ab", SIGNED), ToolCall(id="c1", name="f", arguments="{}"))


def test_pieces_in_contents_of_their_own_are_one_thought() -> None:
    """Google's chats keep each chunk of a stream so; what stands before the pieces stays where it was."""
    turns = turns_of([{"text": "I see. "}, thought("a")], [thought("b")], [thought("", SIGNED)], [CALL])
    call = ToolCall(id="c1", name="f", arguments="{}")
    assert turns == [(Text("I see. "),), (Thinking("ab", SIGNED),), (call,)]
    assert turns_of([thought("a")], [thought("", SIGNED)]) == [(Thinking("a", SIGNED),)]


def test_a_question_between_ends_a_thought() -> None:
    """Only what the model said in a row belongs together."""
    body = {
        "contents": [
            {"role": "model", "parts": [thought("a")]},
            USER,
            {"role": "model", "parts": [thought("", SIGNED)]},
        ]
    }
    raw = json.dumps(body).encode()
    outline = GOOGLE.outline(raw, Target("/v1beta/models/m:generateContent"))
    turns = GOOGLE.read_request(raw, outline, Losses("request")).turns
    assert [turn.parts for turn in turns] == [(Thinking("a"),), (Text("Hi"),), (Thinking("", SIGNED),)]


def test_what_is_sealed_in_one_piece_stays_alone() -> None:
    """A whole thought; one that is redacted; Google's own seals, which it puts where it likes."""
    (parts,) = turns_of([thought("a"), thought("b", SIGNED), thought("", REDACTED), thought("c"), thought("", OWN)])
    assert parts == (
        Thinking("a"),
        Thinking("b", SIGNED),
        Thinking("", REDACTED),
        Thinking("c"),
        Thinking("", OWN),
    )


def test_a_seal_in_the_other_alphabet_is_known() -> None:
    """Google's client for Python writes bytes in base64 for URLs."""
    part = thought("a", SIGNED)
    other = part["thoughtSignature"].replace("+", "-").replace("/", "_")
    assert other != part["thoughtSignature"]
    assert turns_of([{**part, "thoughtSignature": other}]) == [(Thinking("a", SIGNED),)]
