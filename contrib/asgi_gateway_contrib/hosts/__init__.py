"""Callers named by the host application's own login: ready functions for `Gateway(identify=…)`.

| host | function |
|---|---|
| Starlette's `AuthenticationMiddleware` | `starlette_user` |
| FastAPI, a dependency that gives the user | `dependency_identity` |
| anybody's signed JSON Web Tokens | `jwt_identity` |
| Django's session | `asgi_gateway_contrib.django.session_identity` |
"""
