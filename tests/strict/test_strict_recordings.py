"""The strict adapter takes what the vendors themselves wrote; where it does not, the reason is listed."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from support.recordings import HOME, recordings, wire_of
from support.strict import STRICT, Mistake, mistakes

pytestmark = pytest.mark.skipif(not HOME.exists(), reason="no recordings beside the repository")

VENDORS: Mapping[str, tuple[str, frozenset[str]]] = {
    "openai_chat": ("openai.chat", frozenset({"openai"})),
    "openai_responses": ("openai.responses", frozenset({"openai"})),
    "anthropic_messages": ("anthropic.messages", frozenset({"anthropic"})),
    "google_generate": ("gemini.generate", frozenset({"google", "vertex"})),
    "cohere_chat": ("cohere.chat", frozenset({"cohere"})),
}
"""Where the recordings of a dialect are, and who in them is its vendor. Of Amazon's there are none."""

Known = Sequence[tuple[str, str, str]]

KNOWN: Mapping[str, Known] = {
    "openai_chat": (
        ("response", r"choices\[\]", "logprobs is left out in answers of today"),
        ("response", r"choices\[\]\.message\.refusal", "answers before 2024 have none"),
        ("response", r"choices\[\]\.finish_(details|reason)", "the first vision model stopped in another way"),
        ("request", r"tools\[\]\.function\.\w+", "a framework's own fields, which the vendor lets pass"),
        ("request", r"messages\[\]\.content\[\]\.image_url", "an image's address in the form of 2023"),
        ("stream", r"choice", "a call that was forced by its name stops with stop"),
        ("stream", r"chunk\[\]", "a moderation's chunk comes last"),
    ),
    "openai_responses": (
        ("response", r"usage\.pydantic_ai_gateway|output\[\]\.status", "not in the SDK's types"),
        ("stream", r".*\.bytes", "not in the SDK's types"),
        ("response", r"output\[\]", "shell calls before 2026 have no environment"),
        ("stream", r"item", "shell calls before 2026 have no environment"),
        ("stream", r"\(top\)", "function_call_arguments.done had no name before 2026"),
        ("response", r"output\[\]\.content\[\]", "texts before June 2025 have no logprobs"),
        ("stream", r"(event\[\]\.)?item\.action", "a hosted call begins without its action"),
        ("stream", r"event\[\]", "the diffs of apply_patch are not in the SDK's types"),
        ("stream", r"event\[\]\.logprobs", "a shortened fixture"),
        ("response", r"tools\[\]\.\w+", "not in the SDK's types"),
        ("response", r"\w+", "a shortened fixture"),
        ("stream", r"(event\[\]\.)?response(\.\w+)?", "a shortened fixture"),
        ("request", r"tools\[\]\.strict", "may be left out"),
        ("request", r"input\[\]\.content\[\](\.type)?", "an assistant's text may come back without id and status"),
        ("request", r"input\[\]\.\w+", "a function call may come back with a status of null"),
        ("request", r"(input|model)", "a stored prompt brings its own"),
        ("request", r"input\[\]", "the call of a hosted tool search has another kind"),
    ),
    "anthropic_messages": (
        ("response", r"content\[\]\.content\.abort_reason", "not in the SDK's types"),
        ("stream", r".*\.abort_reason", "not in the SDK's types"),
        ("response", r"stop_sequence", "a shortened fixture"),
        ("request", r"messages\[\]\.content\[\]\.text", "the vendor took an empty text of an assistant's"),
        ("request", r"messages\[\]\.content", "a conversation whose call had been replaced by the recorder"),
        ("stream", r"event\[\]|stop_reason", "two answers in one fixture"),
        ("request", r"output_format", "the name that output_config.format had as a beta"),
    ),
    "google_generate": (
        ("request", r"(.*\.)?[a-z]+(_[a-z]+)+", "the vendor takes snake case too"),
        ("request", r".*(\.type|\.mode|\.thinkingLevel)", "the vendor takes words in any case"),
        ("request", r"tools", "one tool without its array"),
        ("request", r"model", "the vendor takes the model in the body too"),
        ("response", r".*(\.modality|\.finishReason|\.trafficType)", "numbers for words: gRPC, recorded as JSON"),
        ("stream", r".*(\.modality|\.finishReason|\.trafficType)", "numbers for words: gRPC, recorded as JSON"),
        ("response", r"responseId", "answers before 2025 have none"),
        ("stream", r".*functionCall\.name", "arguments in pieces: a later piece has no name"),
    ),
    "cohere_chat": (
        ("request", r"\w+", "version 1"),
        ("response", r"\w+", "version 1"),
        ("stream", r"\(top\)|event\[\]", "version 1: lines of JSON"),
        ("stream", r"tool_calls", "a call without arguments has none"),
    ),
}
"""By dialect: what, the mistake's path without positions, and why the vendor's own traffic has it."""


NEWER = (
    (
        rb'("input_tokens_details": ?\{)(?=[^{}]*"cached_tokens")(?![^{}]*"cache_write_tokens")',
        rb'\1"cache_write_tokens": 0, ',
    ),
    (rb'("server_tool_use": ?\{)(?![^{}]*"web_fetch_requests")', rb'\1"web_fetch_requests": 0, '),
)
"""Fields that the SDKs' types require and that older answers did not have."""

UNTYPED = (rb'"(obfuscation|serviceTier)": ?"[^"]*",?\s*', rb'"billing": ?\{[^{}]*\},?\s*')
"""Fields of the vendors' own that the SDKs' types do not have, and that we never write."""


def as_today(body: bytes) -> bytes:
    """A recorded body with the fields that came later, so that the rest of it is checked too."""
    for pattern, more in NEWER:
        body = re.sub(pattern, more, body)
    for pattern in UNTYPED:
        body = re.sub(pattern, b"", body)
    return re.sub(rb",(\s*\})", rb"\1", body)


def unlisted(dialect: str, used: Counter[tuple[str, str]]) -> tuple[list[str], int, int]:
    """The mistakes that no line of the list tells; how many bodies were looked at, and how many were without any."""
    folder, vendors = VENDORS[dialect]
    told, seen, clean = [], 0, 0
    own = [recording for recording in recordings(folder) if recording["provider"] in vendors]
    for id, what, part in (
        (recording["id"], *body)
        for recording in own
        if "request_elided" not in recording["features"]
        for body in bodies(recording)
    ):
        found = mistakes(dialect, what, as_today(wire_of(part)))
        seen, clean = seen + 1, clean + (not found)
        for mistake in found:
            line = listed(dialect, what, mistake)
            if line is None:
                told.append(f"{id} {what} {mistake}")
            else:
                used[line] += 1
    return told, seen, clean


def listed(dialect: str, what: str, mistake: Mistake) -> tuple[str, str] | None:
    """The line of the list that tells of a mistake."""
    path = re.sub(r"\[\d+\]", "[]", mistake.path or "(top)").partition(" ")[0]
    lines = ((kind, pattern) for kind, pattern, _ in KNOWN[dialect])
    return next((line for line in lines if line[0] == what and re.fullmatch(line[1], path)), None)


def bodies(recording: dict[str, dict[str, object]]) -> list[tuple[str, dict[str, object]]]:
    """What of a recording can be checked as what; an error inside a good stream is the replay's business."""
    answer = recording["response"]
    failed = int(str(answer["status"])) >= 400
    given = []
    if not failed and recording["request"].get("json") is not None:
        given.append(("request", recording["request"]))
    if failed:
        given.append(("error", answer))
    elif not {"stream_error", "truncated"} & set(recording["features"]):
        streamed = recording["stream"] or answer.get("framing") == "json-array"
        given.append(("stream" if streamed else "response", answer))
    return given


@pytest.mark.parametrize("dialect", VENDORS)
def test_what_vendors_wrote_is_valid(dialect: str) -> None:
    """Every recorded body passes, but for listed differences between a vendor's traffic and its SDK's types."""
    pytest.importorskip(STRICT[dialect])
    used: Counter[tuple[str, str]] = Counter()
    told, seen, clean = unlisted(dialect, used)
    assert told == []
    assert seen > 50
    assert clean > seen / 4
    assert {(what, pattern) for what, pattern, _ in KNOWN[dialect]} == set(used), "a line of the list tells nothing"
