"""Names of the format that several of its parts use."""

import re
from hashlib import sha256
from typing import Any

__all__ = ["MAKER", "NAME", "Json", "hosted_kind", "result_kind", "tool_use_id"]

NAME = "anthropic_messages"
MAKER = "anthropic"

Json = dict[str, Any]

_RESULT = "_tool_result"

_TOOLS = {
    "bash_code_execution": "code_execution",
    "text_editor_code_execution": "code_execution",
    "tool_search_tool_regex": "tool_search",
    "tool_search_tool_bm25": "tool_search",
    "tool_search_tool": "tool_search",
}

_ID = re.compile(r"[A-Za-z0-9_-]+")


def hosted_kind(name: str) -> str:
    """The neutral name of a tool that Anthropic runs."""
    return _TOOLS.get(name, name)


def result_kind(block: str) -> str:
    """The neutral name of the tool whose result a block of this type is; "" for other blocks."""
    return hosted_kind(block.removesuffix(_RESULT)) if block.endswith(_RESULT) else ""


def tool_use_id(id: str) -> str:
    """A tool-call id as Anthropic takes it: of letters, digits, `_` and `-`. Of others a digest, always the same."""
    if _ID.fullmatch(id):
        return id
    return "toolu_" + sha256(id.encode(errors="surrogatepass")).hexdigest()[:40]
