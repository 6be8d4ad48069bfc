"""Google's `usageMetadata` as disjoint kinds of tokens, and back.

Follows https://ai.google.dev/api/generate-content#UsageMetadata: `promptTokenCount` includes cached tokens, what
hosted tools put in stands apart (`toolUsePromptTokenCount`), `candidatesTokenCount` excludes thoughts. In streams each
report is cumulative. Video and documents are counted as text, whose price they have.
"""

from typing import Annotated, Any

import msgspec

from asgi_gateway.canonical import Losses, Usage
from asgi_gateway.dialects.service_tiers import tier_of

__all__ = ["Reported", "usage_of", "write_usage"]

LARGEST = 1 << 40

_TRAFFIC = {
    "flex": "ON_DEMAND_FLEX",
    "priority": "ON_DEMAND_PRIORITY",
    "offpeak": "ON_DEMAND_OFFPEAK",
    "provisioned": "PROVISIONED_THROUGHPUT",
}
"""Classes of service as Google's clients know them in a report."""

_NUMBERS = {"IMAGE": 2, "AUDIO": 4}

_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


class _Detail(msgspec.Struct):
    modality: str | int = ""
    """A name; older versions of Vertex send numbers."""
    tokenCount: _Count = 0  # noqa: N815 (a field of Google's)


class Reported(msgspec.Struct):
    """The report as it stands on the wire. Fields that it lacks are None: absent differs from zero."""

    promptTokenCount: _Count | None = None  # noqa: N815
    candidatesTokenCount: _Count | None = None  # noqa: N815
    totalTokenCount: _Count | None = None  # noqa: N815
    thoughtsTokenCount: _Count | None = None  # noqa: N815
    cachedContentTokenCount: _Count | None = None  # noqa: N815
    toolUsePromptTokenCount: _Count | None = None  # noqa: N815
    promptTokensDetails: list[_Detail] | None = None  # noqa: N815
    cacheTokensDetails: list[_Detail] | None = None  # noqa: N815
    candidatesTokensDetails: list[_Detail] | None = None  # noqa: N815
    toolUsePromptTokensDetails: list[_Detail] | None = None  # noqa: N815
    serviceTier: str | None = None  # noqa: N815
    trafficType: Any = None  # noqa: N815
    """Vertex's word for the class of service; older versions send numbers."""


def usage_of(reported: Any) -> Usage | None:
    """The usage that a report tells; None when it has no figure (Vertex sends such ones inside streams)."""
    if not isinstance(reported, Reported):
        try:
            reported = msgspec.convert(reported, Reported)
        except msgspec.ValidationError:
            return None
    prompt, said = reported.promptTokenCount, reported.candidatesTokenCount
    thoughts, total = reported.thoughtsTokenCount or 0, reported.totalTokenCount
    if prompt is None and said is None and total is None and not thoughts:
        return None
    used = reported.toolUsePromptTokenCount or 0
    if prompt is None:
        prompt = max(0, (total or 0) - (said or 0) - thoughts - used)
    if said is None:
        said = max(0, (total or 0) - prompt - thoughts - used)
    wrong = total is not None and total != prompt + said + thoughts + used
    cached, audio_in, image_in, doubtful_in = _inside(reported, prompt)
    audio_out, image_out, doubtful_out = _outside(reported, said)
    return Usage(
        input=prompt - cached - audio_in - image_in + used,
        cache_read=cached,
        audio_input=audio_in,
        image_input=image_in,
        output=said - audio_out - image_out,
        reasoning=thoughts,
        audio_output=audio_out,
        image_output=image_out,
        service_tier=tier_of(reported.serviceTier) or tier_of(reported.trafficType),
        inconsistent=wrong or doubtful_in or doubtful_out,
    )


def _inside(reported: Reported, prompt: int) -> tuple[int, int, int, bool]:
    """Cached, audio and image tokens of the prompt, none counted twice; and whether that took a correction."""
    given = reported.cachedContentTokenCount or 0
    cached = min(given, prompt)
    if _only_text(reported.promptTokensDetails):
        return cached, 0, 0, given > prompt
    kept = reported.cacheTokensDetails
    audio = max(0, _modality(reported.promptTokensDetails, "AUDIO") - _modality(kept, "AUDIO"))
    image = max(0, _modality(reported.promptTokensDetails, "IMAGE") - _modality(kept, "IMAGE"))
    room = prompt - cached
    wrong = given > prompt or audio + image > room
    audio = min(audio, room)
    return cached, audio, min(image, room - audio), wrong


def _outside(reported: Reported, said: int) -> tuple[int, int, bool]:
    if _only_text(reported.candidatesTokensDetails):
        return 0, 0, False
    audio = _modality(reported.candidatesTokensDetails, "AUDIO")
    image = _modality(reported.candidatesTokensDetails, "IMAGE")
    wrong = audio + image > said
    audio = min(audio, said)
    return audio, min(image, said - audio), wrong


def _only_text(details: list[_Detail] | None) -> bool:
    return not details or (len(details) == 1 and details[0].modality in ("TEXT", 1))


def _modality(details: list[_Detail] | None, name: str) -> int:
    either = (name, _NUMBERS[name])
    return sum(detail.tokenCount for detail in details or () if detail.modality in either)


def write_usage(usage: Usage, losses: Losses) -> dict[str, Any]:
    """A `usageMetadata` object. What was written to a cache is part of the prompt: Google has no word for it."""
    if usage.cache_write or usage.cache_write_1h:
        losses.approximated("usage.cache_write")
    prompt, thoughts = usage.total_input, usage.reasoning
    said = usage.output + usage.audio_output + usage.image_output
    made: dict[str, Any] = {"promptTokenCount": prompt, "candidatesTokenCount": said}
    made["totalTokenCount"] = prompt + said + thoughts
    if thoughts:
        made["thoughtsTokenCount"] = thoughts
    if usage.cache_read:
        made["cachedContentTokenCount"] = usage.cache_read
    text = prompt - usage.audio_input - usage.image_input
    made["promptTokensDetails"] = _details(TEXT=text, AUDIO=usage.audio_input, IMAGE=usage.image_input)
    if usage.cache_read:
        made["cacheTokensDetails"] = _details(TEXT=usage.cache_read)
    if usage.audio_output or usage.image_output:
        made["candidatesTokensDetails"] = _details(
            TEXT=usage.output, AUDIO=usage.audio_output, IMAGE=usage.image_output
        )
    if usage.service_tier in _TRAFFIC:
        made["trafficType"] = _TRAFFIC[usage.service_tier]
    return made


def _details(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]
