"""Django, and the gateway under `/ai`: what an ASGI server runs."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django_application = get_asgi_application()

from asgi_gateway import Gateway  # noqa: E402  # Django must be set up first
from asgi_gateway_contrib.django import session_identity, under_prefix  # noqa: E402

gateway = Gateway.from_config("gateway.toml", identify=session_identity())
application = under_prefix("/ai", gateway, django_application)
