"""An upstream that nobody of this project wrote: aimock, which speaks every vendor's chat format.

Its fixtures answer by what the user's last message holds. Its own faults are known: usage is 0 unless a fixture sets
it, and a Gemini turn of tools ends with FUNCTION_CALL, which the real one does not say.
"""

import json
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

from support.services import require_node_package, require_service
from support.waiting import eventually

__all__ = ["CITY", "FIXTURES", "Aimock"]

CITY = {"name": "get_weather", "arguments": {"city": "Paris"}}
TIME = {"name": "get_time", "arguments": {"zone": "Europe/Paris"}}

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "two tools", "hasToolResult": False}, "response": {"toolCalls": [CITY, TIME]}},
    {"match": {"userMessage": "two tools", "hasToolResult": True}, "response": {"content": "20C at noon"}},
    {"match": {"userMessage": "weather", "hasToolResult": False}, "response": {"toolCalls": [CITY]}},
    {"match": {"userMessage": "weather", "hasToolResult": True}, "response": {"content": "20C in Paris"}},
    {
        "match": {"userMessage": "count the files", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "bash", "arguments": {"command": "ls | wc -l"}}]},
    },
    {"match": {"userMessage": "count the files", "hasToolResult": True}, "response": {"content": "Counted."}},
    {
        "match": {"userMessage": "list the folder", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "list_directory", "arguments": {"path": "."}}]},
    },
    {"match": {"userMessage": "list the folder", "hasToolResult": True}, "response": {"content": "Listed."}},
    {"match": {"userMessage": "think"}, "response": {"content": "42", "reasoning": "six times seven"}},
    {"match": {"userMessage": "structured"}, "response": {"content": '{"city": "Paris", "degrees": 20}'}},
    {"match": {"userMessage": "look at"}, "response": {"content": "a red dot"}},
    {
        "match": {"userMessage": "rate limit"},
        "response": {"error": {"message": "Slow down.", "type": "rate_limit_error"}, "status": 429},
    },
    {
        "match": {"userMessage": "bad request"},
        "response": {"error": {"message": "Not like this.", "type": "invalid_request_error"}, "status": 400},
    },
    {
        "match": {"userMessage": "break"},
        "response": {"error": {"message": "We broke.", "type": "server_error"}, "status": 500},
    },
    {"match": {"endpoint": "chat"}, "response": {"content": "Hello from far away.", "usage": USAGE}},
]


class Aimock:
    """One process of it, in a folder of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = require_node_package("@copilotkit/aimock") / "dist" / "aimock-cli.js"
        fixtures = self.directory / "fixtures.json"
        fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
        config = self.directory / "aimock.json"
        config.write_text(json.dumps({"llm": {"fixtures": str(fixtures)}}))
        command = [str(require_service("node")), str(program), "-c", str(config)]
        with (self.directory / "aimock.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-p", str(self.port), "--host", "127.0.0.1"], stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def ready(self) -> None:
        """Return once it answers."""
        await eventually(self._answers, 60, "answer of aimock")

    def journal(self) -> list[dict[str, Any]]:
        """What it has received, in order."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/__aimock/journal") as answer:
            entries = json.load(answer)
        return list(entries if isinstance(entries, list) else entries["entries"])

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
