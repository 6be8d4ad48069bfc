"""A stack of one's own: three layers around the relay, without keys, quota or storage."""

import os

from asgi_gateway import compose
from asgi_gateway.middleware import ChannelRoutingMiddleware, ModelMappingMiddleware, RequestBodyMiddleware
from asgi_gateway.relay import Relay
from asgi_gateway.storage import Channel, Secret

KEY = Secret(os.environ["UPSTREAM_KEY"])
URL = os.environ.get("UPSTREAM_URL", "https://api.openai.com")

channels = [
    Channel(name="chat", provider="openai", base_url=URL, keys=(KEY,), models=("gpt-4o-mini",)),
    Channel(name="vectors", provider="openai", base_url=URL, keys=(KEY,), models=("text-embedding-3-small",)),
]

app = compose(
    Relay(),
    [
        (RequestBodyMiddleware, {"max_bytes": 4 << 20}),
        (ModelMappingMiddleware, {}),
        (ChannelRoutingMiddleware, {"channels": channels}),
    ],
)
