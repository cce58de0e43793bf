// What the views share.
import { h } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import htm from "htm";
import { number, visible } from "./text.js";

export const html = htm.bind(h);

// said is read out by screen readers, and shown for a moment.
export const said = signal("");
let timer;
export function say(text) {
  said.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (said.value = ""), 6000);
}

// Text shows a text from outside, whatever is in it, isolated from the direction of what is around it. With most, a longer one is cut,
// so that no account id and no receiver fills a list.
export const Text = ({ of, class: c, most = Infinity }) => {
  const text = visible(of);
  if (text.length <= most) return html`<bdi class=${c}>${text}</bdi>`;
  return html`<bdi class=${c}>${text.slice(0, most)}…</bdi> <small>${number(text.length)} characters</small>`;
};

export const Badge = ({ kind, children }) => html`<span class=${"badge " + kind}>${children}</span>`;

export const Problem = ({ children }) => html`<p class="problem" role="alert">${children}</p>`;

// useTitle names the page and moves the focus to its heading when it is gone to.
export function useTitle(title) {
  const ref = useRef();
  useEffect(() => {
    document.title = title + " · aftermath";
    if (document.body.dataset.moved) ref.current?.focus();
  }, [title]);
  return ref;
}

// useEvery calls work now and then every so many ms while the page is seen.
export function useEvery(ms, work, deps) {
  useEffect(() => {
    const abort = new AbortController();
    let timer;
    let busy = false;
    const run = async () => {
      clearTimeout(timer);
      if (busy) return;
      busy = true;
      if (!document.hidden) await work(abort.signal).catch(() => {});
      busy = false;
      if (!abort.signal.aborted) timer = setTimeout(run, ms);
    };
    const seen = () => document.hidden || run();
    document.addEventListener("visibilitychange", seen);
    run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, deps);
}

// confirm asks a question in a dialog and gives whether it was answered with yes.
export const question = signal(null);
export function confirm(text, yes) {
  return new Promise((answer) => (question.value = { text, yes, answer }));
}

export function Dialog() {
  const ref = useRef();
  const q = question.value;
  useEffect(() => {
    if (q) ref.current.showModal();
  }, [q]);
  if (!q) return null;
  const close = (v) => {
    ref.current.close();
    question.value = null;
    q.answer(v);
  };
  return html`<dialog ref=${ref} aria-labelledby="question" onCancel=${(e) => { e.preventDefault(); close(false); }}>
    <p id="question">${q.text}</p>
    <div class="row end">
      <button type="button" autofocus onClick=${() => close(false)}>Cancel</button>
      <button type="button" class="danger" onClick=${() => close(true)}>${q.yes}</button>
    </div>
  </dialog>`;
}

// Source shows lines of a file, numbered; marks are {line, column, message}.
export function Source({ from, text, marks = [] }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return html`<div class="source" tabindex="0" role="group" aria-label="source"><table><tbody>${lines.map((line, i) => {
    const n = from + i;
    const here = marks.filter((m) => m.line === n);
    return html`<tr class=${here.length ? "bad" : ""}>
        <td class="no" aria-hidden="true">${n}</td>
        <td><code>${here.length ? marked(line, here[0].column) : visible(line) || " "}</code>
          ${here.map((m) => html`<div class="why">${m.column > 1 ? `column ${m.column}: ` : ""}${visible(m.message)}</div>`)}</td>
      </tr>`;
  })}</tbody></table></div>`;
}

// marked underlines the word at the column.
function marked(line, column) {
  const chars = Array.from(line);
  const start = Math.max(0, column - 1);
  const rest = chars.slice(start).join("");
  const word = /^[\p{L}\p{N}_.]+/u.exec(rest)?.[0] ?? rest.slice(0, 1);
  return html`${visible(chars.slice(0, start).join(""))}<mark>${visible(word) || " "}</mark>${visible(rest.slice(word.length))}`;
}
