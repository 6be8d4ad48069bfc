"""The fields that we write on purpose although the vendor's own document does not have them, each with its source."""

from collections.abc import Mapping
from typing import Any, Literal

from openai.types.chat.chat_completion_message import Annotation

__all__ = ["ANTHROPIC_MESSAGES", "COHERE_CHAT", "GOOGLE_GENERATE", "OPENAI_CHAT", "OPENAI_RESPONSES"]

_REASONING: Mapping[str, Any] = {
    "reasoning_content": str | None,  # https://api-docs.deepseek.com/guides/reasoning_model
    "reasoning_details": list[dict[str, Any]],  # https://openrouter.ai/docs/use-cases/reasoning-tokens
    "extra_content": dict[str, Any],  # https://ai.google.dev/gemini-api/docs/thought-signatures (OpenAI compatibility)
}

_ANSWER: Mapping[str, Any] = {
    **_REASONING,
    "images": list[dict[str, Any]],  # https://openrouter.ai/docs/features/multimodal/image-generation
}

_DELTA: Mapping[str, Any] = {
    **_ANSWER,
    "annotations": list[Annotation],  # the vendor's searching models stream them so, though the SDK's type has no place
}

_CALL: Mapping[str, Any] = {"extra_content": dict[str, Any]}

OPENAI_CHAT: Mapping[str, Mapping[str, Any]] = {
    "ChatCompletionMessage": _ANSWER,
    "ChoiceDelta": _DELTA,
    "ChatCompletionAssistantMessageParam": _REASONING,
    "ChatCompletionMessageFunctionToolCall": _CALL,
    "ChoiceDeltaToolCall": {
        **_CALL,
        # The vendor streams tools of free text so: https://github.com/openai/openai-openapi/issues/576
        "type": Literal["function", "custom"],
        "custom": dict[str, str],
    },
    "ChatCompletionMessageFunctionToolCallParam": _CALL,
}
"""By the type of the SDK whose objects may hold them."""

OPENAI_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    # In the vendor's own answers, and in its document; the SDK's type leaves them out.
    "Response": {"store": bool | None, "presence_penalty": float | None, "frequency_penalty": float | None},
    # Required by the document, unknown to the SDK's type.
    "ResponseFunctionCallArgumentsDoneEvent": {"name": str},
}

_SAMPLING: Mapping[str, Any] = {"temperature": float, "top_p": float, "top_k": int}

ANTHROPIC_MESSAGES: Mapping[str, Mapping[str, Any]] = {
    # Documented, and taken by all models but the newest, for whose sake the SDK's types have lost them.
    "MessageCreateParamsNonStreaming": _SAMPLING,
    "MessageCreateParamsStreaming": _SAMPLING,
}

GOOGLE_GENERATE: Mapping[str, Mapping[str, Any]] = {
    # https://ai.google.dev/gemini-api/docs/image-generation; the SDK has it in another type.
    "GenerationConfig": {"imageConfig": dict[str, Any]},
}

COHERE_CHAT: Mapping[str, Mapping[str, Any]] = {
    # In all streams of the vendor's own; the SDK's type has the role alone.
    "ChatMessageStartEventDeltaMessage": {
        "content": list[Any],
        "tool_plan": str,
        "tool_calls": list[Any],
        "citations": list[Any],
    },
    # In the vendor's own answers of reasoning and seeing models.
    "UsageTokens": {"reasoning_tokens": float, "image_tokens": float},
}
