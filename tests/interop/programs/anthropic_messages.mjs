// Anthropic's SDK.
import Anthropic from "@anthropic-ai/sdk";

import { BASE, KEY, MODEL, RESULTS, THINKING_MODEL, TOOLS, tell } from "./tools.mjs";

const client = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const tools = Object.entries(TOOLS).map(([name, input_schema]) => ({ name, input_schema }));
const user = (content) => ({ role: "user", content });

const send = (stream, request) =>
  stream ? client.messages.stream(request).finalMessage() : client.messages.create(request);

function seen({ content, stop_reason, usage }) {
  const joined = (kind) => content.filter((block) => block.type === kind).map((block) => block[kind]).join("");
  return {
    text: joined("text"),
    thinking: joined("thinking"),
    calls: content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]),
    stop: stop_reason,
    usage: [usage.input_tokens, usage.output_tokens],
  };
}

async function ask(stream, text, more = {}) {
  return seen(await send(stream, { model: MODEL, max_tokens: 256, messages: [user(text)], ...more }));
}

async function rounds(stream) {
  const messages = [user("two tools")];
  const first = await send(stream, { model: MODEL, max_tokens: 256, messages, tools });
  messages.push({ role: "assistant", content: first.content });
  const calls = first.content.filter((block) => block.type === "tool_use");
  messages.push(user(calls.map(({ id, name }) => ({ type: "tool_result", tool_use_id: id, content: RESULTS[name] }))));
  return [seen(first), seen(await send(stream, { model: MODEL, max_tokens: 256, messages, tools }))];
}

const thinking = { type: "enabled", budget_tokens: 1024 };

await tell(
  {
    plain: () => ask(false, "hello"),
    streamed: () => ask(true, "hello"),
    tools: () => rounds(false),
    tools_streamed: () => rounds(true),
    thinking: () => ask(true, "think", { model: THINKING_MODEL, max_tokens: 2048, thinking }),
    failed: () => ask(false, "rate limit"),
    failed_stream: () => ask(true, "rate limit"),
  },
  (error) => (error instanceof Anthropic.APIError ? { kind: error.constructor.name, status: error.status } : undefined),
);
