// One rule: how it is written, what its tests say, how often it matches and what came of that.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, query, trouble } from "./api.js";
import { Chart } from "./chart.js";
import { DeliveryTable } from "./deliveries.js";
import { html, useEvery, Badge, Problem, Source, Text } from "./parts.js";
import { ago, number, plural, visible, when } from "./text.js";

export function Rule({ name }) {
  const rule = useSignal(null);
  const error = useSignal("");
  const last = useSignal(null);
  const heading = useRef();
  useEvery(5000, async (abort) => {
    try {
      rule.value = await api("rules/" + encodeURIComponent(name), { signal: abort });
      error.value = "";
    } catch (e) {
      if (e.name !== "AbortError") error.value = trouble(e);
    }
    last.value = await api("deliveries" + query({ rule: name, limit: 10 }), { signal: abort });
  }, [name]);
  useEffect(() => {
    document.title = name + " · aftermath";
    heading.current?.focus();
  }, [name]);
  const r = rule.value;
  return html`<section class="detail stack" aria-label=${"The rule " + name}>
    <p class="back"><a href="#/rules">← All rules</a></p>
    <h2 ref=${heading} tabindex="-1" class="big">${visible(name)}</h2>
    ${error.value && html`<${Problem}>${visible(error.value)}<//>`}
    ${r && html`
      ${r.description && html`<p>${visible(r.description)}</p>`}
      <${Facts} of=${r} />
      <div class="row between wrap"><h3><${Text} of=${`${r.file}:${r.line}`} /></h3><a href=${"#/try?file=" + encodeURIComponent(r.file)}>Edit in Try it</a></div>
      ${r.source ? html`<${Highlighted} text=${r.source} first=${r.line} />` : html`<${Source} from=${r.line} text=${r.condition} />`}
      <${Matches} name=${name} />
      <${Tests} name=${name} />
      <section class="part" aria-label="Last deliveries"><h3>Last deliveries</h3>
        ${last.value ? html`<${DeliveryTable} rows=${last.value.deliveries} short none="This rule has made no delivery yet." />` : html`<p class="faint">Being looked up…</p>`}</section>`}
    ${!r && !error.value && html`<p class="faint">Being looked up…</p>`}
  </section>`;
}

function Facts({ of: r }) {
  return html`<dl class="facts card">
    <div><dt>State</dt><dd>${!r.enabled ? html`<${Badge} kind="off">disabled<//>` : r.shadow ? html`<${Badge} kind="warn">shadow<//>` : html`<${Badge} kind="good">enabled<//>`}
      ${r.stop && html` <${Badge} kind="off">stops later rules<//>`}</dd></div>
    <div><dt>Matches</dt><dd><b>${number(r.matches)}</b></dd></div>
    <div><dt>Last match</dt><dd title=${when(r.last_match)}>${ago(r.last_match)}</dd></div>
    ${r.found_by && html`<div><dt>Found by</dt><dd>${visible(r.found_by)}</dd></div>`}
    <div><dt>Actions</dt><dd>${r.actions.map((a, i) => html`${i ? ", " : ""}<a href=${"#/deliveries" + query({ action: a })}>${a}</a>`)}</dd></div>
    ${r.labels && html`<div><dt>Labels</dt><dd>${Object.entries(r.labels).map(([k, v]) => html`<${Badge} kind="off">${visible(k)}: ${visible(v)}<//> `)}</dd></div>`}
  </dl>`;
}

// Highlighted shows rules as the editor does, to be read only. Until the editor has come, and where it does not, they are plain.
function Highlighted({ text, first }) {
  const box = useRef();
  useEffect(() => {
    let editor;
    let gone = false;
    import("./editor.js").then(({ viewer }) => {
      if (!gone) editor = viewer(box.current, text, first);
    }, () => {});
    return () => {
      gone = true;
      editor?.destroy();
    };
  }, [text, first]);
  return html`<div class="editor read" ref=${box}><pre class="loading">${visible(text)}</pre></div>`;
}

function Matches({ name }) {
  const back = useSignal("1h");
  const series = useSignal(null);
  useEvery(10_000, async (abort) => (series.value = await api(`rules/${encodeURIComponent(name)}/series` + query({ span: back.value }), { signal: abort })), [name, back.value]);
  const s = series.value;
  const sum = s?.matches.reduce((a, b) => a + (b || 0), 0);
  return html`<section class="part" aria-label="Matches over time"><div class="row between wrap"><h3>Matches over time</h3>
      <label class="inline">Show the last <select value=${back.value} onChange=${(e) => (back.value = e.target.value)}>
        <option value="1h">hour</option><option value="6h">6 hours</option><option value="24h">24 hours</option></select></label></div>
    ${s && html`<${Chart} title=${`${plural(sum, "match", "matches")} by ${s.step_s === 60 ? "the minute" : `${s.step_s / 60} minutes`}`} unit="" data=${s} bars=${s.step_s} lines=${[["matches", "Matches", "--c1"]]} />
    <p class="faint">Counted by this process since ${when(s.since)}; a restart begins anew.</p>`}</section>`;
}

// Tests are those that expect the rule to match. They run when somebody says so.
function Tests({ name }) {
  const tests = useSignal(null);
  const error = useSignal("");
  const busy = useSignal(false);
  const ask = async (method, signal) => {
    busy.value = method === "POST";
    try {
      tests.value = await api(`rules/${encodeURIComponent(name)}/tests`, { method, signal });
      error.value = "";
    } catch (e) {
      if (e.name !== "AbortError") error.value = e.message;
    }
    busy.value = false;
  };
  useEffect(() => {
    const abort = new AbortController();
    ask("GET", abort.signal);
    return () => abort.abort();
  }, [name]);
  const t = tests.value;
  const ran = t?.tests.filter((x) => x.passed !== null);
  const failed = ran?.filter((x) => !x.passed).length;
  return html`<section class="part" aria-label="Tests"><div class="row between wrap"><h3>Tests</h3>
      <div class="row"><span role="status">${ran?.length > 0 && (failed ? html`<${Badge} kind="bad">${failed} of ${ran.length} failed<//>` : html`<${Badge} kind="good">${ran.length === 1 ? "the test passed" : `all ${ran.length} passed`}<//>`)}</span>
      ${t?.tests.length > 0 && html`<button type="button" disabled=${busy.value} onClick=${() => ask("POST")}>${busy.value ? "Running…" : "Run the tests"}</button>`}</div></div>
    ${error.value && html`<${Problem}>${visible(error.value)}<//>`}
    ${t?.errors.map((p) => html`<p class="why"><${Text} of=${`${p.file}:${p.line}:${p.column}: ${p.message}`} /></p>`)}
    ${t && !t.tests.length && html`<p class="card pad faint">No test expects this rule to match. Write one beside the rules, in a file whose name ends in <code>_test.yaml</code>.</p>`}
    ${t?.tests.length > 0 && html`<ul class="card flush">${t.tests.map((x) => html`<${Test} of=${x} key=${x.file + x.line} />`)}</ul>`}
    ${t?.omitted > 0 && html`<p class="faint">and ${plural(t.omitted, "more test")}: <code>aftermath test</code> runs them all</p>`}
  </section>`;
}

function Test({ of: t }) {
  return html`<li class="test"><div class="row between wrap"><span><${Badge} kind=${t.passed === null ? "off" : t.passed ? "good" : "bad"}>${t.passed === null ? "not run" : t.passed ? "passed" : "failed"}<//> <${Text} of=${t.name} /></span>
      <small><${Text} of=${`${t.file}:${t.line}`} /></small></div>
    ${t.passed === false && html`<p class="why"><${Text} of=${t.why} /></p>
      <div class="scroll" tabindex="0" role="group" aria-label="expected and got"><table class="plain sides"><thead><tr><th>Expected</th><th>Got</th></tr></thead>
        <tbody>${(t.rows || []).map((row) => html`<tr class=${row.same ? "" : "bad"}><td><code>${visible(row.expected) || "–"}</code></td><td><code>${visible(row.got) || "–"}</code></td></tr>`)}</tbody></table></div>
      ${t.notes?.map((n) => html`<p class="faint"><${Text} of=${n} /></p>`)}`}</li>`;
}
