"""A Starlette app with sessions, a login and CORS of its own, and the gateway mounted under `/ai`."""

import os
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from asgi_gateway import Gateway
from asgi_gateway_contrib.hosts.starlette import starlette_user

gateway = Gateway.from_config("gateway.toml", identify=starlette_user())


class SessionBackend(AuthenticationBackend):
    """Whoever logged in, by the session."""

    async def authenticate(self, connection):
        name = connection.session.get("user")
        return (AuthCredentials(["authenticated"]), SimpleUser(name)) if name else None


async def login(request):
    """A stand-in for the host's real login: it believes what it is told."""
    request.session["user"] = (await request.json())["user"]
    return JSONResponse({"user": request.session["user"]})


async def home(request):
    return JSONResponse({"user": request.user.display_name})


@asynccontextmanager
async def lifespan(app):
    # Starlette does not pass its lifespan on to what is mounted.
    async with gateway:
        yield


app = Starlette(
    routes=[Route("/", home), Route("/login", login, methods=["POST"]), Mount("/ai", gateway)],
    middleware=[
        Middleware(
            CORSMiddleware,
            allow_origins=["https://app.example"],
            allow_credentials=True,
            allow_methods=["*"],
            allow_headers=["*"],
        ),
        Middleware(SessionMiddleware, secret_key=os.environ.get("SESSION_SECRET", "change-me")),
        Middleware(AuthenticationMiddleware, backend=SessionBackend()),
    ],
    lifespan=lifespan,
)
