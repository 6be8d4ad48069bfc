"""asgi_gateway: an AI gateway as a stack of small ASGI middlewares around a terminal relay app.

```python
from asgi_gateway import Gateway

gateway = Gateway.from_config("gateway.toml")
app.mount("/ai", gateway)
```
"""

from asgi_gateway.compose import compose
from asgi_gateway.errors import GatewayError
from asgi_gateway.exchange import Exchange, Identity
from asgi_gateway.gateway import Gateway

__all__ = ["Exchange", "Gateway", "GatewayError", "Identity", "compose"]
