"""A FastAPI app with routes and a login of its own, and the gateway mounted under `/ai`."""

import os
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware

from asgi_gateway import Gateway, Identity
from asgi_gateway_contrib.hosts.fastapi import dependency_identity


class User(BaseModel):
    name: str
    plan: str = "default"


def session_of(request: Request) -> dict[str, str]:
    return request.session


def current_user(session: Annotated[dict[str, str], Depends(session_of)]) -> User:
    if "user" not in session:
        raise HTTPException(401, "log in first")
    return User(name=session["user"])


gateway = Gateway.from_config(
    "gateway.toml", identify=dependency_identity(current_user, lambda user: Identity(user.name, user.plan))
)


@asynccontextmanager
async def lifespan(app: FastAPI):
    # FastAPI does not pass its lifespan on to what is mounted.
    async with gateway:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SESSION_SECRET", "change-me"))
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://app.example"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)


@app.post("/login")
def login(user: User, request: Request) -> User:
    """A stand-in for the host's real login: it believes what it is told."""
    request.session["user"] = user.name
    return user


@app.get("/")
def home(user: Annotated[User, Depends(current_user)]) -> User:
    return user


app.mount("/ai", gateway)
