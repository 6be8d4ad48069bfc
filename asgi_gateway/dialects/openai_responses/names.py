"""Names of the dialect, of its maker, and of the kinds of items."""

from hashlib import sha256

__all__ = ["BREAK", "ENCRYPTED", "LONGEST_ID", "MAKER", "NAME", "short_id"]

NAME = "openai_responses"
MAKER = "openai"

ENCRYPTED = "reasoning.encrypted_content"
"""What `include` asks for so that reasoning survives without being stored."""

BREAK = "\n\n"
"""Stands between the parts of a summary, of instructions, when they become one text."""

LONGEST_ID = 64
"""Characters of a `call_id`."""


def short_id(id: str) -> str:
    """The id of a call, brought to the length that OpenAI takes: a call and its output get the same."""
    return id if len(id) <= LONGEST_ID else f"call_{sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:48]}"
