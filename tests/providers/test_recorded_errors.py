"""Errors that real vendors sent, judged."""

import importlib.util
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.errors import Fault, UpstreamError
from asgi_gateway.providers import PROVIDERS

DIALECTS = {
    "openai.chat": "openai_chat",
    "openai.completions": "openai_completions",
    "openai.embeddings": "openai_embeddings",
    "mistral.chat": "openai_chat",
}


@pytest.fixture(scope="module")
def errors(root: Path) -> list[tuple[str, UpstreamError]]:
    """Each recorded refusal with a word for what it is about, as its vendor's provider reads it."""
    folder = root.parent / "shared" / "recordings"
    if not (folder / "load.py").is_file():
        pytest.skip("the recordings are not here")
    found = [
        (_about(recording), _read(recording))
        for recorded, ours in DIALECTS.items()
        for recording in _recordings(folder, recorded, ours)
    ]
    assert len(found) > 20
    return found


def _recordings(folder: Path, recorded: str, ours: str) -> Iterator[dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("recordings_loader", folder / "load.py")
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    for recording in loader.iter_recordings(dialect=recorded):
        if 400 <= recording["response"]["status"] < 500:
            yield {**recording, "ours": ours}


def _text(recording: dict[str, Any]) -> str:
    response = recording["response"]
    return response.get("text") or response.get("body") or json.dumps(response["json"])


def _about(recording: dict[str, Any]) -> str:
    text, status = _text(recording).lower(), recording["response"]["status"]
    if status in (401, 402, 403) or "incorrect api key" in text or "insufficient_quota" in text:
        return "auth"
    if status == 404 or "model_not_found" in text:
        return "missing"
    return "limit" if status == 429 else "caller"


def _read(recording: dict[str, Any]) -> UpstreamError:
    name = recording["provider"] if recording["provider"] in PROVIDERS else "openai_compatible"
    read = partial(PROVIDERS[name].read_error, recording["ours"], recording["response"]["status"])
    return read({b"content-type": b"application/json"}, _text(recording).encode())


@pytest.mark.parametrize(
    ("about", "fault", "statuses"),
    [
        ("auth", Fault.CHANNEL, {429, 502}),
        ("missing", Fault.CHANNEL, {503}),
        ("limit", Fault.UPSTREAM, {429}),
        ("caller", Fault.CALLER, {400, 413, 422}),
    ],
)
def test_a_recorded_error_is_judged_by_what_it_is_about(
    errors: list[tuple[str, UpstreamError]], about: str, fault: Fault, statuses: set[int]
) -> None:
    """Whatever the vendor's way to say it."""
    judged = [error for kind, error in errors if kind == about]
    assert judged
    assert [error.message for error in judged if error.fault is not fault] == []
    assert {error.status for error in judged} <= statuses
