"""A small upstream in threads of its own: a function answers each request, and all requests are kept.

```python
def answer(request: Asked) -> Told:
    return Told(json.dumps({"heard": request.body}).encode())

with HttpUpstream(answer) as upstream:
    ...
    assert upstream.asked[0].path == "/v1/messages"
```
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

__all__ = ["Asked", "HttpUpstream", "Told", "forward_to"]


NOT_FORWARDED = frozenset({"host", "accept-encoding", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True)
class Asked:
    """One request: path and query, headers in lower case, the body's bytes."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The body, decoded from JSON."""
        return json.loads(self.raw)


@dataclass(frozen=True)
class Told:
    """One answer."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpUpstream:
    """Listens at `port` of 127.0.0.1 inside the block; `asked` is what came, in order."""

    def __init__(self, answer: Callable[[Asked], Told]) -> None:
        self.asked: list[Asked] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                request = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
                asked.append(request)
                told = answer(request)
                self.send_response(told.status)
                headers = {**told.headers, "content-type": told.media_type, "content-length": str(len(told.body))}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def forward_to(port: int) -> Callable[[Asked], Told]:
    """Answers by what another upstream says, whole."""

    def answer(request: Asked) -> Told:
        kept = {name: value for name, value in request.headers.items() if name not in NOT_FORWARDED}
        asked = Request(f"http://127.0.0.1:{port}{request.path}", request.raw, kept)
        try:
            with urlopen(asked) as response:
                return Told(response.read(), response.status, response.headers["content-type"])
        except HTTPError as error:
            with error:
                return Told(error.read(), error.code, error.headers["content-type"])

    return answer
