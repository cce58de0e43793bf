// Deliveries: as they happen, and one of them in full.
import { useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, query, trouble } from "./api.js";
import { connected, useLive } from "./live.js";
import { html, say, confirm, useTitle, Badge, Problem, Text } from "./parts.js";
import { ago, number, plural, pretty, visible, when } from "./text.js";

const kinds = { done: "good", pending: "warn", dead: "bad", discarded: "off" };
const outcomes = { done: "good", retry: "warn", parked: "off", dead: "bad", replayed: "warn", discarded: "off" };
const pageSize = 50;
const mostRows = 1000;

export function Deliveries({ of, params }) {
  return of ? html`<${Delivery} id=${of} key=${of} />` : html`<${List} params=${params} />`;
}

const names = ["status", "rule", "action", "account", "since"];

function List({ params }) {
  const title = useTitle("Deliveries");
  const filter = Object.fromEntries(names.map((n) => [n, params.get(n) || ""]));
  const key = JSON.stringify(filter);
  const filtered = names.some((n) => filter[n]);
  const rows = useSignal(null);
  const next = useSignal("");
  const error = useSignal("");
  const live = useSignal(true);
  const pages = useRef({ key, shown: 1 });
  if (pages.current.key !== key) pages.current = { key, shown: 1 };

  const load = useLive(live.value, async (abort) => {
    const all = [];
    let cursor = "";
    try {
      for (let i = 0; i < pages.current.shown; i++) {
        const page = await api("deliveries" + query({ ...filter, limit: pageSize, cursor }), { signal: abort });
        all.push(...page.deliveries);
        cursor = page.next;
        if (!cursor) break;
      }
      rows.value = all;
      next.value = cursor;
      error.value = "";
    } catch (e) {
      if (e.name !== "AbortError") error.value = trouble(e);
    }
  }, [key]);

  const change = (e) => {
    e.preventDefault();
    const form = e.target.form || e.target;
    location.hash = "#/deliveries" + query(Object.fromEntries(names.map((n) => [n, form.elements[n].value.trim()])));
  };
  const dead = filter.status === "dead";
  return html`<div class="stack">
    <div class="row between wrap"><h1 ref=${title} tabindex="-1">Deliveries</h1>
      <label class="inline"><input type="checkbox" checked=${live.value} onChange=${(e) => (live.value = e.target.checked)} />
        Live <span class=${"light" + (live.value && connected.value ? " on" : "")} role="img" aria-label=${live.value && connected.value ? "connected" : "not connected"}></span></label></div>
    <form class="row filters wrap" onSubmit=${change} onChange=${change} key=${key} role="search" aria-label="Filter deliveries">
      <label><span>Status</span><select name="status" value=${filter.status}>
        ${["", "pending", "dead", "done", "discarded"].map((s) => html`<option value=${s} selected=${s === filter.status}>${s || "any"}</option>`)}</select></label>
      <label><span>Rule</span><input name="rule" value=${filter.rule} /></label>
      <label><span>Action</span><input name="action" value=${filter.action} /></label>
      <label><span>Account</span><input name="account" value=${filter.account} /></label>
      <label><span>Since</span><input name="since" value=${filter.since} placeholder="24h" size="8" /></label>
      ${filtered && html`<a class="clear" href="#/deliveries">Clear</a>`}
      <button class="hide">Filter</button>
    </form>
    ${dead && html`<div class="row wrap">
      <button type="button" onClick=${() => all("replay", filter, load)}>Replay all that fit…</button>
      <button type="button" onClick=${() => all("discard", filter, load)}>Discard all that fit…</button>
      <span class="faint">They ask first, and say how many.</span></div>`}
    ${error.value && html`<${Problem}>${error.value}<//>`}
    ${rows.value ? html`<${DeliveryTable} rows=${rows.value} changed=${load} none=${filtered ? "No delivery fits." : "There is no delivery yet: one is made when a rule matches a callback."} />`
      : !error.value && html`<p class="faint">Being looked up…</p>`}
    ${next.value && rows.value.length < mostRows && html`<p><button type="button" onClick=${() => { pages.current.shown++; load(); }}>Show older ones</button></p>`}
    ${next.value && rows.value.length >= mostRows && html`<p class="faint">There are more: narrow the filter.</p>`}
  </div>`;
}

const verbs = { replay: ["Replay", "replayed"], discard: ["Discard", "discarded"] };

// all replays or discards what a filter lets through: as many as it said before, and none that came since.
async function all(verb, filter, done) {
  const [word, past] = verbs[verb];
  const which = { ...filter, status: "dead", until: new Date().toISOString() };
  for (const n of Object.keys(which)) if (!which[n]) delete which[n];
  try {
    const { found } = await api("deliveries/" + verb, { method: "POST", body: { ...which, count: true } });
    if (!found) return say("No dead letter fits.");
    const what = plural(found, "dead letter");
    const filtered = names.some((n) => n !== "status" && filter[n]) ? "that this filter lets through" : "— all there are";
    if (!(await confirm(`${word} ${what} ${filtered}? ${verb === "replay" ? "Each is tried again at once." : "They cannot be replayed any more."}`, `${word} ${number(found)}`))) return;
    const result = await api("deliveries/" + verb, { method: "POST", body: which });
    const n = result[past];
    say(`${plural(n, "dead letter was", "dead letters were")} ${past}.`);
  } catch (e) {
    say(e.message);
  }
  done();
}

async function one(verb, id, done) {
  const [word, past] = verbs[verb];
  try {
    if (verb === "discard" && !(await confirm("Discard 1 dead letter? It cannot be replayed any more.", "Discard 1"))) return;
    if (verb === "replay" && !(await confirm("Replay 1 dead letter? It is tried again at once.", "Replay 1"))) return;
    await api("deliveries/" + id + (verb === "replay" ? "/replay" : ""), { method: verb === "replay" ? "POST" : "DELETE" });
    say(`The dead letter was ${past}.`);
  } catch (e) {
    say(e.message);
  }
  done?.();
}

export function DeliveryTable({ rows, changed, short, none = "No delivery fits." }) {
  if (!rows.length) return html`<p class="card pad faint">${none}</p>`;
  return html`<div class="card flush scroll" tabindex="0" role="group" aria-label="deliveries"><table class="plain deliveries">
    <thead><tr><th>Made</th><th>Status</th>${!short && html`<th>Rule</th>`}<th>Action</th><th>From → to</th><th class="num">Attempts</th><th>Last error</th>${changed && html`<th><span class="hide">Do</span></th>`}</tr></thead>
    <tbody>${rows.map((d) => html`<tr key=${d.id}>
      <td class="time"><a href=${"#/deliveries/" + encodeURIComponent(d.id)} title=${when(d.created)}>${ago(d.created)}</a></td>
      <td><${Badge} kind=${kinds[d.status] || "off"}>${d.status}<//></td>
      ${!short && html`<td class="name"><a href=${"#/rules/" + encodeURIComponent(d.rule)}>${d.rule}</a></td>`}
      <td class="name">${d.action}</td>
      <td class="pair"><${Text} of=${d.From_Account} class="account" most=${80} /> → <${Text} of=${d.To_Account} class="account" most=${80} /></td>
      <td class="num">${d.attempts}</td>
      <td class="error">${d.last_error ? html`<${Text} of=${d.last_error} most=${200} />` : ""}</td>
      ${changed && html`<td class="do">${d.status === "dead" && html`<button type="button" class="quiet" aria-label=${`Replay the dead letter ${d.id}`} onClick=${() => one("replay", d.id, changed)}>Replay</button>
        <button type="button" class="quiet" aria-label=${`Discard the dead letter ${d.id}`} onClick=${() => one("discard", d.id, changed)}>Discard</button>`}</td>`}
    </tr>`)}</tbody></table></div>`;
}

function Delivery({ id }) {
  const title = useTitle("Delivery");
  const d = useSignal(null);
  const error = useSignal("");
  const load = useLive(true, async (abort) => {
    try {
      d.value = await api("deliveries/" + encodeURIComponent(id), { signal: abort });
      error.value = "";
    } catch (e) {
      if (e.name !== "AbortError") error.value = trouble(e);
    }
  }, [id]);
  const v = d.value;
  return html`<div class="stack narrow">
    <p class="back"><a href="#/deliveries">← All deliveries</a></p>
    <div class="row between wrap"><h1 ref=${title} tabindex="-1">Delivery</h1>
      ${v?.status === "dead" && html`<div class="row"><button type="button" class="primary" onClick=${() => one("replay", id, load)}>Replay…</button>
        <button type="button" onClick=${() => one("discard", id, load)}>Discard…</button></div>`}</div>
    ${error.value && html`<${Problem}>${error.value}<//>`}
    ${v && html`<dl class="facts card">
      <div><dt>Status</dt><dd><${Badge} kind=${kinds[v.status] || "off"}>${v.status}<//></dd></div>
      <div><dt>From</dt><dd><${Text} of=${v.From_Account} class="account" /></dd></div>
      <div><dt>To</dt><dd><${Text} of=${v.To_Account} class="account" /></dd></div>
      <div><dt>Rule</dt><dd><a href=${"#/rules/" + encodeURIComponent(v.rule)}>${v.rule}</a></dd></div>
      <div><dt>Action</dt><dd>${v.action} <span class="faint">${v.type}</span></dd></div>
      <div><dt>Made</dt><dd>${when(v.created)}</dd></div>
      ${v.next_attempt && html`<div><dt>Next attempt</dt><dd title=${when(v.next_attempt)}>${ago(v.next_attempt)}</dd></div>`}
      <div class="wide"><dt>Delivery</dt><dd><code>${v.id}</code></dd></div>
      <div class="wide"><dt>Callback</dt><dd><code>${v.callback_id}</code></dd></div>
    </dl>
    <h2>History <small>${plural(v.history.length, "entry", "entries")}</small></h2>
    <ol class="attempts">${[...v.history].reverse().map((a, i) => html`<li class="card" key=${a.at + i}>
      <div class="row between wrap"><span><${Badge} kind=${outcomes[a.outcome] || "off"}>${a.outcome}<//>
        ${a.attempt ? html` attempt ${a.attempt}` : ""}${a.dry_run ? html` <${Badge} kind="off">dry run<//>` : ""}</span>
        <span class="faint">${when(a.at)}, took ${number(Math.round(a.took_ms * 10) / 10)} ms</span></div>
      ${a.error && html`<p class="why"><${Text} of=${a.error} /></p>`}
      ${a.detail && !a.error?.includes(a.detail) && html`<p><${Text} of=${a.detail} /></p>`}
      <div class="pairs">${a.sent && html`<${Body} title="Sent" text=${a.sent} />`}${a.received && html`<${Body} title="Came back" text=${a.received} />`}</div>
    </li>`)}</ol>`}
  </div>`;
}

function Body({ title, text }) {
  return html`<div><h3>${title}</h3><pre tabindex="0" aria-label=${title}>${visible(pretty(text))}</pre></div>`;
}
