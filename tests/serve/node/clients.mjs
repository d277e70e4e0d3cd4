// Asks the server at the address in the first argument with the AI SDK and with the MCP SDK; prints what arrived.
import { createOpenAI } from "@ai-sdk/openai";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { generateText, streamText } from "ai";

const [address, prompt] = process.argv.slice(2);
const openai = createOpenAI({ baseURL: `${address}/v1`, apiKey: "none" });
const found = {};
for (const [name, model] of [["chat", openai.chat("default")], ["responses", openai.responses("default")]]) {
  const whole = await generateText({ model, prompt });
  found[name] = { text: whole.text, sources: whole.sources.map((each) => [each.url, each.title]) };
  const parts = { text: "", sources: [] };
  for await (const part of streamText({ model, prompt }).fullStream) {
    if (part.type === "text-delta") parts.text += part.text;
    if (part.type === "source") parts.sources.push([part.url, part.title]);
    if (part.type === "error") throw part.error;
  }
  found[`${name} streamed`] = parts;
}
const client = new Client({ name: "test", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(`${address}/mcp`)));
const { tools } = await client.listTools();
const searched = await client.callTool({ name: "search", arguments: { query: prompt } });
const { results } = JSON.parse(searched.content[0].text);
const fetched = await client.callTool({ name: "fetch", arguments: { id: results[0].id } });
const asked = await client.callTool({ name: "ask", arguments: { question: prompt } });
found.mcp = {
  tools: tools.map((each) => each.name),
  fetched: JSON.parse(fetched.content[0].text),
  answer: asked.structuredContent.answer,
};
await client.close();
console.log(JSON.stringify(found));
