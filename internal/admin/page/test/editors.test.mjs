// The README's set-up of editors, tried on yaml-language-server, which is what VS Code's YAML extension and Neovim's yamlls run.
// Run by: npm test
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { build, root, until } from "./serve.mjs";

const readme = readFileSync(join(root, "README.md"), "utf8");
const settings = JSON.parse(/in `\.vscode\/settings\.json`:\n\n```text\n([^]*?)```/.exec(readme)[1]);

let dir, server;
before(async () => {
  dir = mkdtempSync(join(tmpdir(), "aftermath-editors-"));
  cpSync(join(root, "examples/quickstart"), dir, { recursive: true });
  for (const [name, args] of [["rules", []], ["tests", ["tests"]], ["aftermath", ["config"]]]) {
    writeFileSync(join(dir, name + ".schema.json"), execFileSync(build(), ["schema", ...args]));
  }
  server = await languageServer(dir, { schemas: settings["yaml.schemas"], schemaStore: { enable: false } });
});
after(() => {
  server?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

// languageServer starts one on a folder, with the editor's settings of yaml.
async function languageServer(dir, yaml) {
  const at = pathToFileURL(dir).href;
  const child = spawn(process.execPath, [createRequire(import.meta.url).resolve("yaml-language-server/bin/yaml-language-server"), "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  const send = (message) => {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  };
  const asked = new Map();
  const problems = new Map();
  const take = (m) => {
    if (m.method === "textDocument/publishDiagnostics") problems.set(m.params.uri, m.params.diagnostics.map((d) => `${d.range.start.line + 1}:${d.range.start.character + 1}: ${d.message}`));
    else if (m.method && m.id !== undefined) send({ id: m.id, result: m.method === "workspace/configuration" ? m.params.items.map((i) => (i.section === "yaml" ? yaml : {})) : null });
    else if (asked.has(m.id)) asked.get(m.id)(m);
  };
  let rest = Buffer.alloc(0);
  child.stdout.on("data", (data) => {
    rest = Buffer.concat([rest, data]);
    for (let head = rest.indexOf("\r\n\r\n"); head >= 0; head = rest.indexOf("\r\n\r\n")) {
      const end = head + 4 + Number(/Content-Length: (\d+)/i.exec(rest.subarray(0, head))[1]);
      if (rest.length < end) return;
      const message = JSON.parse(rest.subarray(head + 4, end));
      rest = rest.subarray(end);
      take(message);
    }
  });
  const ask = (method, params) => new Promise((ok, no) => {
    const id = asked.size + 1;
    asked.set(id, (m) => (m.error ? no(new Error(m.error.message)) : ok(m.result)));
    send({ id, method, params });
  });
  await ask("initialize", {
    processId: process.pid, rootUri: at, workspaceFolders: [{ uri: at, name: "rules" }],
    capabilities: { workspace: { configuration: true, workspaceFolders: true }, textDocument: { completion: { completionItem: { documentationFormat: ["markdown"] } }, publishDiagnostics: {} } },
  });
  send({ method: "initialized", params: {} });
  send({ method: "workspace/didChangeConfiguration", params: { settings: { yaml } } });
  const open = async (name, text) => {
    const uri = at + "/" + name;
    send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
    return { uri, problems: await until("the problems of " + name, () => problems.get(uri), 60_000) };
  };
  return { ask, open, stop: () => child.kill() };
}

test("a misspelt key is marked, and the keys of a rule are completed with what they mean", async () => {
  const { uri, problems } = await server.open("rules/new.yaml", "rules:\n  - name: a\n    conditon: Mutual\n    actions: [{type: log}]\n    \n");
  assert.deepEqual(problems, ['2:5: Missing property "condition".', "3:5: Property conditon is not allowed."]);
  const { items } = await server.ask("textDocument/completion", { textDocument: { uri }, position: { line: 4, character: 4 } });
  for (const key of ["condition", "description", "enabled", "labels", "shadow", "stop"]) {
    const item = items.find((i) => i.label === key);
    assert.ok((item?.documentation?.value ?? item?.documentation ?? "").length > 10, `${key} is not offered, or not described`);
  }
});

test("the fields of an action are completed by its type", async () => {
  const { uri, problems } = await server.open("rules/action.yaml", "actions:\n  crm:\n    type: webhook\n    \n");
  assert.deepEqual(problems, ['2:3: Missing property "url".']);
  const { items } = await server.ask("textDocument/completion", { textDocument: { uri }, position: { line: 3, character: 4 } });
  const labels = items.map((i) => i.label);
  assert.ok(labels.includes("secrets") && labels.includes("retry") && !labels.includes("subject"), `offered are ${labels}`);
});

test("the configuration and rule tests have schemas of their own", async () => {
  const config = await server.open("aftermath.yaml", "callback:\n  listn: 127.0.0.1:8080\n  apps: [{sdkappid: 1}]\n");
  assert.deepEqual(config.problems, ["2:3: Property listn is not allowed."]);
  const tests = await server.open("rules/new_test.yaml", "tests:\n  - name: a\n    callback: {PairList: []}\n    matchs: []\n");
  assert.deepEqual(tests.problems, ['2:5: Missing property "matches".', "4:5: Property matchs is not allowed."]);
});

test("a first line names the schema of a file that no pattern fits", async () => {
  mkdirSync(join(dir, "elsewhere"));
  const { problems } = await server.open("elsewhere/a.yaml", "# yaml-language-server: $schema=../rules.schema.json\nruls: []\n");
  assert.deepEqual(problems, ["2:1: Property ruls is not allowed."]);
});

test("nothing is marked in the quickstart", async () => {
  for (const name of ["rules/friends.yaml", "rules/friends_test.yaml"]) {
    assert.deepEqual((await server.open(name, readFileSync(join(dir, name), "utf8"))).problems, [], name);
  }
});

test("Neovim's settings are those of VS Code", () => {
  const lua = /schemas = \{\n([^]*?)\n\} \} \}/.exec(readme)[1];
  const json = "{" + lua.replace(/\['(.*?)'\] = /g, '"$1": ').replace(/\{ (.*?) \}/g, "[$1]").replace(/'/g, '"').replace(/,$/, "") + "}";
  assert.deepEqual(JSON.parse(json), settings["yaml.schemas"]);
});
