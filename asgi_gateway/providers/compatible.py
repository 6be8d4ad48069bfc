"""Vendors and servers that are OpenAI's shape under another address: one row each.

A row says what the vendor documents, no more: a dialect that is not named is not asked of it.
A vendor that needs behaviour of its own becomes a module, not a row with a flag.
"""

from asgi_gateway.providers.faults import Quirks
from asgi_gateway.providers.vendor import Vendor

__all__ = ["COMPATIBLE"]

CHAT = ("openai_chat",)
CHAT_EMBEDDINGS = ("openai_chat", "openai_embeddings")
CHAT_COMPLETIONS = ("openai_chat", "openai_completions")
TEXT = ("openai_chat", "openai_completions", "openai_embeddings")
ALL = (*TEXT, "openai_moderations")

COMPATIBLE: tuple[Vendor, ...] = (
    # Whatever speaks OpenAI's wire at an address of one's own, another gateway for instance.
    Vendor(name="openai_compatible", dialects=ALL, needs_key=False),
    # Servers of one's own, at the address they have when nothing is configured.
    Vendor(name="ollama", base_url="http://localhost:11434", dialects=TEXT, needs_key=False),
    Vendor(name="vllm", base_url="http://localhost:8000", dialects=TEXT, needs_key=False),
    Vendor(name="lmstudio", base_url="http://localhost:1234", dialects=TEXT, needs_key=False),
    # Vendors.
    Vendor(name="alibaba", base_url="https://dashscope.aliyuncs.com/compatible-mode", dialects=CHAT_EMBEDDINGS),
    Vendor(name="baidu", base_url="https://qianfan.baidubce.com", version="/v2"),
    Vendor(name="cerebras", base_url="https://api.cerebras.ai"),
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
        dialects=CHAT_COMPLETIONS,
        paths={"openai_completions": "/beta/completions"},
    ),
    Vendor(name="fireworks", base_url="https://api.fireworks.ai/inference", dialects=TEXT),
    Vendor(name="groq", base_url="https://api.groq.com/openai"),
    Vendor(name="huggingface", base_url="https://router.huggingface.co"),
    Vendor(name="lingyiwanwu", base_url="https://api.lingyiwanwu.com"),
    Vendor(name="mistral", base_url="https://api.mistral.ai", dialects=CHAT_EMBEDDINGS),
    Vendor(name="moonshot", base_url="https://api.moonshot.cn"),
    Vendor(name="nvidia", base_url="https://integrate.api.nvidia.com"),
    Vendor(
        # Its 403 is also what a moderated model says about the caller's text.
        name="openrouter",
        base_url="https://openrouter.ai/api",
        dialects=TEXT,
        quirks=Quirks(caller=("input was flagged",)),
    ),
    Vendor(
        # Chat has no version segment.
        name="perplexity",
        base_url="https://api.perplexity.ai",
        dialects=CHAT_EMBEDDINGS,
        paths={"openai_chat": "/chat/completions"},
    ),
    Vendor(name="siliconflow", base_url="https://api.siliconflow.cn", dialects=CHAT_EMBEDDINGS),
    Vendor(name="together", base_url="https://api.together.xyz", dialects=TEXT),
    Vendor(name="volcengine", base_url="https://ark.cn-beijing.volces.com/api", version="/v3"),
    Vendor(
        # A wrong key is a 400 there.
        name="xai",
        base_url="https://api.x.ai",
        dialects=CHAT_COMPLETIONS,
        quirks=Quirks(channel=("incorrect api key",)),
    ),
    Vendor(name="zai", base_url="https://api.z.ai/api/paas", version="/v4"),
    Vendor(name="zhipu", base_url="https://open.bigmodel.cn/api/paas", dialects=CHAT_EMBEDDINGS, version="/v4"),
)
