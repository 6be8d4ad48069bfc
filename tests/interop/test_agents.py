"""Agents made by others, command lines and libraries, use a tool through a channel of another dialect."""

import json
from pathlib import Path

import pytest
from agents import Agent as OpenAIAgent
from agents import OpenAIResponsesModel, RunConfig, Runner, function_tool
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider

from support.gateway_settings import DEV
from support.interop import Line
from support.node import run_node
from support.services import require_node_package

APIS = {
    "openai_chat": ("openai-completions", "/v1"),
    "openai_responses": ("openai-responses", "/v1"),
    "anthropic_messages": ("anthropic-messages", ""),
    "google_generate": ("google-generative-ai", "/v1beta"),
}
"""By dialect: what the agent `pi` calls it, and the end of the base URL."""

OTHERS = [(dialect, upstream) for dialect in APIS for upstream in APIS if dialect != upstream]
OTHERS += [("openai_chat", "cohere_chat"), ("anthropic_messages", "bedrock_converse")]
"""Each costs more than a second: the four great dialects among themselves, and one way to each of the two others."""


@pytest.mark.parametrize(("dialect", "upstream"), OTHERS)
async def test_pi_counts_files_with_a_shell(line: Line, tmp_path: Path, dialect: str, upstream: str) -> None:
    """The agent gets the call, runs it, sends the result, and prints the answer."""
    program = require_node_package("@earendil-works/pi-coding-agent").parents[1] / ".bin" / "pi"
    api, path = APIS[dialect]
    model = {"id": f"to-{upstream}", "name": "m", "reasoning": False, "input": ["text"], "contextWindow": 100_000}
    cost = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    provider = {"baseUrl": line.gateway.url + path, "api": api, "apiKey": DEV.key}
    provider["models"] = [{**model, "maxTokens": 1000, "cost": cost}]
    settings = tmp_path / ".pi" / "agent" / "models.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"providers": {"gateway": provider}}))
    arguments = ("--provider", "gateway", "--model", f"to-{upstream}", "--no-session", "-p", "count the files")
    code, output, errors = await run_node(str(program), *arguments, folder=tmp_path, HOME=str(tmp_path))
    assert (code, output.decode().strip()) == (0, "Counted."), errors.decode()


@pytest.mark.parametrize("upstream", ["anthropic_messages", "google_generate", "openai_responses"])
async def test_qwen_lists_a_folder(line: Line, tmp_path: Path, upstream: str) -> None:
    """A second agent, with tools of its own and many of them."""
    program = require_node_package("@qwen-code/qwen-code").parents[1] / ".bin" / "qwen"
    environment = {
        "HOME": str(tmp_path),
        "OPENAI_API_KEY": DEV.key,
        "OPENAI_BASE_URL": line.gateway.url + "/v1",
        "OPENAI_MODEL": f"to-{upstream}",
    }
    arguments = ("--auth-type", "openai", "-y", "-p", "list the folder")
    code, output, errors = await run_node(str(program), *arguments, folder=tmp_path, seconds=120, **environment)
    assert (code, output.decode().strip()) == (0, "Listed."), errors.decode()


@pytest.mark.parametrize("upstream", ["openai_chat", "anthropic_messages", "google_generate"])
async def test_openai_agents_uses_a_tool(line: Line, upstream: str) -> None:
    """OpenAI's agent library, by Responses."""
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "20C"

    async with AsyncOpenAI(base_url=line.gateway.url + "/v1", api_key=DEV.key, max_retries=0) as client:
        model = OpenAIResponsesModel(model=f"to-{upstream}", openai_client=client)
        agent = OpenAIAgent(name="forecaster", tools=[function_tool(get_weather)], model=model)
        result = await Runner.run(agent, "weather", run_config=RunConfig(tracing_disabled=True))
    assert (result.final_output, asked) == ("20C in Paris", ["Paris"])


@pytest.mark.parametrize("upstream", ["openai_chat", "openai_responses", "google_generate"])
async def test_pydantic_ai_uses_a_tool_by_anthropics_dialect(line: Line, upstream: str) -> None:
    """A library that speaks every dialect: here Messages."""
    provider = AnthropicProvider(api_key=DEV.key, base_url=line.gateway.url)
    await _forecast(Agent(AnthropicModel(f"to-{upstream}", provider=provider)))


@pytest.mark.parametrize("upstream", ["openai_chat", "openai_responses", "anthropic_messages"])
async def test_pydantic_ai_uses_a_tool_by_googles_dialect(line: Line, upstream: str) -> None:
    """And here generateContent."""
    provider = GoogleProvider(api_key=DEV.key, base_url=line.gateway.url)
    await _forecast(Agent(GoogleModel(f"to-{upstream}", provider=provider)))


async def _forecast(agent: "Agent[None, str]") -> None:
    asked: list[str] = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        asked.append(city)
        return "20C"

    async with agent:  # closes its connections in the end
        result = await agent.run("weather")
    assert (result.output, asked) == ("20C in Paris", ["Paris"])
