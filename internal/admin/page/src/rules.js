// Rules: all of them to search, and one of them beside.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, query, trouble } from "./api.js";
import { html, useTitle, Badge, Problem } from "./parts.js";
import { Rule } from "./rule.js";
import { status } from "./state.js";
import { number, plural, visible } from "./text.js";

const rowHeight = 58; // pixels: as in app.css
const pageSize = 100;

export function Rules({ of }) {
  return html`<div class=${"split" + (of ? " one" : "")}>
    <${List} chosen=${of} />
    ${of ? html`<${Rule} name=${of} key=${of} />` : html`<p class="faint hint">Choose a rule to see its source, matches and deliveries.</p>`}
  </div>`;
}

function List({ chosen }) {
  const title = useTitle("Rules");
  const q = useSignal("");
  const state = useSignal("");
  const found = useSignal({ total: 0, pages: new Map(), error: "", set: "" });
  const top = useSignal(0);
  const height = useSignal(600);
  const box = useRef();
  const running = status.value?.rules.running?.hash;

  // A search, or another rule set, begins anew; what was there is shown until the answer has come.
  const search = useRef({});
  useEffect(() => {
    search.current.abort?.abort();
    const mine = { abort: new AbortController(), asked: new Set([0]) };
    search.current = mine;
    const timer = setTimeout(async () => {
      try {
        const first = await api("rules" + query({ q: q.value, state: state.value, limit: pageSize }), { signal: mine.abort.signal });
        if (box.current && !found.value.pages.size) box.current.scrollTop = 0;
        found.value = { total: first.total, pages: new Map([[0, first.rules]]), error: "", set: first.rule_set };
        mine.asked = new Set([0]);
        if (box.current) top.value = box.current.scrollTop;
      } catch (e) {
        if (e.name !== "AbortError") found.value = { ...found.value, error: trouble(e) };
      }
    }, found.value.set ? 80 : 0);
    return () => clearTimeout(timer);
  }, [q.value, state.value, running]);

  const from = Math.max(0, Math.floor(top.value / rowHeight) - 5);
  const to = Math.min(found.value.total, Math.ceil((top.value + height.value) / rowHeight) + 5);
  useEffect(() => {
    const mine = search.current;
    const timer = setTimeout(() => {
      for (let p = Math.floor(from / pageSize); p * pageSize < to; p++) {
        if (found.value.pages.has(p) || mine.asked.has(p)) continue;
        mine.asked.add(p);
        api("rules" + query({ q: q.value, state: state.value, limit: pageSize, offset: p * pageSize }), { signal: mine.abort.signal }).then(
          (more) => (found.value = { ...found.value, pages: new Map(found.value.pages).set(p, more.rules) }),
          () => mine.asked.delete(p),
        );
      }
    }, 40);
    return () => clearTimeout(timer);
  }, [from, to, found.value]);

  useEffect(() => {
    const size = new ResizeObserver(() => box.current && (height.value = box.current.clientHeight));
    size.observe(box.current);
    return () => size.disconnect();
  }, []);

  const keys = (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    const at = e.target.closest?.("[data-row]");
    if (!step || !at) return;
    e.preventDefault();
    const next = box.current.querySelector(`[data-row="${Number(at.dataset.row) + step}"]`);
    next?.focus();
  };
  const rows = [];
  for (let i = from; i < to; i++) rows.push([i, found.value.pages.get(Math.floor(i / pageSize))?.[i % pageSize]]);
  return html`<section class="list" aria-label="All rules">
    <div class="row between"><h1 ref=${title} tabindex="-1">Rules</h1>
      <p class="faint" role="status">${found.value.set ? plural(found.value.total, "rule") : ""}</p></div>
    <div class="row filters">
      <label class="grow"><span class="hide">Search</span>
        <input type="search" placeholder="Search rules" title="Words of names, conditions, descriptions, files, actions or labels" value=${q.value} maxlength="200"
          onInput=${(e) => { box.current.scrollTop = 0; q.value = e.target.value; }} /></label>
      <label><span class="hide">State</span><select value=${state.value} onChange=${(e) => { box.current.scrollTop = 0; state.value = e.target.value; }}>
        <option value="">All states</option><option value="enabled">Enabled</option><option value="shadow">Shadow</option><option value="disabled">Disabled</option>
      </select></label>
    </div>
    ${found.value.error && html`<${Problem}>${found.value.error}<//>`}
    <div class="card flush rows" ref=${box} onScroll=${(e) => (top.value = e.target.scrollTop)} onKeyDown=${keys} tabindex="0" role="region" aria-label="Rules found">
      ${found.value.set && !found.value.total && html`<p class="faint pad">${q.value || state.value ? "No rule fits." : "There is no rule yet: write one in Try it, and put it into the rules folder."}</p>`}
      <div class="tall" role="list" style=${{ height: found.value.total * rowHeight + "px" }}>
        ${rows.map(([i, r]) => html`<div role="listitem" key=${i} aria-setsize=${found.value.total} aria-posinset=${i + 1} class="rule" style=${{ transform: `translateY(${i * rowHeight}px)` }}>
          ${r ? html`<a href=${"#/rules/" + encodeURIComponent(r.name)} data-row=${i} aria-current=${r.name === chosen ? "true" : undefined}>
            <span class="row between"><b>${r.name}</b><${State} rule=${r} /></span>
            <code class="faint">${visible(r.condition)}</code></a>` : html`<span class="faint pad">…</span>`}
        </div>`)}
      </div>
    </div>
  </section>`;
}

function State({ rule: r }) {
  return html`<span class="row tight">${!r.enabled ? html`<${Badge} kind="off">disabled<//>` : r.shadow && html`<${Badge} kind="warn">shadow<//>`}
    ${r.matches !== undefined && html`<small class="faint">${number(r.matches)}</small>`}</span>`;
}
