"""The OpenAI SDK for JavaScript, where node and the npm package `openai` are at hand (by `NODE_PATH`)."""

import asyncio
import json
import os
import shutil
from typing import Any

import pytest

from support.gateway_settings import DEV
from support.openai_answers import VECTOR, chat, embeddings
from support.sdk import Service

PROGRAM = """
const OpenAI = require("openai").default;
const { BASE, KEY } = process.env;
const client = new OpenAI({ baseURL: BASE + "/v1", apiKey: KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];

async function main() {
  const plain = await client.chat.completions.create({ model: "m", messages });
  const pieces = [];
  const stream = await client.chat.completions.create({ model: "m", messages, stream: true });
  for await (const chunk of stream) pieces.push(chunk.choices[0].delta.content ?? null);
  const vectors = await client.embeddings.create({ model: "org/model", input: "one" });
  let refused;
  try {
    await client.chat.completions.create({ model: "nothing", messages });
  } catch (error) {
    refused = [error.constructor.name, error.status, error.code];
  }
  const models = (await client.models.list()).data.map((model) => model.id);
  const plainText = plain.choices[0].message.content;
  console.log(JSON.stringify({ plainText, pieces, vector: vectors.data[0].embedding, refused, models: models.length }));
}

main();
"""


async def run(program: str, **environment: str) -> tuple[int, bytes, bytes]:
    """Run a program in node; exit code and what it printed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: apt-get install nodejs")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, "-e", program, stdout=pipe, stderr=pipe, env={**os.environ, **environment}
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output, errors


async def test_the_javascript_sdk_works_unchanged(service: Service) -> None:
    """Plain, streamed, embeddings (base64 by default, here too), an error, the models."""
    if (await run('require("openai")'))[0] != 0:
        pytest.skip("the npm package openai is not to be found: npm install openai, and name its folder in NODE_PATH")
    service.plays(chat({"content": "hello"}, [{"content": "hel"}, {"content": "lo"}]))
    service.plays(embeddings(), "org/model")
    code, output, errors = await run(PROGRAM, BASE=service.gateway.url, KEY=DEV.key)
    assert code == 0, errors.decode()
    seen: dict[str, Any] = json.loads(output)
    assert (seen["plainText"], seen["pieces"]) == ("hello", ["hel", "lo", None])
    assert seen["vector"] == VECTOR
    assert seen["refused"] == ["NotFoundError", 404, "model_not_found"]
    assert seen["models"] > 0
