"""OpenAI's chat completions, passed through: https://platform.openai.com/docs/api-reference/chat.

The model list and realtime sockets are classified here, too: what they share with chat is the error object.

```python
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT

body = b'{"model": "fast", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
assert OPENAI_CHAT.outline(body).model == "fast"
assert OPENAI_CHAT.rewrite(body, model="gpt-4o-mini").startswith(b'{"model": "gpt-4o-mini", "stream": true')
```
"""

import re
from collections.abc import Sequence

from asgi_gateway.dialects.contract import NOWHERE, Dialect, Operation, OwnedRoute, RequestOutline, Target
from asgi_gateway.dialects.openai_chat import request
from asgi_gateway.dialects.openai_wire.dialect import OpenAIDialect
from asgi_gateway.dialects.openai_wire.text import CHAT_TEXT

__all__ = ["OPENAI_CHAT"]


class _OpenAIChat(OpenAIDialect):
    name: str = "openai_chat"
    routes: Sequence[OwnedRoute] = (
        OwnedRoute("POST", "/v1/chat/completions", Operation.CHAT),
        OwnedRoute("GET", "/v1/models", Operation.MODELS),
        OwnedRoute("GET", "/v1/models/{model}", Operation.MODELS),
        OwnedRoute("WEBSOCKET", "/v1/realtime", Operation.REALTIME),
    )
    stream_usage = True
    answer = "choices"
    text: re.Pattern[bytes] | None = CHAT_TEXT

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        return request.outline(body)


OPENAI_CHAT: Dialect = _OpenAIChat()
