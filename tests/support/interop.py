"""What tests of interoperation share: a gateway with channels for each dialect."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV
from support.http_upstream import HttpUpstream
from support.vendors import CLIENTS
from support.vendors.answers import Client

__all__ = ["UPSTREAMS", "Line", "Upstream", "channel", "configuration"]


@dataclass(frozen=True)
class Upstream:
    """How a dialect's upstream is reached: provider, the model's name there, the end of the base URL, a key."""

    provider: str
    model: str
    path: str = ""
    key: str = "sk-upstream"


UPSTREAMS: Mapping[str, Upstream] = {
    "openai_chat": Upstream("openai", "gpt-4o", "/v1"),
    "openai_responses": Upstream("openai", "gpt-5", "/v1"),
    "anthropic_messages": Upstream("anthropic", "claude-sonnet-4-5"),
    "google_generate": Upstream("gemini", "gemini-2.5-flash"),
    "cohere_chat": Upstream("cohere", "command-a-reasoning-08-2025"),
    "bedrock_converse": Upstream(
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", key="AKIDEXAMPLE|none|us-east-1"
    ),
}
"""By dialect."""


def channel(name: str, dialect: str, port: int) -> str:
    """A channel's section, to an upstream of a dialect at a port; it offers one model, of the channel's name."""
    upstream = UPSTREAMS[dialect]
    return f"""
[[channels]]
name = "{name}"
provider = "{upstream.provider}"
base_url = "http://127.0.0.1:{port}{upstream.path}"
keys = ["{upstream.key}"]
models = ["{name}"]
dialects = ["{dialect}"]
model_mapping = {{ "{name}" = "{upstream.model}" }}
"""


def configuration(*channels: str) -> str:
    """The text of a configuration: these channels, and one caller who pays nothing."""
    return f"""[billing]
unpriced = "free"
{"".join(channels)}
[[users]]
name = "{DEV.name}"
quota = {DEV.user_quota}
[[tokens]]
name = "{DEV.name}"
key = "{DEV.key}"
user = "{DEV.name}"
unlimited = true
"""


@dataclass
class Line:
    """A gateway with channels for each dialect.

    The model `to-<dialect>` reaches aimock; `seen-<dialect>` does so through `recorder`, which keeps what came, and
    answers whole; `think-cohere_chat` thinks as Cohere's models do.
    """

    gateway: GatewayProcess
    recorder: HttpUpstream

    @contextmanager
    def client(self, dialect: str) -> Iterator[Client]:
        """The SDK that speaks a dialect, pointed at the gateway."""
        client = CLIENTS[dialect](self.gateway.url, DEV.key)
        try:
            yield client
        finally:
            client.close()
