"""An upstream on a thread of its own, whose streams wait until a test lets them go on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["HeldUpstream", "held_upstream"]

DEADLINE = 30.0


class HeldUpstream(ThreadingHTTPServer):
    """Answers `/v1/chat/completions`: at once, or as a stream that stops after its first word until `go` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.go = threading.Event()
        self.left = threading.Event()
        self.requests: list[dict[str, object]] = []
        self.refusal = 0
        """A status to refuse everything with; 0: none."""

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A gateway that leaves is what tests are about."""
        self.left.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HeldUpstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append({"authorization": self.headers["authorization"], **body})
        if self.server.refusal:
            error = {"message": f"no: {self.headers['authorization']}", "type": "t", "param": None, "code": "no"}
            self._send(json.dumps({"error": error}).encode(), "application/json", self.server.refusal)
        elif body.get("stream"):
            self._stream()
        else:
            usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
            message = {"role": "assistant", "content": "hello"}
            answer = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
            self._send(json.dumps(answer).encode(), "application/json")

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._event({"role": "assistant", "content": "first"})
        self.server.go.wait(DEADLINE)
        self._event({"content": "second"})
        self._event({}, "stop")
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, delta: dict[str, str], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Tests speak for themselves."""


@contextmanager
def held_upstream() -> Iterator[HeldUpstream]:
    """A running upstream."""
    with HeldUpstream() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()
