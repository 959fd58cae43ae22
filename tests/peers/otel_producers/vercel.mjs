// Calls a model with tools through Vercel's AI SDK, with its telemetry on.
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const exporter = new OTLPTraceExporter({ url: `${process.env.OTLP_URL}/v1/traces` });
const sdk = new NodeSDK({ serviceName: "lamps", traceExporter: exporter });
sdk.start();

const openai = createOpenAI({ baseURL: process.env.MODEL_URL, apiKey: "none" });
const model = openai.chat("gpt-4o-mini");
const telemetry = {
  isEnabled: true,
  functionId: "seller",
  metadata: { sessionId: "session-7", userId: "user-7" },
};
const priceTool = (execute) =>
  tool({ description: "Price of a lamp", inputSchema: z.object({ lamp: z.string() }), execute });

await generateText({
  model,
  system: "You sell lamps.",
  prompt: "Price of Luna?",
  temperature: 0.2,
  tools: { get_price: priceTool(async () => "29") },
  stopWhen: stepCountIs(3),
  experimental_telemetry: telemetry,
});
await generateText({
  model,
  prompt: "Price of Luna?",
  tools: {
    get_price: priceTool(async () => {
      throw new Error("no such lamp");
    }),
  },
  experimental_telemetry: telemetry,
});
const stream = streamText({ model, prompt: "stream", experimental_telemetry: telemetry });
for await (const _ of stream.textStream) {
}
await generateObject({
  model,
  prompt: "as an object",
  schema: z.object({ price: z.number() }),
  experimental_telemetry: telemetry,
});
try {
  await generateText({
    model,
    prompt: "too many",
    maxRetries: 0,
    experimental_telemetry: telemetry,
  });
} catch {
  // the call is meant to fail
}
await sdk.shutdown();
