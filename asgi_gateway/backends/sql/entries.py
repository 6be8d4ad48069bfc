"""Users, tokens and channels as rows, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from asgi_gateway.storage.records import NO_BUDGET, Budget, Channel, Secret, Timeouts, Token, User

__all__ = ["channel_of", "channel_values", "token_of", "token_values", "user_of", "user_values"]

Row = Sequence[Any]


def user_values(user: User) -> dict[str, object]:
    """The columns of a user, without its id."""
    return {
        "name": user.name,
        "group_name": user.group,
        "role": user.role,
        "enabled": user.enabled,
        "unlimited": user.unlimited,
        "budget": _budget_text(user.budget),
        "origin": user.origin,
        "created": _text_of(user.created),
    }


def user_of(row: Row) -> User:
    """The user in a row of `gateway_users`."""
    id, name, group, role, enabled, unlimited, budget, origin, created = row
    return User(
        id=id,
        name=name,
        group=group,
        role=role,
        enabled=enabled,
        unlimited=unlimited,
        budget=_budget_of(budget),
        origin=origin,
        created=_time_of(created),
    )


def token_values(token: Token) -> dict[str, object]:
    """The columns of a token, without its id."""
    return {
        "name": token.name,
        "user_id": token.user_id,
        "digest": token.digest.hex(),
        "hint": token.hint,
        "enabled": token.enabled,
        "unlimited": token.unlimited,
        "expires": _text_of(token.expires),
        "models": json.dumps(token.models),
        "networks": json.dumps(token.networks),
        "group_name": token.group,
        "budget": _budget_text(token.budget),
        "show_route": token.show_route,
        "origin": token.origin,
        "created": _text_of(token.created),
    }


def token_of(row: Row) -> Token:
    """The token in a row of `gateway_tokens`."""
    (
        id,
        name,
        user_id,
        digest,
        hint,
        enabled,
        unlimited,
        expires,
        models,
        networks,
        group,
        budget,
        show_route,
        origin,
        created,
    ) = row
    return Token(
        id=id,
        name=name,
        user_id=user_id,
        digest=bytes.fromhex(digest),
        hint=hint,
        enabled=enabled,
        unlimited=unlimited,
        expires=_time_of(expires),
        models=tuple(json.loads(models)),
        networks=tuple(json.loads(networks)),
        group=group,
        budget=_budget_of(budget),
        show_route=show_route,
        origin=origin,
        created=_time_of(created),
    )


def channel_values(channel: Channel) -> dict[str, object]:
    """The columns of a channel, without its id. Keys stand apart from the other settings."""
    settings: Mapping[str, object] = {
        "base_url": channel.base_url,
        "api_version": channel.api_version,
        "models": channel.models,
        "groups": channel.groups,
        "priority": channel.priority,
        "weight": channel.weight,
        "dialects": channel.dialects,
        "model_mapping": dict(channel.model_mapping),
        "conversion": channel.conversion,
        "thinking_to_content": channel.thinking_to_content,
        "content_to_thinking": channel.content_to_thinking,
        "param_override": dict(channel.param_override),
        "header_override": dict(channel.header_override),
        "proxy": channel.proxy,
        "timeouts": asdict(channel.timeouts),
    }
    return {
        "name": channel.name,
        "provider": channel.provider,
        "enabled": channel.enabled,
        "origin": channel.origin,
        "secrets": json.dumps([key.reveal() for key in channel.keys]),
        "settings": json.dumps(settings),
    }


def channel_of(row: Row) -> Channel:
    """The channel in a row of `gateway_channels`."""
    id, name, provider, enabled, origin, secrets, text = row
    settings = json.loads(text)
    return Channel(
        id=id,
        name=name,
        provider=provider,
        enabled=enabled,
        origin=origin,
        keys=tuple(Secret(key) for key in json.loads(secrets)),
        base_url=settings["base_url"],
        api_version=settings.get("api_version", ""),
        models=tuple(settings["models"]),
        groups=tuple(settings["groups"]),
        priority=settings["priority"],
        weight=settings["weight"],
        dialects=tuple(settings["dialects"]),
        model_mapping=settings["model_mapping"],
        conversion=settings["conversion"],
        thinking_to_content=settings["thinking_to_content"],
        content_to_thinking=settings.get("content_to_thinking", False),
        param_override=settings["param_override"],
        header_override=settings["header_override"],
        proxy=settings["proxy"],
        timeouts=Timeouts(**settings["timeouts"]),
    )


def _budget_text(budget: Budget) -> str:
    limits = {period: limit for period, limit in asdict(budget).items() if limit is not None}
    return json.dumps(limits) if limits else ""


def _budget_of(text: str) -> Budget:
    return Budget(**json.loads(text)) if text else NO_BUDGET


def _text_of(time: datetime | None) -> str | None:
    """ISO 8601 in UTC. Raises `ValueError` for a time without a zone."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"a time without a zone: {time.isoformat()}")
    return time.astimezone(UTC).isoformat()


def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
