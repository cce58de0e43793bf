// A running serve with a receiver, as the tests need it: real files, real ports, nothing outside of this machine.
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, writeFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, dirname } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "../../../..");

let binary = process.env.AFTERMATH; // a program that is built already
export function build() {
  if (binary) return binary;
  const dir = mkdtempSync(join(tmpdir(), "aftermath-page-"));
  binary = join(dir, "aftermath");
  execFileSync("go", ["build", "-o", binary, "./cmd/aftermath"], { cwd: root, stdio: "inherit" });
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return binary;
}

// until waits for a condition, with a deadline.
export async function until(what, cond, ms = 20_000) {
  for (const end = Date.now() + ms; ; await new Promise((r) => setTimeout(r, 25))) {
    const got = await cond();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

// receiver answers webhooks with the status of the moment.
export async function receiver() {
  const r = { status: 200, body: "ok", got: [] };
  const server = createServer((req, res) => {
    let text = "";
    req.on("data", (d) => (text += d));
    req.on("end", () => {
      r.got.push(text);
      res.writeHead(r.status, { "Content-Type": "text/plain" }).end(r.body);
    });
  });
  await new Promise((ok) => server.listen(0, "127.0.0.1", ok));
  r.url = `http://127.0.0.1:${server.address().port}`;
  r.close = () => (server.closeAllConnections(), server.close());
  return r;
}

// manyRules is a file of so many rules, each for an account of its own.
export function manyRules(count) {
  const lines = ["actions: {note: {type: log, message: hi}}", "rules:"];
  for (let i = 0; i < count; i++) lines.push(`  - {name: rule-${i}, condition: 'From_Account == "user_${i}"', actions: [note]}`);
  return lines.join("\n") + "\n";
}

// serve starts one on files of its own. It can be ended and started again, on the same admin port.
export async function serve({ files, token }) {
  const dir = mkdtempSync(join(tmpdir(), "aftermath-page-"));
  const s = { dir };
  s.write = (name, text) => {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  };
  for (const [name, text] of Object.entries(files)) s.write(name, text);
  let child, ended;
  s.start = async (port = 0) => {
    s.write("aftermath.yaml", `callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}
admin: {listen: 127.0.0.1:${port}${token ? ", token: " + token : ""}}
poll: 500ms
`);
    child = spawn(build(), ["serve", "-c", "aftermath.yaml"], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
    let out = "", log = "";
    child.stdout.on("data", (d) => (out += d));
    child.stderr.on("data", (d) => (log += d));
    ended = new Promise((r) => child.on("exit", r));
    const line = (name) => new RegExp(`^${name} +(http\\S+)`, "m").exec(out)?.[1];
    await until("serve to listen", () => {
      if (child.exitCode !== null) throw new Error("serve ended:\n" + log);
      return line("admin") && out.includes("\ntry ");
    }, 60_000);
    s.admin = line("admin");
    s.callbacks = line("callbacks");
  };
  s.end = async (how = "SIGTERM") => {
    child.kill(how);
    await ended;
  };
  s.send = async (pairs, platform = "iOS") => {
    const q = new URLSearchParams({ SdkAppid: "1400000000", CallbackCommand: "Sns.CallbackFriendDelete", contenttype: "json", ClientIP: "203.0.113.7", OptPlatform: platform });
    const body = { CallbackCommand: "Sns.CallbackFriendDelete", PairList: pairs.map(([f, t]) => ({ From_Account: f, To_Account: t })) };
    const answer = await (await fetch(s.callbacks + "?" + q, { method: "POST", body: JSON.stringify(body) })).json();
    if (answer.ActionStatus !== "OK") throw new Error(JSON.stringify(answer));
  };
  s.api = async (path) => (await fetch(s.admin + "/api/v1/" + path, { headers: token ? { Authorization: "Bearer " + token } : {} })).json();
  s.stop = async () => {
    await s.end();
    rmSync(dir, { recursive: true, force: true });
  };
  await s.start();
  return s;
}
