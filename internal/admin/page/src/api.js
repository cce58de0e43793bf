// The admin API, and what is said when it does not answer.
import { signal } from "@preact/signals";

export const needsLogin = signal(false);

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function api(path, { method = "GET", body, signal: abort } = {}) {
  let response;
  try {
    response = await fetch("/api/v1/" + path, {
      method, signal: abort, credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new ApiError(0, "aftermath does not answer: is it running?");
  }
  const answer = await response.json().catch(() => ({}));
  abort?.throwIfAborted();
  if (response.status === 401 && path !== "session") needsLogin.value = true;
  if (!response.ok) throw new ApiError(response.status, answer.error || `the answer was ${response.status}`);
  return answer;
}

export function query(params) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) if (v !== "" && v !== undefined && v !== null) q.set(k, v);
  const text = q.toString();
  return text ? "?" + text : "";
}
