"""asgi_gateway: an AI gateway as a stack of small ASGI middlewares around a terminal relay app."""
