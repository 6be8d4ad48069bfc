// OpenAI's SDK by Responses.
import OpenAI from "openai";

import { BASE, KEY, MODEL, RESULTS, THINKING_MODEL, TOOLS, tell } from "./tools.mjs";

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0 });
const tools = Object.entries(TOOLS).map(([name, parameters]) => ({ type: "function", name, parameters, strict: true }));

const send = (stream, request) =>
  stream ? client.responses.stream(request).finalResponse() : client.responses.create(request);

function seen({ output, output_text, status, usage }) {
  const reasoning = output.filter((item) => item.type === "reasoning");
  return {
    text: output_text,
    thinking: reasoning.flatMap((item) => item.summary.map((part) => part.text)).join(""),
    calls: output
      .filter((item) => item.type === "function_call")
      .map((item) => [item.name, JSON.parse(item.arguments)]),
    stop: status,
    usage: [usage.input_tokens, usage.output_tokens],
  };
}

const ask = async (stream, input, more = {}) => seen(await send(stream, { model: MODEL, input, ...more }));

async function rounds(stream) {
  const input = [{ role: "user", content: "two tools" }];
  const first = await send(stream, { model: MODEL, input, tools });
  input.push(...first.output);
  for (const item of first.output) {
    if (item.type === "function_call") {
      input.push({ type: "function_call_output", call_id: item.call_id, output: RESULTS[item.name] });
    }
  }
  return [seen(first), seen(await send(stream, { model: MODEL, input, tools }))];
}

const reasoning = { effort: "low", summary: "auto" };

await tell(
  {
    plain: () => ask(false, "hello"),
    streamed: () => ask(true, "hello"),
    tools: () => rounds(false),
    tools_streamed: () => rounds(true),
    thinking: () => ask(true, "think", { model: THINKING_MODEL, reasoning }),
    failed: () => ask(false, "rate limit"),
    failed_stream: () => ask(true, "rate limit"),
  },
  (error) => (error instanceof OpenAI.APIError ? { kind: error.constructor.name, status: error.status } : undefined),
);
