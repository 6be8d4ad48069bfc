"""The OpenAI SDK for JavaScript."""

import json
from typing import Any

from support.gateway_settings import DEV
from support.node import run_node
from support.openai_answers import VECTOR, chat, embeddings
from support.sdk import Service
from support.services import require_node_package

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


async def test_the_javascript_sdk_works_unchanged(service: Service) -> None:
    """Plain, streamed, embeddings (base64 by default, here too), an error, the models."""
    require_node_package("openai")
    service.plays(chat({"content": "hello"}, [{"content": "hel"}, {"content": "lo"}]))
    service.plays(embeddings(), "org/model")
    code, output, errors = await run_node("-e", PROGRAM, BASE=service.gateway.url, KEY=DEV.key)
    assert code == 0, errors.decode()
    seen: dict[str, Any] = json.loads(output)
    assert (seen["plainText"], seen["pieces"]) == ("hello", ["hel", "lo", None])
    assert seen["vector"] == VECTOR
    assert seen["refused"] == ["NotFoundError", 404, "model_not_found"]
    assert seen["models"] > 0
