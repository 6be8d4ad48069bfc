"""What is asked and answered: the same bytes for every contender."""

import json

__all__ = [
    "ANSWER",
    "CALLER_KEY",
    "MESSAGES_PATH",
    "MESSAGES_REQUEST",
    "MODEL",
    "PATH",
    "REQUEST",
    "STAMP",
    "UPSTREAM_KEY",
    "stream_request",
]

PATH = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
CALLER_KEY = "sk-benchmark0123456789abcdef0123456789abcdef0123456789"
UPSTREAM_KEY = "sk-upstream0123456789abcdef"

STAMP = rb"sent at (\d+) ns"
"""How the upstream's clock reads in an event: `time.monotonic_ns`, which all processes of a machine share."""

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Say hello to me in one short sentence, please."},
]


def compact(value: object) -> bytes:
    """JSON without spaces, as clients send it."""
    return json.dumps(value, separators=(",", ":")).encode()


REQUEST = compact({"model": MODEL, "messages": MESSAGES, "temperature": 0.7})

MESSAGES_PATH = "/v1/messages"
MESSAGES_REQUEST = compact(
    {
        "model": MODEL,
        "system": MESSAGES[0]["content"],
        "messages": MESSAGES[1:],
        "max_tokens": 256,
        "temperature": 0.7,
    }
)
"""The same in Anthropic's dialect."""

ANSWER = compact(
    {
        "id": "chatcmpl-abc123",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello there! How can I help you today? I can answer questions, write code, and more."
                    " Just ask away whenever you are ready to begin.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 19,
            "completion_tokens": 31,
            "total_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_abc",
    }
)


def stream_request(events: int) -> bytes:
    """A request for a stream; the upstream sends as many events as it may send tokens."""
    return compact({"model": MODEL, "messages": MESSAGES, "stream": True, "max_tokens": events})
