// Texts as people read them. What comes from outside is only ever made a text node; what could hide in a text is made visible.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export function visible(s) {
  return String(s ?? "").replace(hidden, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
}

const counts = new Intl.NumberFormat("en");
export const number = (n) => (n === undefined || n === null ? "–" : counts.format(n));
export const plural = (n, what, many = what + "s") => `${number(n)} ${n === 1 ? what : many}`;

const two = (n) => String(n).padStart(2, "0");

// when is a time of this browser's zone, written so that it reads the same everywhere.
export function when(at) {
  if (!at || String(at).startsWith("0001")) return "–";
  const d = new Date(at);
  const off = -d.getTimezoneOffset();
  const zone = off === 0 ? "UTC" : `UTC${off < 0 ? "−" : "+"}${Math.floor(Math.abs(off) / 60)}${off % 60 ? ":" + two(Math.abs(off) % 60) : ""}`;
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(d, true)} ${zone}`;
}

// clock is the time of day.
export function clock(at, seconds) {
  const d = new Date(at);
  return `${two(d.getHours())}:${two(d.getMinutes())}${seconds ? ":" + two(d.getSeconds()) : ""}`;
}

export function ago(at) {
  if (!at || at.startsWith("0001")) return "never";
  const s = (Date.now() - new Date(at)) / 1000;
  const word = span(Math.abs(s));
  if (Math.abs(s) < 2) return "now";
  return s >= 0 ? `${word} ago` : `in ${word}`;
}

export function span(s) {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

export function bytes(n) {
  if (!n) return "0 B";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const i = Math.min(Math.floor(Math.log2(n) / 10), 4);
  return `${(n / 1024 ** i).toFixed(i && n / 1024 ** i < 10 ? 1 : 0)} ${units[i]}`;
}

// pretty sets JSON out; any other text stays as it is.
export function pretty(s) {
  try {
    return JSON.stringify(JSON.parse(s), null, 2);
  } catch {
    return s;
  }
}
