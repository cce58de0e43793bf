// The admin API, and what is said when it does not answer.
import { signal } from "@preact/signals";

export const needsLogin = signal(false);

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(path, { method = "GET", body, signal, accept }) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (accept) headers.Accept = accept;
  try {
    return await fetch("/api/v1/" + path, {
      method, signal, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0, "aftermath does not answer: is it running?");
  }
}

function refused(path, response, answer) {
  if (response.status === 401 && path !== "session") needsLogin.value = true;
  return new ApiError(response.status, answer.error || `the answer was ${response.status}`);
}

export async function api(path, options = {}) {
  const response = await send(path, options);
  const answer = await response.json().catch(() => ({}));
  options.signal?.throwIfAborted();
  if (!response.ok) throw refused(path, response, answer);
  return answer;
}

// long asks for what takes long: progress is called with how far it is, and the result is given at the end.
export async function long(path, options, progress) {
  const response = await send(path, { ...options, accept: "application/x-ndjson" });
  if (!response.ok) throw refused(path, response, await response.json().catch(() => ({})));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        last = JSON.parse(line);
        if (last.progress) progress(last.progress);
      }
    }
  } catch (e) {
    if (e.name === "AbortError") throw e;
    last = undefined; // it broke off
  }
  if (!last || last.progress) throw new ApiError(0, "the answer broke off: is aftermath still running?");
  if (last.error) throw new ApiError(500, last.error);
  return last;
}

// trouble is what to say about an error; nothing where somebody went on to something else, or where the frame says that aftermath does
// not answer.
export const trouble = (e) => (e.name === "AbortError" || e.status === 0 ? "" : e.message);

export function query(params) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== "" && v !== undefined && v !== null) q.set(k, v);
  const text = q.toString();
  return text ? "?" + text : "";
}
