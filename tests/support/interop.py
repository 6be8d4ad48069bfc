"""What tests of interoperation share: a gateway with a channel for each dialect."""

from dataclasses import dataclass

from support.aimock import Aimock
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV
from support.vendor_clients import CLIENTS, Client

__all__ = ["CHANNEL", "UPSTREAMS", "Line"]

UPSTREAMS = {
    "openai_chat": ("openai", "gpt-4o", "/v1"),
    "openai_responses": ("openai", "gpt-5", "/v1"),
    "anthropic_messages": ("anthropic", "claude-sonnet-4-5", ""),
    "google_generate": ("gemini", "gemini-2.5-flash", ""),
}
"""By dialect: provider, the model's name there, and the end of the base URL."""

CHANNEL = """
[[channels]]
name = "{dialect}"
provider = "{provider}"
base_url = "http://127.0.0.1:{port}{path}"
keys = ["sk-upstream"]
models = ["to-{dialect}"]
dialects = ["{dialect}"]
model_mapping = {{ "to-{dialect}" = "{model}" }}
"""


@dataclass
class Line:
    """A gateway with a channel for each dialect, all to one upstream."""

    gateway: GatewayProcess
    upstream: Aimock

    def client(self, dialect: str) -> Client:
        """The SDK that speaks a dialect, pointed at the gateway."""
        return CLIENTS[dialect](self.gateway.url, DEV.key)
