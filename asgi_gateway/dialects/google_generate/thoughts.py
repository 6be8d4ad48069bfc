"""Thoughts that came in pieces and come back so.

A streamed thought of another maker reaches a caller as pieces of text and, behind them, an empty piece with the wrapped
seal of the whole. Clients send all pieces back, each as a part; some (chats of Google's own clients) as a content of
its own. The seal is good for the joined text alone.
"""

from collections.abc import Iterable

from asgi_gateway.canonical import Part, Thinking, Turn
from asgi_gateway.dialects.google_generate.names import MAKER

__all__ = ["joined_thoughts"]


def joined_thoughts(turns: Iterable[Turn]) -> list[Turn]:
    """The turns with the pieces of each thought that another maker sealed joined; turns of pieces alone vanish."""
    joined: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and any(map(_seals_pieces, turn.parts)):
            joined.append(Turn("assistant", tuple(_joined(turn.parts, joined)), turn.name))
        else:
            joined.append(turn)
    return joined


def _joined(parts: Iterable[Part], turns: list[Turn]) -> list[Part]:
    """The parts of a turn. Pieces that stand in the turns before are taken from there."""
    given: list[Part] = []
    for part in parts:
        if isinstance(part, Thinking) and _seals_pieces(part):
            text = _take(given)
            if not given:
                text = _take_turns(turns) + text
            given.append(Thinking(text, part.seal, part.id))
        else:
            given.append(part)
    return given


def _take_turns(turns: list[Turn]) -> str:
    """Take the pieces of text at the end of a conversation, and the turns that hold nothing else."""
    text = ""
    while turns and turns[-1].role == "assistant":
        turn = turns.pop()
        parts = list(turn.parts)
        text = _take(parts) + text
        if parts:
            turns.append(Turn(turn.role, tuple(parts), turn.name))
            break
    return text


def _seals_pieces(part: Part) -> bool:
    """Whether a part may be the end of a thought in pieces: what is redacted stands alone."""
    if not isinstance(part, Thinking) or part.text or part.seal is None:
        return False
    return part.seal.maker != MAKER and part.seal.kind != "redacted"


def _take(parts: list[Part]) -> str:
    """Take the pieces of text at the end."""
    texts: list[str] = []
    while parts and isinstance(piece := parts[-1], Thinking) and piece.seal is None:
        texts.append(piece.text)
        parts.pop()
    return "".join(reversed(texts))
