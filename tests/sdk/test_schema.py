"""What we write ourselves follows OpenAI's own document of its interface, which is kept beside the repository."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.broken_upstream import EVENTS, refusal, stream_of, wire
from support.caller import Call, Caller, get
from support.gateway_settings import DEV
from support.sdk import POOR, Service

jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
yaml = pytest.importorskip("yaml", reason="pip install pyyaml")

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "spec" / "openai-openapi.yaml"

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's document is not beside the repository")


@cache
def _schemas() -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(DOCUMENT.read_text(encoding="utf-8"), Loader=loader)["components"]


@pytest.fixture(scope="module")
def conform() -> Callable[[str, Any], None]:
    """Fails unless a value is what a schema of the document says."""

    def check(name: str, value: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": _schemas()}
        jsonschema.Draft202012Validator(schema).validate(value)

    return check


async def test_the_check_can_fail(conform: Callable[[str, Any], None]) -> None:
    """An error without its code is none."""
    with pytest.raises(jsonschema.ValidationError):
        conform("ErrorResponse", {"error": {"message": "m", "type": "t", "param": None}})


async def test_models(service: Service, conform: Callable[[str, Any], None]) -> None:
    """The list, and one."""
    status, body = await get(service.gateway.port, "/v1/models", DEV.key)
    assert status == 200
    conform("ListModelsResponse", json.loads(body))
    conform("Model", json.loads((await get(service.gateway.port, "/v1/models/m", DEV.key))[1]))


async def _calls(service: Service) -> dict[int, Call]:
    """An error of every status that there is a short way to."""
    port = service.gateway.port
    caller = Caller(port, DEV.key, model="m")
    calls = [
        await Caller(port, "sk-unknown", model="m").call(),
        await Caller(port, "sk-bound-0123456789abcdef", model="m").call(),
        await Caller(port, POOR.key, model="m").call(),
        await caller.call(model="nothing"),
        await caller.call(n=0),
    ]
    for status in (500, 401, 404):
        service.plays(wire(refusal(status)))
        calls.append(await caller.call())
    return {call.status: call for call in calls}


async def test_errors(service: Service, conform: Callable[[str, Any], None]) -> None:
    """Every one is an `ErrorResponse`."""
    calls = await _calls(service)
    assert set(calls) == {400, 401, 403, 404, 429, 500, 502, 503}
    for call in calls.values():
        conform("ErrorResponse", call.json())


async def test_an_error_event(service: Service, conform: Callable[[str, Any], None]) -> None:
    """Inside a stream the same object stands in an event."""
    service.plays(wire(b"", stream_of(EVENTS)))
    call = await Caller(service.gateway.port, DEV.key, model="m", stream=True).call()
    conform("ErrorResponse", json.loads(call.events[-1]))


async def test_what_nobody_offers(service: Service, conform: Callable[[str, Any], None]) -> None:
    """An unknown path is answered with the same object."""
    status, body = await get(service.gateway.port, "/v1/nothing")
    assert status == 404
    conform("ErrorResponse", json.loads(body))
