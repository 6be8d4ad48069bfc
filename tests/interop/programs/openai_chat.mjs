// OpenAI's SDK by Chat Completions.
import OpenAI from "openai";

import { BASE, KEY, MODEL, RESULTS, THINKING_MODEL, TOOLS, tell } from "./tools.mjs";

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const tools = Object.entries(TOOLS).map(([name, parameters]) => ({ type: "function", function: { name, parameters } }));
const user = (content) => ({ role: "user", content });

async function send(stream, request) {
  if (!stream) return client.chat.completions.create(request);
  const events = client.chat.completions.stream({ ...request, stream_options: { include_usage: true } });
  return events.finalChatCompletion();
}

function seen({ choices: [{ message, finish_reason }], usage }) {
  return {
    text: message.content ?? "",
    thinking: message.reasoning_content ?? "",
    calls: (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
    stop: finish_reason,
    usage: [usage.prompt_tokens, usage.completion_tokens],
  };
}

const ask = async (stream, text, more = {}) => seen(await send(stream, { model: MODEL, messages: [user(text)], ...more }));

async function rounds(stream) {
  const messages = [user("two tools")];
  const first = await send(stream, { model: MODEL, messages, tools });
  const { message } = first.choices[0];
  messages.push(message);
  for (const call of message.tool_calls) {
    messages.push({ role: "tool", tool_call_id: call.id, content: RESULTS[call.function.name] });
  }
  return [seen(first), seen(await send(stream, { model: MODEL, messages, tools }))];
}

await tell(
  {
    plain: () => ask(false, "hello"),
    streamed: () => ask(true, "hello"),
    tools: () => rounds(false),
    tools_streamed: () => rounds(true),
    // Not streamed: the accumulator joins only what it knows, and thinking it does not.
    thinking: () => ask(false, "think", { model: THINKING_MODEL, reasoning_effort: "low" }),
    failed: () => ask(false, "rate limit"),
    failed_stream: () => ask(true, "rate limit"),
  },
  (error) => (error instanceof OpenAI.APIError ? { kind: error.constructor.name, status: error.status } : undefined),
);
