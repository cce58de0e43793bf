// A backtest of the edit: stored callbacks through the rules that run and through those with the edit, on the server, rule by rule.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { long } from "./api.js";
import { html, Badge, Problem, Text } from "./parts.js";
import { number, plural, span, visible, when } from "./text.js";

const spans = [["1h", "hour"], ["24h", "24 hours"], ["7d", "7 days"]];

// Backtest shows the button, how far it is, and what came of it. edit is {file, source} as it stands; pick puts a callback into the
// packet beside it.
export function Backtest({ edit, ready, pick }) {
  const since = useSignal("24h");
  const progress = useSignal(null);
  const result = useSignal(null); // of what was edited then
  const error = useSignal("");
  const abort = useRef();
  useEffect(() => () => abort.current?.abort(), []);

  const run = async () => {
    abort.current = new AbortController();
    error.value = "";
    progress.value = { callbacks: 0, pairs: 0, part: 0 };
    try {
      const answer = await long("backtest", { method: "POST", signal: abort.current.signal, body: { ...edit, since: since.value } }, (p) => (progress.value = p));
      result.value = { ...answer, of: edit };
    } catch (e) {
      error.value = e.name === "AbortError" ? "" : e.message;
    }
    progress.value = null;
  };
  const p = progress.value;
  const r = result.value;
  return html`<section class="card stack" aria-label="Backtest">
    <div class="row between wrap"><div><h2>Backtest</h2>
        <p class="faint">Runs stored callbacks through the rules that run and through those with this edit. No action runs.</p></div>
      <div class="row wrap"><label class="inline">Callbacks of the last <select value=${since.value} disabled=${!!p} onChange=${(e) => (since.value = e.target.value)}>
          ${spans.map(([value, label]) => html`<option value=${value} selected=${value === since.value}>${label}</option>`)}</select></label>
        ${p ? html`<button type="button" onClick=${() => abort.current.abort()}>Cancel</button>`
          : html`<button type="button" class="primary" disabled=${!ready} onClick=${run}>Run the backtest</button>`}</div></div>
    ${p && html`<div><progress max="1" value=${p.part} aria-label="How far back the backtest is"></progress>
      <p class="faint" role="status">${plural(p.callbacks, "callback")}, ${plural(p.pairs, "pair")}${p.callbacks ? `, back to ${when(p.at)}` : ""}</p></div>`}
    ${error.value && html`<${Problem}>${visible(error.value)}<//>`}
    ${r && !p && html`<${Result} of=${r} stale=${r.of.source !== edit.source || r.of.file !== edit.file} pick=${pick} />`}
  </section>`;
}

function Result({ of: r, stale, pick }) {
  const verdict = r.pairs === 0 ? "nothing to compare" : r.changed === 0 ? "nothing would change" : `${plural(r.changed, "rule")} would change`;
  return html`<div class="stack" role="status">
    <p><b>${verdict}</b> <span class="faint">in ${plural(r.callbacks, "callback")} with ${plural(r.pairs, "pair")}${r.oldest ? `, back to ${when(r.oldest)}` : ""}; took ${span(r.took_ms / 1000)}</span>
      ${stale && html` <${Badge} kind="warn">of an earlier edit<//>`}</p>
    ${!r.complete && html`<p class="why">Its time ended there: what is older was not run.</p>`}
    ${r.skipped > 0 && html`<p class="faint">${plural(r.skipped, "stored packet was", "stored packets were")} left out: no friend-delete packets.</p>`}
    ${r.elsewhere.length > 0 && html`<p class="faint">Other files on disk are broken: those that run stand in for them.</p>`}
    ${r.rules.length > 0 && html`<div class="scroll flush" tabindex="0" role="group" aria-label="rules of the backtest"><table class="plain backtest">
      <thead><tr><th>Rule</th><th class="num">Fired</th><th class="num">Would fire</th><th class="num">Gained</th><th class="num">Lost</th><th>Remarks</th></tr></thead>
      <tbody>${r.rules.map((one) => html`<${Row} of=${one} pick=${pick} key=${one.rule} />`)}</tbody></table></div>`}
    ${r.quiet + r.omitted > 0 && html`<p class="faint">${r.quiet > 0 && `${plural(r.quiet, "rule")} fired for no pair, then or now. `}${r.omitted > 0 && `${plural(r.omitted, "more rule")} are not shown.`}</p>`}
  </div>`;
}

function Row({ of: r, pick }) {
  const remarks = [
    r.actions_now && `actions ${r.actions_before.join(" ")}, now ${r.actions_now.join(" ") || "none"}`,
    r.shadow_before + r.shadow_now > 0 && `as a shadow ${number(r.shadow_before)}, now ${number(r.shadow_now)}`,
    r.errors_before + r.errors_now > 0 && `failed on ${number(r.errors_before)}, now on ${number(r.errors_now)}`,
  ].filter(Boolean);
  const changed = r.gained + r.lost > 0;
  return html`<tr class=${changed ? "changed" : ""}><td><b>${visible(r.rule)}</b> ${r.state && html`<${Badge} kind="off">${r.state}<//>`}</td>
      <td class="num">${number(r.before)}</td><td class="num">${number(r.now)}</td>
      <td class=${"num" + (r.gained ? " yes" : "")}>${r.gained ? "+" : ""}${number(r.gained)}</td><td class=${"num" + (r.lost ? " no" : "")}>${r.lost ? "−" : ""}${number(r.lost)}</td>
      <td>${visible(remarks.join("; "))}</td></tr>
    ${r.examples?.length > 0 && html`<tr class="examples"><td colspan="6"><ul>${r.examples.map((x) => html`<li>
      <${Badge} kind=${x.change === "gained" ? "good" : "bad"}>${x.change}<//> <${Text} of=${x.From_Account} class="account" most=${80} /> → <${Text} of=${x.To_Account} class="account" most=${80} />
      <span class="faint">${when(x.at)}</span> ${x.callback_id && html`<button type="button" class="quiet" onClick=${() => pick(x.callback_id)}>Take as the packet</button>`}</li>`)}</ul></td></tr>`}`;
}
