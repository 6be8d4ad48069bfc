// Google's SDK. Its streams have no accumulator: the parts are joined here.
import { ApiError, GoogleGenAI } from "@google/genai";

import { BASE, KEY, MODEL, RESULTS, THINKING_MODEL, TOOLS, tell } from "./tools.mjs";

const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: BASE } });
const declared = Object.entries(TOOLS).map(([name, parametersJsonSchema]) => ({ name, parametersJsonSchema }));
const tools = { tools: [{ functionDeclarations: declared }] };
const user = (...parts) => ({ role: "user", parts });

async function send(stream, contents, config, model = MODEL) {
  const answer = { parts: [], stop: "", usage: [0, 0] };
  const take = ({ candidates, usageMetadata }) => {
    for (const { content, finishReason } of candidates ?? []) {
      answer.parts.push(...(content?.parts ?? []));
      answer.stop = finishReason ?? answer.stop;
    }
    if (usageMetadata) answer.usage = [usageMetadata.promptTokenCount ?? 0, usageMetadata.candidatesTokenCount ?? 0];
  };
  if (stream) {
    for await (const piece of await client.models.generateContentStream({ model, contents, config })) take(piece);
  } else {
    take(await client.models.generateContent({ model, contents, config }));
  }
  return answer;
}

const callsOf = (parts) => parts.filter((part) => part.functionCall).map((part) => part.functionCall);

function seen({ parts, stop, usage }) {
  const joined = (thought) => parts.filter((part) => !!part.thought === thought).map((part) => part.text ?? "").join("");
  const calls = callsOf(parts).map(({ name, args }) => [name, args]);
  return { text: joined(false), thinking: joined(true), calls, stop, usage };
}

async function rounds(stream) {
  const contents = [user({ text: "two tools" })];
  const first = await send(stream, contents, tools);
  contents.push({ role: "model", parts: first.parts });
  const answers = callsOf(first.parts).map(({ id, name }) => ({
    functionResponse: { id, name, response: { result: RESULTS[name] } },
  }));
  contents.push(user(...answers));
  return [seen(first), seen(await send(stream, contents, tools))];
}

const ask = async (stream, text) => seen(await send(stream, [user({ text })]));
const thinkingConfig = { includeThoughts: true, thinkingBudget: 1024 };

await tell(
  {
    plain: () => ask(false, "hello"),
    streamed: () => ask(true, "hello"),
    tools: () => rounds(false),
    tools_streamed: () => rounds(true),
    thinking: async () => seen(await send(true, [user({ text: "think" })], { thinkingConfig }, THINKING_MODEL)),
    failed: () => ask(false, "rate limit"),
    failed_stream: () => ask(true, "rate limit"),
  },
  (error) => (error instanceof ApiError ? { kind: error.constructor.name, status: error.status } : undefined),
);
