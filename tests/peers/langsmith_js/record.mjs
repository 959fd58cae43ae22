// A traced program that knows nothing of Refinery: LangSmith's JavaScript SDK and LangGraph.
// Everything is configured by environment variables.
import { StateGraph, MessagesAnnotation, START, END } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { ChatOpenAI } from "@langchain/openai";
import { tool } from "@langchain/core/tools";
import { awaitAllCallbacks } from "@langchain/core/callbacks/promises";
import { Client, RunTree } from "langsmith";
import { getCurrentRunTree, traceable } from "langsmith/traceable";
import { wrapOpenAI } from "langsmith/wrappers/openai";
import OpenAI from "openai";

const client = new Client();
const model = wrapOpenAI(new OpenAI({ maxRetries: 0 }), { client });
const options = { client };

const search = traceable(async (query) => [query], { name: "search", run_type: "tool", ...options });
const breaks = traceable(async () => { throw new TypeError("missing-key"); },
  { name: "breaks", run_type: "tool", ...options });
const numbers = traceable(async function* () { yield 1; yield 2; }, { name: "numbers", ...options });

const pipeline = traceable(async (question) => {
  await search(question);
  await breaks().catch(() => null);
  for await (const _ of numbers()) ;
  const messages = [{ role: "user", content: question }];
  const reply = await model.chat.completions.create({ model: "m", messages, temperature: 0.1 });
  const stream = await model.chat.completions.create(
    { model: "m", messages, stream: true, stream_options: { include_usage: true } });
  for await (const _ of stream) ;
  await model.chat.completions.create({ model: "m", messages: [{ role: "user", content: "FAIL" }] })
    .catch(() => null);
  const run = getCurrentRunTree();
  await client.createFeedback(run.id, "correctness", { score: 1, comment: "good", traceId: run.trace_id });
  return reply.choices[0].message.content;
}, { name: "pipeline", tags: ["beta"], metadata: { thread_id: "th-7", env: "prod" }, ...options });

await pipeline("Wetter für Łódź?");

const picture = new RunTree({
  name: "with_picture", run_type: "chain", inputs: { size: 3 }, client,
  attachments: { picture: ["image/png", new Uint8Array([137, 80, 78, 71, 13, 10, 45, 45, 0, 255])] },
});
await picture.postRun();
await picture.end({ size: 3 });
await picture.patchRun();

const weather = tool(async ({ city }) => `sunny in ${city}`, {
  name: "weather", description: "Weather of a city.",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
});
const chat = new ChatOpenAI({ model: "m" }).bindTools([weather]);
const graph = new StateGraph(MessagesAnnotation)
  .addNode("model", async (state) => ({ messages: [await chat.invoke(state.messages)] }))
  .addNode("tools", new ToolNode([weather]))
  .addEdge(START, "model")
  .addConditionalEdges("model", (state) => state.messages.at(-1).tool_calls?.length ? "tools" : END)
  .addEdge("tools", "model")
  .compile();
await graph.invoke({ messages: [{ role: "user", content: "Weather in Paris?" }] },
  { runName: "weather-agent", configurable: { thread_id: "th-8" }, metadata: { thread_id: "th-8" } });

await awaitAllCallbacks();
await client.awaitPendingTraceBatches();
