"""Vendors and servers that differ by address, paths and the way to send a key alone: one row each.

A row says what the vendor documents, no more: a dialect that is not named is not asked of it.
A vendor that needs behaviour of its own becomes a module, not a row with a flag.
"""

from asgi_gateway.providers.faults import Quirks
from asgi_gateway.providers.headers import bearer
from asgi_gateway.providers.vendor import Vendor

__all__ = ["COMPATIBLE"]

CHAT_EMBEDDINGS = ("openai_chat", "openai_embeddings")
TEXT = ("openai_chat", "openai_completions", "openai_embeddings")
ALL = (*TEXT, "openai_moderations")
NEWER = ("openai_responses", "anthropic_messages")
"""Chat in OpenAI's and in Anthropic's newer formats."""

BEARER = {"anthropic_messages": bearer}
"""Messages with the key as everywhere else, where a vendor documents that."""

COMPATIBLE: tuple[Vendor, ...] = (
    # Whatever speaks OpenAI's wire at an address of one's own.
    Vendor(name="openai_compatible", dialects=ALL, needs_key=False),
    Vendor(
        # Another gateway, which forwards each dialect in its own paths.
        name="new_api",
        dialects=("openai_chat", *NEWER, "google_generate", *ALL[1:]),
        paths={"google_generate": "/v1beta/models/{model}:generateContent"},
        streams={"google_generate": "/v1beta/models/{model}:streamGenerateContent?alt=sse"},
        needs_key=False,
    ),
    # Servers of one's own, at the address they have when nothing is configured.
    Vendor(name="lmstudio", base_url="http://localhost:1234", dialects=(*TEXT, *NEWER), needs_key=False),
    Vendor(
        name="ollama", base_url="http://localhost:11434", dialects=(*TEXT, *NEWER), authenticate=BEARER, needs_key=False
    ),
    Vendor(
        name="vllm",
        base_url="http://localhost:8000",
        dialects=(*TEXT, *NEWER, "anthropic_count_tokens"),
        authenticate={**BEARER, "anthropic_count_tokens": bearer},
        needs_key=False,
    ),
    Vendor(name="xinference", base_url="http://localhost:9997", dialects=TEXT, needs_key=False),
    # Vendors.
    Vendor(name="ai360", base_url="https://api.360.cn"),
    Vendor(
        name="alibaba",
        base_url="https://dashscope.aliyuncs.com/compatible-mode",
        dialects=(*CHAT_EMBEDDINGS, *NEWER),
        paths={"anthropic_messages": "/apps/anthropic/v1/messages"},
    ),
    Vendor(name="baidu", base_url="https://qianfan.baidubce.com", version="/v2"),
    Vendor(name="cerebras", base_url="https://api.cerebras.ai"),
    # Its address holds the account: https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai
    Vendor(name="cloudflare", dialects=CHAT_EMBEDDINGS),
    Vendor(
        # The version stands before the name of the interface.
        name="deepinfra",
        base_url="https://api.deepinfra.com/v1/openai",
        dialects=CHAT_EMBEDDINGS,
        version="",
    ),
    Vendor(
        # Completions exist as "FIM completion" of the beta interface alone.
        name="deepseek",
        base_url="https://api.deepseek.com",
        dialects=("openai_chat", "openai_completions", "anthropic_messages"),
        paths={"openai_completions": "/beta/completions", "anthropic_messages": "/anthropic/v1/messages"},
    ),
    Vendor(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference",
        dialects=(*TEXT, *NEWER),
        authenticate=BEARER,
    ),
    Vendor(
        # No version segment.
        name="github_models",
        base_url="https://models.github.ai/inference",
        dialects=CHAT_EMBEDDINGS,
        version="",
    ),
    Vendor(name="groq", base_url="https://api.groq.com/openai", dialects=("openai_chat", "openai_responses")),
    Vendor(name="huggingface", base_url="https://router.huggingface.co", dialects=("openai_chat", "openai_responses")),
    Vendor(name="jina", base_url="https://api.jina.ai", dialects=("openai_embeddings",)),
    Vendor(name="lingyiwanwu", base_url="https://api.lingyiwanwu.com"),
    Vendor(
        name="minimax",
        base_url="https://api.minimax.io",
        dialects=("openai_chat", *NEWER),
        paths={"anthropic_messages": "/anthropic/v1/messages"},
        authenticate=BEARER,
    ),
    Vendor(name="mistral", base_url="https://api.mistral.ai", dialects=CHAT_EMBEDDINGS),
    Vendor(name="mokaai", base_url="https://api.moka.ai", dialects=("openai_embeddings",)),
    Vendor(
        name="moonshot",
        base_url="https://api.moonshot.cn",
        dialects=("openai_chat", *NEWER),
        paths={"anthropic_messages": "/anthropic/v1/messages"},
        authenticate=BEARER,
    ),
    Vendor(name="nvidia", base_url="https://integrate.api.nvidia.com"),
    Vendor(
        # Its 403 is also what a moderated model says about the caller's text.
        name="openrouter",
        base_url="https://openrouter.ai/api",
        dialects=(*TEXT, *NEWER),
        authenticate=BEARER,
        quirks=Quirks(caller=("input was flagged",)),
    ),
    Vendor(
        # Chat has no version segment.
        name="perplexity",
        base_url="https://api.perplexity.ai",
        dialects=CHAT_EMBEDDINGS,
        paths={"openai_chat": "/chat/completions"},
    ),
    Vendor(
        name="siliconflow",
        base_url="https://api.siliconflow.cn",
        dialects=(*CHAT_EMBEDDINGS, "anthropic_messages"),
        authenticate=BEARER,
    ),
    Vendor(name="submodel", base_url="https://llm.submodel.ai"),
    Vendor(name="tencent", base_url="https://api.hunyuan.cloud.tencent.com", dialects=CHAT_EMBEDDINGS),
    Vendor(name="together", base_url="https://api.together.xyz", dialects=TEXT),
    Vendor(
        name="volcengine",
        base_url="https://ark.cn-beijing.volces.com/api",
        dialects=("openai_chat", "openai_responses"),
        version="/v3",
    ),
    Vendor(
        # A wrong key is a 400 there.
        name="xai",
        base_url="https://api.x.ai",
        dialects=("openai_chat", "openai_responses", "openai_completions"),
        quirks=Quirks(channel=("incorrect api key",)),
    ),
    Vendor(
        name="zai",
        base_url="https://api.z.ai/api/paas",
        version="/v4",
        dialects=("openai_chat", "anthropic_messages"),
        paths={"anthropic_messages": "/api/anthropic/v1/messages"},
    ),
    Vendor(
        name="zhipu",
        base_url="https://open.bigmodel.cn/api/paas",
        version="/v4",
        dialects=(*CHAT_EMBEDDINGS, "anthropic_messages"),
        paths={"anthropic_messages": "/api/anthropic/v1/messages"},
    ),
    # Resellers of OpenAI's interface, for channels that were made elsewhere.
    Vendor(name="aigc2d", base_url="https://api.aigc2d.com", dialects=CHAT_EMBEDDINGS),
    Vendor(name="ails", base_url="https://api.caipacity.com", dialects=CHAT_EMBEDDINGS),
    Vendor(name="aiproxy", base_url="https://api.aiproxy.io", dialects=CHAT_EMBEDDINGS),
    Vendor(name="api2gpt", base_url="https://api.api2gpt.com", dialects=CHAT_EMBEDDINGS),
    Vendor(name="fastgpt", base_url="https://fastgpt.run/api/openapi", dialects=CHAT_EMBEDDINGS),
    Vendor(name="ohmygpt", base_url="https://api.ohmygpt.com", dialects=CHAT_EMBEDDINGS),
    Vendor(name="openaimax", base_url="https://api.openaimax.com", dialects=CHAT_EMBEDDINGS),
)
