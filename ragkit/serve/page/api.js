// The server's own API: JSON, and events that go on where a broken connection stopped.
import { sentence } from "./dom.js";

/** What the server said against a request, in a sentence. */
export class Refused extends Error {}

let key = sessionStorage.getItem("ragkit.key") ?? "";
let askForKey = async () => "";

/** `ask` gets a key from the user when the server wants one. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

function withKey(headers) {
  return key ? { ...headers, authorization: `Bearer ${key}` } : headers;
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: withKey(options.headers ?? {}) });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Refused("The server cannot be reached. Is `ragkit serve` running?");
  }
  if (response.status === 401) {
    key = await askForKey();
    if (key) {
      sessionStorage.setItem("ragkit.key", key);
      return request(path, options);
    }
  }
  if (response.ok) return response;
  let said = "";
  try {
    said = (await response.json()).error?.message ?? "";
  } catch {
    // no JSON: the status must do
  }
  throw new Refused(said ? sentence(said) : `The server answers with status ${response.status}.`);
}

/** JSON of a GET, or of a POST of *body*. */
export async function json(path, body, options = {}) {
  const headers = { accept: "application/json" };
  if (body === undefined) return (await request(path, { ...options, headers })).json();
  headers["content-type"] = "application/json";
  return (await request(path, { method: "POST", ...options, headers, body: JSON.stringify(body) })).json();
}

/** The response of a GET, for its bytes or headers. */
export const get = (path, options) => request(path, options);

/** Forget a paper. */
export const remove = async (path) => (await request(path, { method: "DELETE" })).json();

/** The events of a POST; after a break they are read on, three times at most. */
export async function* events(path, body, { signal } = {}) {
  const isForm = body instanceof FormData;
  const headers = { accept: "text/event-stream", ...(isForm ? {} : { "content-type": "application/json" }) };
  let response = await request(path, { method: "POST", headers, body: isForm ? body : JSON.stringify(body), signal });
  const where = response.headers.get("content-location");
  let last = 0;
  let ended = false;
  for (let tries = 0; ; tries += 1) {
    try {
      for await (const { id, data } of lines(response)) {
        last = id || last;
        yield data;
        ended ||= ["answer", "error", "report"].includes(data.type);
      }
    } catch (failure) {
      if (failure.name === "AbortError") throw failure;
    }
    if (ended) return;
    if (!where || tries === 3) throw new Refused("The connection broke before the end. Ask again.");
    await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** tries));
    response = await request(where, { headers: { ...headers, "last-event-id": String(last) }, signal });
  }
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n");
      const data = fields.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      const id = Number(fields.find((line) => line.startsWith("id:"))?.slice(3) ?? 0);
      if (data) yield { id, data: JSON.parse(data) };
    }
  }
}

const known = new Map();

/** A paper with its text; of `start` and `end`, the lines on its pages as well. Remembered. */
export function paper(id, start, end) {
  const path = `/papers/${encodeURIComponent(id)}${end === undefined ? "" : `?from=${start}&to=${end}`}`;
  if (!known.has(path)) {
    const asked = json(path);
    asked.catch(() => known.delete(path));
    known.set(path, asked);
    if (known.size > 40) known.delete(known.keys().next().value);
  }
  return known.get(path);
}

/** Forget what is remembered of papers: one was added or removed. */
export const forget = () => known.clear();
