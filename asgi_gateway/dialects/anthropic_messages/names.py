"""Names of the format that several of its parts use."""

import re
from hashlib import sha256
from typing import Any

__all__ = ["HOSTED_BLOCKS", "MAKER", "NAME", "Json", "hosted_kind", "tool_use_id"]

NAME = "anthropic_messages"
MAKER = "anthropic"

Json = dict[str, Any]

HOSTED_BLOCKS = {
    "web_search_tool_result": "web_search",
    "web_fetch_tool_result": "web_fetch",
    "code_execution_tool_result": "code_execution",
    "bash_code_execution_tool_result": "code_execution",
    "text_editor_code_execution_tool_result": "code_execution",
    "tool_search_tool_result": "tool_search",
    "mcp_tool_result": "mcp",
}
"""By the type of a result's block: the neutral name of the tool."""

_TOOLS = {
    "bash_code_execution": "code_execution",
    "text_editor_code_execution": "code_execution",
    "tool_search_tool_regex": "tool_search",
    "tool_search_tool_bm25": "tool_search",
}

_ID = re.compile(r"[A-Za-z0-9_-]+")


def hosted_kind(name: str) -> str:
    """The neutral name of a tool that Anthropic runs."""
    return _TOOLS.get(name, name)


def tool_use_id(id: str) -> str:
    """A tool-call id as Anthropic takes it: of letters, digits, `_` and `-`. Of others a digest, always the same."""
    if _ID.fullmatch(id):
        return id
    return "toolu_" + sha256(id.encode(errors="surrogatepass")).hexdigest()[:40]
