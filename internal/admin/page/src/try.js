// Try it: a packet beside rules, what the rules would make of it as one types. Nothing is sent.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, query } from "./api.js";
import { Backtest } from "./backtest.js";
import { html, say, useTitle, Badge, Problem, Text } from "./parts.js";
import { plural, visible, when } from "./text.js";

const samplePacket = `{
  "CallbackCommand": "Sns.CallbackFriendDelete",
  "PairList": [
    {"From_Account": "alice", "To_Account": "bob"}
  ]
}`;
const sampleQuery = "SdkAppid=1400000000&CallbackCommand=Sns.CallbackFriendDelete&contenttype=json&ClientIP=203.0.113.7&OptPlatform=iOS";
const sampleRules = `rules:
  - name: my-rule
    description: Somebody was removed in the app
    condition: OptPlatform in ["iOS", "Android"] && From_Account != To_Account
    actions:
      - type: log
        message: "{{ From_Account }} removed {{ To_Account }}"
`;

const unsaved = "unsaved.yaml"; // what aftermath calls a text that is no file

// What is being written outlives a look at another view.
const draft = { source: sampleRules, packet: samplePacket, query: sampleQuery, file: "" };

export function Try({ params }) {
  const title = useTitle("Try it");
  const source = useSignal(draft.source);
  const packet = useSignal(draft.packet);
  const search = useSignal(draft.query);
  const file = useSignal(draft.file);
  const files = useSignal([]);
  const answer = useSignal(null);
  const busy = useSignal(false);
  const error = useSignal("");
  const editor = useRef();
  const box = useRef();
  const took = useRef(0); // ms of the last answer: a large set takes its time, and need not be asked for at every key

  const take = (c) => {
    // What could hide in an account id is written as JSON's \u: the same packet, as it reads.
    packet.value = draft.packet = typeof c.packet === "string" ? c.packet : visible(JSON.stringify(c.packet, null, 2));
    search.value = draft.query = c.query;
  };
  const pick = async (id) => {
    try {
      take(await api("callbacks/" + encodeURIComponent(id)));
      document.getElementById("packet").scrollIntoView({ block: "center" });
      say("The packet is that of the callback.");
    } catch (e) {
      say(e.message);
    }
  };

  const open = async (name) => {
    try {
      const text = name ? (await api("source" + query({ file: name }))).source : sampleRules;
      if (text.length > 1 << 20) throw new Error("This file is over 1 MiB: copy the rules that matter into a text of its own.");
      file.value = draft.file = name;
      source.value = draft.source = text;
      editor.current?.set(text);
    } catch (e) {
      say(e.message);
    }
  };
  useEffect(() => {
    api("source").then((a) => (files.value = a.files), () => {});
    const asked = params.get("file");
    if (asked && asked !== draft.file) open(asked);
  }, [params.get("file")]);

  // mark underlines what is wrong with the text; what the edit breaks in other files has no place in it.
  const mark = () => {
    const a = answer.value;
    const here = (p) => p.file === (file.value || unsaved);
    if (a) editor.current?.mark([...a.errors, ...a.warnings.map((w) => ({ ...w, warning: true }))].filter(here));
  };
  useEffect(() => {
    let gone = false;
    import("./editor.js").then(({ edit }) => {
      if (gone) return;
      editor.current = edit(box.current, source.value, (text) => (source.value = draft.source = text), () => answer.value?.names);
      mark();
    });
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, []);

  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      busy.value = true;
      const start = performance.now();
      try {
        answer.value = await api("try", { method: "POST", signal: abort.signal, body: { file: file.value, source: source.value, packet: packet.value, query: search.value } });
        error.value = "";
        took.current = performance.now() - start;
        mark();
      } catch (e) {
        if (e.name !== "AbortError") error.value = e.message;
      }
      busy.value = false;
    }, Math.min(3000, 250 + took.current));
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [source.value, packet.value, search.value, file.value]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(source.value);
      say("The YAML is on the clipboard.");
    } catch {
      editor.current?.selectAll();
      say("The browser does not let the page copy: the text is selected, press ctrl-C.");
    }
  };
  const a = answer.value;
  return html`<div class="stack">
    <div class="row between wrap"><h1 ref=${title} tabindex="-1">Try it</h1><p class="faint">Nothing is sent, nothing is stored. The running rules stay as they are.</p></div>
    <div class="bench">
      <section class="stack" aria-label="Rules">
        <div class="row between wrap"><label class="inline grow">Rules <select class="grow" value=${file.value} onChange=${(e) => open(e.target.value)}>
            <option value="" selected=${file.value === ""}>a new text</option>${files.value.map((f) => html`<option value=${f} selected=${f === file.value}>${visible(f)}</option>`)}</select></label>
          <button type="button" onClick=${copy}>Copy as YAML</button></div>
        <div class="editor" ref=${box}><pre class="loading">${visible(source.value)}</pre></div>
        <div class="row between wrap"><div role="status" aria-live="polite">${a && (a.ok ? html`<${Badge} kind="good">no error<//>` : html`<${Badge} kind="bad">${plural(a.errors.length, "error")}<//>`)}</div>
          <p class="faint">Escape, then Tab leaves the editor; ctrl-space completes.</p></div>
        ${a && html`<ul class="findings">${[...a.errors, ...a.warnings].map((p, i) => html`<${Finding} of=${p} warning=${i >= a.errors.length} here=${p.file === (file.value || unsaved)} go=${() => editor.current?.go(p.line, p.column)} key=${i} />`)}</ul>`}
        ${a?.elsewhere.length > 0 && html`<details><summary><${Badge} kind="warn">${plural(a.elsewhere.length, "error")} in other files on disk<//> the running ones stand in for them</summary>
          <ul class="findings">${a.elsewhere.map((p, i) => html`<${Finding} of=${p} key=${i} />`)}</ul></details>`}
      </section>
      <section class="stack" aria-label="Packet">
        <div class="row between wrap"><label for="packet">Packet</label><${Pick} take=${take} /></div>
        <textarea id="packet" rows="12" spellcheck="false" value=${packet.value} onInput=${(e) => (packet.value = draft.packet = e.target.value)} aria-describedby="packet-error"></textarea>
        <label for="query">Query of the callback's URL</label>
        <input id="query" spellcheck="false" value=${search.value} onInput=${(e) => (search.value = draft.query = e.target.value)} />
        <p id="packet-error" class="problem" role="alert" hidden=${!a?.packet_error}>${a?.packet_error && html`This is no friend-delete packet: <${Text} of=${a.packet_error} />`}</p>
        ${error.value && html`<${Problem}>${error.value}<//>`}
      </section>
    </div>
    <section aria-label="What comes of it" aria-busy=${busy.value} class="stack">
      ${a?.explanation && html`<h2>What comes of it</h2>${a.explanation.pairs.map((p, i) => html`<${Pair} pair=${p} at=${i} file=${file.value || unsaved} renders=${a.renders.filter((r) => r.pair === i)} />`)}
        ${a.explanation.omitted_pairs > 0 && html`<p class="faint">and ${plural(a.explanation.omitted_pairs, "more pair")}</p>`}
        ${a.omitted_renders > 0 && html`<p class="faint">and ${plural(a.omitted_renders, "more action")}</p>`}`}
      ${a && !a.ok && html`<p class="faint">What comes of it shows once the rules have no error.</p>`}
    </section>
    <${Backtest} edit=${{ file: file.value, source: source.value }} ready=${a?.ok} pick=${pick} />
  </div>`;
}

// Finding is an error or a warning: a place to go to in the text, or one in another file.
function Finding({ of: p, warning, here, go }) {
  return html`<li>${here ? html`<button type="button" class="link" onClick=${go}>${p.line}:${p.column}</button>` : html`<code><${Text} of=${`${p.file}:${p.line}:${p.column}`} /></code>`}
    ${warning ? " warning: " : " "}<${Text} of=${p.message} /></li>`;
}

// Pick takes a packet from the journal.
function Pick({ take }) {
  const list = useSignal(null);
  const load = async () => {
    try {
      list.value = (await api("callbacks" + query({ limit: 20 }))).callbacks;
      if (!list.value.length) say("No callback is stored yet.");
    } catch (e) {
      say(e.message);
    }
  };
  if (!list.value?.length) return html`<button type="button" onClick=${load}>Pick a stored one</button>`;
  return html`<label class="inline grow">Stored <select class="grow" onChange=${(e) => e.target.value && take(list.value[e.target.value])}>
    <option value="">choose…</option>
    ${list.value.map((c, i) => html`<option value=${i}>${when(c.at)} · ${plural(c.pairs.length, "pair")} · ${visible(c.pairs[0]?.From_Account).slice(0, 40)}</option>`)}</select></label>`;
}

function Pair({ pair, at, file, renders }) {
  const hits = pair.rules.filter((r) => r.matched);
  const misses = pair.rules.filter((r) => !r.matched);
  return html`<article class="card stack">
    <h3><span class="faint">Pair ${at}:</span> <${Text} of=${pair.From_Account} class="account" most=${200} /> → <${Text} of=${pair.To_Account} class="account" most=${200} /></h3>
    ${hits.map((r) => html`<${Explained} rule=${r} elsewhere=${r.file !== file} open renders=${renders.filter((x) => x.rule === r.rule)} />`)}
    ${misses.map((r) => html`<${Explained} rule=${r} open=${misses.length < 4 && !hits.length} renders=${[]} />`)}
    ${pair.omitted_rules > 0 && html`<p class="faint">${pair.rules.length ? "and " : ""}${plural(pair.omitted_rules, pair.rules.length ? "more rule" : "rule")} of other files that ${pair.omitted_rules === 1 ? "doesn't" : "don't"} match</p>`}
    ${!pair.rules.length && !pair.omitted_rules && html`<p class="faint">There is no rule.</p>`}
  </article>`;
}

function Explained({ rule: r, elsewhere, open, renders }) {
  return html`<details class="explained" open=${open}>
    <summary><${Badge} kind=${r.matched ? "good" : "off"}>${r.matched ? "matches" : "no match"}<//> <b>${visible(r.rule)}</b>
      ${r.shadow && html` <${Badge} kind="warn">shadow<//>`}${!r.enabled && html` <${Badge} kind="off">disabled<//>`}
      ${elsewhere && html` <span class="faint">of <${Text} of=${r.file} /></span>`}
      ${r.stopped_by && html` <span class="faint">stopped by ${visible(r.stopped_by)}</span>`}
      ${r.error && html` <span class="why"><${Text} of=${r.error} /></span>`}</summary>
    <ul class="tree">${r.parts.map((p, i) => html`<li key=${i} class=${"depth d" + Math.min(p.depth, 8) + (p.decided ? " decided" : "")}>
      <code>${visible(p.source)}</code> <span class=${"value " + (p.value === true ? "yes" : p.value === false ? "no" : "")}>${p.error ? html`<${Text} of=${p.error} class="why" />` : p.value === null ? html`<span class="faint">not reached</span>` : html`<${Text} of=${JSON.stringify(p.value)} most=${300} />`}</span>
      ${p.decided && html` <span class="faint">decided</span>`}</li>`)}</ul>
    ${renders.map((x) => html`<div class="render"><h4>${visible(x.action)} <span class="faint">${x.type}, not sent${x.shadow ? ": a shadow rule runs no action" : ""}</span></h4>
      ${x.error && html`<p class="why"><${Text} of=${x.error} /></p>`}
      ${x.fields && html`<dl class="fields">${Object.entries(x.fields).map(([k, v]) => html`<div><dt>${visible(k)}</dt><dd><pre tabindex="0" aria-label=${k}>${visible(typeof v === "string" ? v : JSON.stringify(v, null, 2))}</pre></dd></div>`)}</dl>`}</div>`)}
  </details>`;
}
