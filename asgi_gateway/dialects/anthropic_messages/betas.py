"""The betas that a request needs: their names stand in a header of their own.

https://docs.anthropic.com/en/api/beta-headers
"""

from asgi_gateway.canonical import ChatRequest, HostedTool, Media, Native, Part, Stored, ToolResult
from asgi_gateway.dialects.anthropic_messages.names import NAME

__all__ = ["request_headers"]


def request_headers(request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
    """The names of the betas that a request needs. What is open to all by now needs none, such as code execution."""
    kinds = {
        str(tool.native.get("type"))
        for tool in request.tools
        if isinstance(tool, HostedTool) and tool.dialect == NAME and isinstance(tool.native, dict)
    }
    names = {extra.name for extra in request.extras if extra.dialect == NAME}
    newer = "mcp_toolset" in kinds
    wanted = {
        b"files-api-2025-04-14": _has_files(request),
        b"mcp-client-2025-11-20": newer,
        b"mcp-client-2025-04-04": "mcp_servers" in names and not newer,
        b"context-management-2025-06-27": "context_management" in names,
        b"fast-mode-2026-02-01": "speed" in names,
        b"computer-use-2025-01-24": "computer_20250124" in kinds,
        b"computer-use-2025-11-24": "computer_20251124" in kinds,
    }
    betas = b",".join(name for name, needed in wanted.items() if needed)
    return ((b"anthropic-beta", betas),) if betas else ()


def _has_files(request: ChatRequest) -> bool:
    return any(_is_file(part) for turn in request.turns for part in turn.parts)


def _is_file(part: Part) -> bool:
    match part:
        case Media():
            return isinstance(part.source, Stored)
        case Native():
            return isinstance(part.value, dict) and part.value.get("type") == "container_upload"
        case ToolResult():
            return any(_is_file(inner) for inner in part.parts)
        case _:
            return False
