"""The list of models, and what is not offered, in the dialect of whoever asks."""

from typing import Any

import pytest

from support.gateways import House, house

VERSION = {"anthropic-version": "2023-06-01"}


def served() -> House:
    return house()


def in_data(answer: Any) -> list[str]:
    return [entry["id"] for entry in answer["data"]]


def in_models(answer: Any) -> list[str]:
    return [entry["name"].removeprefix("models/") for entry in answer["models"]]


@pytest.mark.parametrize(
    ("path", "headers", "query", "names"),
    [
        ("/v1/models", {}, b"", in_data),
        ("/v1/models", VERSION, b"", in_data),
        ("/v1beta/models", {}, b"", in_models),
        ("/v1/models", {}, b"key=x", in_models),
    ],
)
async def test_the_list_has_the_callers_shape(path: str, headers: dict[str, str], query: bytes, names: Any) -> None:
    """By a header, the path, or where the key stands."""
    at = served()
    async with at.gateway:
        seen = await at.ask(method="GET", path=path, headers=headers, query=query)
        assert seen.status == 200
        assert names(seen.json()) == ["fast", "m-1", "m-2"]


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/models/nope", {}, {"type": "invalid_request_error", "code": "model_not_found"}),
        ("/v1/models/nope", VERSION, {"type": "not_found_error"}),
        ("/v1beta/models/nope", {}, {"code": 404, "status": "NOT_FOUND"}),
        ("/v1beta/unknown", {}, {"code": 404, "status": "NOT_FOUND"}),
        ("/v1/unknown", VERSION, {"type": "not_found_error"}),
    ],
)
async def test_what_is_not_there_is_told_in_the_callers_shape(
    path: str, headers: dict[str, str], shape: dict[str, Any]
) -> None:
    """A model, or a whole path."""
    at = served()
    async with at.gateway:
        seen = await at.ask(method="GET", path=path, headers=headers)
        assert seen.status == 404
        assert seen.json()["error"].items() >= shape.items()


async def test_one_model_by_its_name() -> None:
    """As Google names it."""
    at = served()
    async with at.gateway:
        seen = await at.ask(method="GET", path="/v1beta/models/m-1")
        assert (seen.status, seen.json()["name"]) == (200, "models/m-1")


async def test_a_wrong_key_is_told_in_the_callers_shape() -> None:
    """Google's callers never see OpenAI's error."""
    at = served()
    async with at.gateway:
        seen = await at.ask(method="GET", path="/v1beta/models", key="sk-wrong")
        assert (seen.status, seen.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
