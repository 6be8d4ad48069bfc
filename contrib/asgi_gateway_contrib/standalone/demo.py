"""The upstream of `serve --demo`: an echo that speaks OpenAI's wire format on a port of its own.

It is a real upstream on a loopback port, so that a demonstration goes the whole way that a request to a vendor goes.
It answers with what was asked: https://platform.openai.com/docs/api-reference/chat, `/completions`, `/embeddings`
and `/moderations`.
"""

import asyncio
import base64
import math
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from socket import socket
from time import time
from typing import Any

import orjson
from uvicorn import Config, Server

from asgi_gateway.config import ModelSettings, Settings, extended
from asgi_gateway.storage.records import Price
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["MODEL", "EchoUpstream", "serving", "with_demo"]

MODEL = "demo"
NAME = "demo"
PRICE = Price(input=Decimal("0.10"), output=Decimal("0.40"))
QUOTA = 5_000_000
PACE = 0.02
"""Seconds between the words of a stream, so that one sees it is one."""

CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
STREAM_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


def with_demo(settings: Settings, *, port: int, key: str, upstream_key: str) -> Settings:
    """The settings with the echo at `port` as a channel, and a user whose token is `key`; nothing goes to disk."""
    settings = replace(
        settings,
        storage=replace(settings.storage, url="memory://"),
        models={MODEL: ModelSettings(price=PRICE), **settings.models},
    )
    return extended(
        settings,
        channels=[
            {
                "name": NAME,
                "provider": "openai_compatible",
                "dialects": ["openai_chat"],
                "base_url": f"http://127.0.0.1:{port}",
                "keys": [upstream_key],
                "models": [MODEL],
                "groups": sorted({"default", *settings.groups}),
            }
        ],
        users=[{"name": NAME, "quota": QUOTA}],
        tokens=[{"name": NAME, "key": key, "user": NAME, "quota": QUOTA, "show_route": True}],
    )


@asynccontextmanager
async def serving(listener: socket, key: str) -> AsyncIterator[None]:
    """Serve the echo on a listening socket while the block runs."""
    config = Config(EchoUpstream(key), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


class _Server(Server):
    """A server inside another one's process: signals are not its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class EchoUpstream:
    """An ASGI app that echoes for callers who know `key`. `pace`: seconds between the words of a stream."""

    def __init__(self, key: str, *, pace: float = PACE) -> None:
        self._authorization = b"Bearer " + key.encode()
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = orjson.loads(await _body(receive) or b"{}")
        if (b"authorization", self._authorization) not in scope["headers"]:
            await _error(send, 401, "invalid_api_key", "This is not the echo's key.")
        elif request.get("model") != MODEL:
            await _error(send, 404, "model_not_found", f"The only model here is {MODEL}.")
        elif scope["path"] == "/v1/chat/completions":
            await self._chat(request, send)
        elif scope["path"] == "/v1/completions":
            await self._completion(request, send)
        elif scope["path"] == "/v1/embeddings":
            await _json(send, _embeddings(request))
        elif scope["path"] == "/v1/moderations":
            await _json(send, _moderations(request))
        else:
            await _error(send, 404, "not_found", "The echo does not know this path.")

    async def _chat(self, request: Mapping[str, Any], send: Send) -> None:
        words = _words(_last_text(request.get("messages", [])))
        usage = _usage(orjson.dumps(request.get("messages")), words)
        head = {"id": "chatcmpl-" + token_hex(12), "created": int(time()), "model": MODEL}
        if not request.get("stream"):
            message = {"role": "assistant", "content": "".join(words), "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            await _json(send, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
        choices: list[dict[str, object]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        await self._stream({**head, "object": "chat.completion.chunk"}, choices, request, usage, send)

    async def _completion(self, request: Mapping[str, Any], send: Send) -> None:
        prompt = request.get("prompt", "")
        words = _words(prompt if isinstance(prompt, str) else " ".join(map(str, prompt)))
        usage = _usage(orjson.dumps(prompt), words)
        head = {"id": "cmpl-" + token_hex(12), "created": int(time()), "model": MODEL, "object": "text_completion"}
        if not request.get("stream"):
            choice = {"index": 0, "text": "".join(words), "logprobs": None, "finish_reason": "stop"}
            await _json(send, {**head, "choices": [choice], "usage": usage})
            return
        texts = [(word, None) for word in words] + [("", "stop")]
        choices: list[dict[str, object]] = [
            {"index": 0, "text": text, "logprobs": None, "finish_reason": reason} for text, reason in texts
        ]
        await self._stream(head, choices, request, usage, send)

    async def _stream(
        self,
        head: Mapping[str, object],
        choices: list[dict[str, object]],
        request: Mapping[str, Any],
        usage: Mapping[str, int],
        send: Send,
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        for choice in choices:
            await send(_event({**head, "choices": [choice]}))
            await asyncio.sleep(self._pace)
        if (request.get("stream_options") or {}).get("include_usage"):
            await send(_event({**head, "choices": [], "usage": usage}))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _last_text(messages: list[Mapping[str, Any]]) -> str:
    """The text of the last message of a user."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return " ".join(part["text"] for part in content if part.get("type") == "text")
            return content or ""
    return ""


def _words(text: str) -> list[str]:
    """The text in pieces that make it up again: each word with the space before it."""
    words = text.split(" ")
    return [words[0], *(" " + word for word in words[1:])]


def _usage(prompt: bytes, words: list[str]) -> dict[str, int]:
    """A token per 4 bytes of the prompt and per word of the answer."""
    tokens = max(1, len(prompt) // 4)
    return {"prompt_tokens": tokens, "completion_tokens": len(words), "total_tokens": tokens + len(words)}


def _embeddings(request: Mapping[str, Any]) -> dict[str, object]:
    inputs = request.get("input", "")
    texts = inputs if isinstance(inputs, list) and not all(isinstance(part, int) for part in inputs) else [inputs]
    vectors = [_vector(orjson.dumps(text), request.get("dimensions") or 8) for text in texts]
    encoded = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = max(1, len(orjson.dumps(inputs)) // 4)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": MODEL, "data": data, "usage": usage}


def _vector(text: bytes, dimensions: int) -> list[float]:
    """A vector of length 1 that depends on the text alone."""
    octets = b"".join(sha256(b"%d:%b" % (block, text)).digest() for block in range(-(-dimensions // 32)))
    raw = [octet - 127.5 for octet in octets[:dimensions]]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _moderations(request: Mapping[str, Any]) -> dict[str, object]:
    inputs = request.get("input", "")
    count = len(inputs) if isinstance(inputs, list) else 1
    result = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": dict.fromkeys(CATEGORIES, 0.0),
    }
    return {"id": "modr-" + token_urlsafe(12), "model": MODEL, "results": [result] * count}


async def _body(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _event(data: Mapping[str, object]) -> dict[str, object]:
    return {"type": "http.response.body", "body": b"data: %b\n\n" % orjson.dumps(data), "more_body": True}


async def _json(send: Send, data: Mapping[str, object], status: int = 200) -> None:
    body = orjson.dumps(data)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _error(send: Send, status: int, code: str, message: str) -> None:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    await _json(send, {"error": error}, status)
