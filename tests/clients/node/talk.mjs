// One way of talking with a gateway, by the official SDK: node talk.mjs BASE_URL MODEL WAY TEXT. Prints what came, as JSON.
import OpenAI from "openai";

const [baseURL, model, way, text] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: text }];
const asked = { model, messages };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "get_weather", description: "The weather of a city.", parameters };
const get_weather = ({ city }) => `-3 in ${city}`;
const runnable = { type: "function", function: { ...weather, function: get_weather, parse: JSON.parse } };
const stay = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

const ways = {
  async whole() {
    return await client.chat.completions.create(asked);
  },
  async streamed() {
    const options = { include_usage: true };
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: options });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  },
  async helper() {
    const words = [];
    const stream = client.chat.completions.stream(asked).on("content", (word) => words.push(word));
    return { words, final: await stream.finalChatCompletion() };
  },
  async tools() {
    const runner = client.chat.completions.runTools({ ...asked, tools: [runnable] });
    return { said: await runner.finalContent(), messages: runner.messages };
  },
  async streamedTools() {
    const runner = client.chat.completions.runTools({ ...asked, tools: [runnable], stream: true });
    return { said: await runner.finalContent(), messages: runner.messages };
  },
  async structured() {
    const response_format = { type: "json_schema", json_schema: { name: "stay", strict: true, schema: stay } };
    return JSON.parse((await client.chat.completions.parse({ ...asked, response_format })).choices[0].message.content);
  },
  async embeddings() {
    return await client.embeddings.create({ model, input: [text, "and more"] });
  },
  async completions() {
    return await client.completions.create({ model, prompt: text });
  },
  async models() {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    return ids;
  },
  async responses() {
    const whole = await client.responses.create({ model, input: text });
    const streamed = await client.responses.stream({ model, input: text }).finalResponse();
    return { whole: whole.output_text, streamed: streamed.output_text };
  },
  async broken() {
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    const words = [];
    try {
      for await (const chunk of stream) words.push(chunk.choices[0].delta.content);
    } catch (error) {
      return { words, ...told(error) };
    }
    return { words };
  },
};

function told(error) {
  const { name, status, code, param, requestID } = error;
  return { error: error.constructor.name, name, status, code, param, requestID, api: error instanceof OpenAI.APIError };
}

console.log(JSON.stringify(await ways[way]().catch(told)));
