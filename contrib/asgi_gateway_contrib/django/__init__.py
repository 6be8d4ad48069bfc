"""Django glue: the gateway beside a Django project, in its `asgi.py`.

Django's handler takes HTTP alone, neither lifespan nor WebSockets, and its middlewares run inside it.
So we stand around it: what is under the prefix is ours, everything else is Django's, and the lifespan is ours too.
"""

from asgi_gateway_contrib.django.mount import under_prefix
from asgi_gateway_contrib.django.session import session_identity

__all__ = ["session_identity", "under_prefix"]
