// The frame around the views: navigation, log-in, and the state that all of them show.
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import { api, needsLogin } from "./api.js";
import { html, said, say, Dialog, useEvery, useTitle } from "./parts.js";
import { status, down } from "./state.js";
import { Overview } from "./overview.js";
import { Rules } from "./rules.js";
import { Try } from "./try.js";
import { Deliveries } from "./deliveries.js";
import { clock, number } from "./text.js";

const views = [
  ["overview", "Overview", Overview],
  ["rules", "Rules", Rules],
  ["try", "Try it", Try],
  ["deliveries", "Deliveries", Deliveries],
];

// The place is #/VIEW/REST?QUERY, so that every view, rule and delivery has a link.
const place = signal(read());
function read() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  let of = "";
  try {
    of = decodeURIComponent(rest.join("/"));
  } catch {
    // a link that was cut: the view without it
  }
  return { view: view || "overview", of, params: new URLSearchParams(search || "") };
}
addEventListener("hashchange", () => {
  document.body.dataset.moved = "yes";
  const [from, to] = [place.value, read()];
  place.value = to;
  if (from.view === to.view && from.of === to.of && String(from.params) === String(to.params)) document.querySelector("main h1")?.focus();
});

const session = signal(null);
const asked = signal(0); // when the status that is shown came
async function ask() {
  try {
    session.value = await api("session");
    needsLogin.value = !session.value.in;
  } catch (e) {
    down.value = e.message;
    setTimeout(ask, 2000);
  }
}
ask();

function Login() {
  const error = useSignal("");
  const title = useTitle("Log in");
  const submit = async (e) => {
    e.preventDefault();
    error.value = "";
    try {
      session.value = await api("session", { method: "POST", body: { token: e.target.elements.token.value } });
      needsLogin.value = false;
      down.value = "";
    } catch (failed) {
      error.value = failed.message;
    }
  };
  return html`<main class="login"><form class="card" onSubmit=${submit}>
    <h1 ref=${title} tabindex="-1">aftermath</h1>
    <label for="token">Admin token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required autofocus
      aria-describedby="token-help token-error" />
    <p id="token-help" class="faint">It is <code>admin.token</code> of aftermath.yaml.</p>
    <p id="token-error" class="problem" role="alert" hidden=${!error.value}>${error.value}</p>
    <button class="primary">Log in</button>
  </form></main>`;
}

async function logout() {
  await api("session", { method: "DELETE" }).catch((e) => say(e.message));
  needsLogin.value = true;
}

function Header() {
  const dead = status.value?.counts.deliveries.dead;
  const broken = status.value && !status.value.rules.disk.ok;
  return html`<header class="top">
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <span class="brand"><b>aftermath</b></span>
    <nav aria-label="Views">${views.map(([name, label]) => html`<a href=${"#/" + name} aria-current=${place.value.view === name ? "page" : undefined}>
      ${label}
      ${name === "deliveries" && dead > 0 && html` <span class="dot" aria-label=${`${number(dead)} dead letters`}>${number(dead)}</span>`}
      ${name === "overview" && broken && html` <span class="dot" role="img" aria-label="the rules on disk are broken">!</span>`}
    </a>`)}</nav>
    ${session.value?.token && html`<button type="button" class="quiet out" onClick=${logout}>Log out</button>`}
  </header>`;
}

// Down says that what is shown is old.
const Down = () => down.value && html`<p class="down" role="alert">${down.value} What is shown is ${status.value ? `of ${clock(asked.value, true)}` : "not known"}; the page goes on asking.</p>`;

// Brand is what index.html shows before anything is known.
const Brand = () => html`<header class="top first"><span class="brand"><b>aftermath</b></span></header>`;

function Frame() {
  useEvery(2000, async (abort) => {
    try {
      status.value = await api("status", { signal: abort });
      asked.value = Date.now();
      down.value = "";
    } catch (e) {
      if (e.name !== "AbortError" && e.status !== 401) down.value = e.message;
    }
  }, []);
  const { view, of, params } = place.value;
  const View = (views.find(([name]) => name === view) || views[0])[2];
  return html`<${Header} />
    <${Down} />
    <main id="main" tabindex="-1"><${View} of=${of} params=${params} key=${view} /></main>
    <${Dialog} />`;
}

function App() {
  useEffect(() => void document.body.classList.add("ready"), []);
  return html`${needsLogin.value ? html`<${Login} />` : session.value ? html`<${Frame} />` : html`<${Brand} /><${Down} />`}
    <div class=${"said" + (said.value ? " on" : "")} role="status" aria-live="polite">${said.value}</div>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
