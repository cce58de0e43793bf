// Overview: what runs, what is on disk, and how it goes.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, query } from "./api.js";
import { html, say, useEvery, useTitle, Badge, Source, Text } from "./parts.js";
import { status } from "./state.js";
import { Chart } from "./chart.js";
import { ago, number, plural, span, visible, when } from "./text.js";

export function Overview() {
  const title = useTitle("Overview");
  const series = useSignal(null);
  const back = useSignal("15m");
  useEvery(2000, async (abort) => (series.value = await api("series" + query({ span: back.value }), { signal: abort })), [back.value]);
  const s = status.value;
  if (!s) return html`<h1 ref=${title} tabindex="-1">Overview</h1>`;
  return html`<div class="stack">
    <div class="row between"><h1 ref=${title} tabindex="-1">Overview</h1>
      <p class="faint">version ${s.version}, up for ${span(s.uptime_s)}</p></div>
    <${RuleSets} rules=${s.rules} />
    <${Store} store=${s.store} />
    <${Tiles} counts=${s.counts} />
    <div class="row between wrap"><h2>Over time</h2>
      <label class="inline">Show the last <select value=${back.value} onChange=${(e) => (back.value = e.target.value)}>
        <option value="15m">15 minutes</option><option value="1h">hour</option><option value="12h">12 hours</option>
      </select></label></div>
    <div class="charts">
      <${Chart} title="Callbacks and matches, per second" unit="/s" data=${series.value} lines=${[["callbacks", "Callbacks", "--c1"], ["matches", "Matches", "--c2"]]} />
      <${Chart} title="Deliveries done, per second" unit="/s" data=${series.value} lines=${[["done", "Done", "--c3"]]} />
      <${Chart} title="Time to accept, in ms" unit=" ms" data=${series.value} lines=${[["accept_p50_ms", "Median", "--c1"], ["accept_p99_ms", "99th percentile", "--c4"]]} />
      <${Chart} title="Pending and dead" unit="" data=${series.value} lines=${[["pending", "Pending", "--c2"], ["dead", "Dead", "--c4"]]} />
    </div>
    <${Actions} actions=${s.actions} />
  </div>`;
}

function RuleSets({ rules: { running, disk } }) {
  const reload = async () => {
    try {
      await api("reload", { method: "POST" });
      say("The rules on disk run.");
    } catch (e) {
      say(e.message);
    }
  };
  return html`<section class=${"card sets" + (disk.ok ? "" : " alarm")} aria-label="Rules that run and rules on disk">
    <div class="row between wrap">
      <dl class="facts">
        <div><dt>Running</dt><dd>${running ? html`<b>${plural(running.rules, "rule")}</b> <code>${running.hash}</code>` : "nothing"}
          ${running?.last_good && html` <${Badge} kind="warn">last good set<//>`}</dd></div>
        <div><dt>Loaded</dt><dd title=${when(running?.loaded_at)}>${running ? ago(running.loaded_at) : "–"}</dd></div>
        <div><dt>On disk</dt><dd>${disk.ok ? html`<${Badge} kind="good">the same<//>` : html`<${Badge} kind="bad">broken<//> ${plural(disk.errors.length, "error")}`}</dd></div>
      </dl>
      <button type="button" onClick=${reload}>Reload</button>
    </div>
    <div role="status">${!disk.ok && html`<h2>The rules on disk are broken. ${running ? "The running ones stay until they are mended." : ""}</h2>
      <${Broken} errors=${disk.errors} at=${disk.checked_at} />`}</div>
  </section>`;
}

const around = 4; // lines shown above and below an error
const mostShown = 20;

// Broken shows each error in its file, as the file is now.
function Broken({ errors, at }) {
  const frames = useSignal({});
  const shown = errors.slice(0, mostShown);
  const groups = [];
  for (const e of shown) {
    const last = groups.at(-1);
    if (last && last.file === e.file && e.line - last.to <= 2 * around) (last.marks.push(e), (last.to = e.line));
    else groups.push({ file: e.file, from: e.line, to: e.line, marks: [e] });
  }
  const key = JSON.stringify(shown);
  useEffect(() => {
    const abort = new AbortController();
    for (const g of groups) {
      const id = g.file + ":" + g.from;
      api("source" + query({ file: g.file, from: Math.max(1, g.from - around), to: g.to + around }), { signal: abort.signal })
        .then((f) => (frames.value = { ...frames.value, [id]: f }), () => {});
    }
    return () => abort.abort();
  }, [key]);
  return html`<ol class="errors">${groups.map((g) => {
    const f = frames.value[g.file + ":" + g.from];
    return html`<li key=${g.file + g.from}>
      <div class="row between wrap"><b><${Text} of=${`${g.file}:${g.from}`} /></b>
        <a href=${"#/try?file=" + encodeURIComponent(g.file)}>Mend it in Try it</a></div>
      ${f && f.source ? html`<${Source} from=${f.from} text=${f.source} marks=${g.marks} />`
        : g.marks.map((m) => html`<p class="why">${visible(m.message)}</p>`)}
    </li>`;
  })}</ol>
  ${errors.length > mostShown && html`<p>and ${plural(errors.length - mostShown, "more error", "more errors")}: <code>aftermath check</code> prints them all</p>`}`;
}

function Store({ store }) {
  if (!store || store.ok) return null;
  return html`<section class="card alarm" role="alert"><h2>Callbacks cannot be stored</h2><p>${visible(store.error)}</p></section>`;
}

function Tiles({ counts: c }) {
  const d = c.deliveries;
  const tiles = [
    ["Callbacks", c.callbacks, c.waiting ? `${number(c.waiting)} waiting` : `${number(c.unmatched)} unmatched`],
    ["Pairs", c.pairs, ""],
    ["Matches", c.matches, c.shadow_matches ? `${number(c.shadow_matches)} in shadow` : ""],
    ["Done", d.done, `of ${plural(d.created, "delivery", "deliveries")}`, "#/deliveries?status=done"],
    ["Pending", d.pending, "", "#/deliveries?status=pending"],
    ["Dead", d.dead, d.discarded ? `${number(d.discarded)} discarded` : "", "#/deliveries?status=dead", d.dead > 0],
    ["Refused", c.refused, c.quarantined ? `${number(c.quarantined)} quarantined` : "requests"],
  ];
  return html`<dl class="tiles">${tiles.map(([name, n, more, to, bad]) => html`<div class=${"card tile" + (bad ? " bad" : "")}>
    <dt>${to ? html`<a href=${to}>${name}</a>` : name}</dt><dd><b>${number(n)}</b>${more && html`<small>${more}</small>`}</dd></div>`)}</dl>`;
}

function Actions({ actions }) {
  const rows = Object.entries(actions || {}).sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, 200);
  if (!rows.length) return null;
  return html`<section><h2>Actions</h2><div class="scroll card flush" tabindex="0" role="group" aria-label="actions"><table class="plain">
    <thead><tr><th>Action</th><th>Type</th><th>State</th><th class="num">Queued</th><th class="num">Running</th><th>Last success</th><th>Last error</th></tr></thead>
    <tbody>${rows.map(([name, a]) => html`<tr key=${name}>
      <td><a href=${"#/deliveries" + query({ action: name })}>${name}</a></td><td>${a.type}</td>
      <td><${Badge} kind=${a.gone ? "warn" : a.breaker === "closed" ? "good" : "bad"}>${a.gone ? "gone" : a.breaker === "closed" ? "healthy" : a.breaker}<//></td>
      <td class="num">${number(a.queued)}</td><td class="num">${number(a.running)}</td>
      <td title=${when(a.last_ok)}>${ago(a.last_ok)}</td>
      <td>${a.last_error ? html`<${Text} of=${a.last_error} most=${200} /> <span class="faint">${ago(a.last_error_at)}</span>` : "–"}</td></tr>`)}</tbody>
  </table></div></section>`;
}
