// The page as a person uses it, in a real browser, against a running serve. Run by: npm test
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, open, judge } from "./browser.mjs";
import { receiver, serve, until } from "./serve.mjs";

const hostile = `<img src=x onerror="window.owned=1">&lt;b&gt;"'\u202egnp.exe`;
const shown = hostile.replace("\u202e", "\\u202e");
const goodRules = (hook) => `lists:
  vips: [vip_1, vip_2]
actions:
  crm:
    type: webhook
    url: ${hook}/hooks/friend-deleted
    retry: {max_attempts: 1}
rules:
  - name: tell-crm
    description: Every deletion goes to the CRM
    condition: From_Account != To_Account
    actions: [crm]
    labels: {team: care}
  - name: vip-lost-a-friend
    description: A VIP removed somebody in the app
    condition: From_Account in vips && OptPlatform != "RESTAPI"
    actions:
      - type: log
        level: warn
        message: "VIP {{ From_Account }} removed {{ To_Account }}"
  - name: at-night
    condition: Time.Hour() >= 22 || Time.Hour() < 6
    shadow: true
    actions:
      - type: log
        message: "{{ From_Account }} at night"
  - name: mass-deletion
    condition: PairCount >= 3 && PairIndex == 0
    enabled: false
    actions: [crm]
`;

let browser, hook, s;
before(async () => {
  hook = await receiver();
  s = await serve({ files: { "rules/10-main.yaml": goodRules(hook.url) } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await s?.stop();
  hook?.close();
});

// paste gives the editor a text as ctrl-V does.
const paste = (page, text) => page.locator(".editor .cm-content").evaluate((to, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  to.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}, text);

const clean = async (page) => assert.deepEqual(await judge(page), []);

// shot keeps a picture of the page where SHOTS says so, for people to look at.
async function shot(page, name) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const [size, width, height] of [["wide", 1280, 860], ["narrow", 390, 844]]) {
      await page.setViewportSize({ width, height });
      await page.waitForTimeout(400);
      await page.screenshot({ path: `${process.env.SHOTS}/${name}-${colorScheme}-${size}.png` });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 860 });
}

test("overview shows the counts, and a broken rules file in its source until it is mended", async () => {
  for (let i = 0; i < 12; i++) await s.send([["vip_1", `friend_${i}`], ["alice", "bob"]]);
  const page = await open(browser, s.admin);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.locator(".tile", { hasText: "Callbacks" }).getByText("12", { exact: true }).waitFor();
  await page.locator("canvas").nth(3).waitFor();
  await page.getByText("the same").waitFor();
  await page.waitForTimeout(process.env.SHOTS ? 9000 : 0);
  await clean(page);
  await shot(page, "overview");

  s.write("rules/10-main.yaml", goodRules(hook.url).replace("From_Account in vips", "From_Acount in vips"));
  await page.getByText("The rules on disk are broken.").waitFor();
  assert.equal(await page.locator(".source mark").first().innerText(), "From_Acount");
  assert.match(await page.locator(".source tr.bad").innerText(), /^\s*16\s+condition: From_Acount in vips[^]*unknown name From_Acount/);
  assert.match(await page.locator(".sets dl").innerText(), /4 rules/, "the running set stays");
  await clean(page);
  await shot(page, "broken");

  s.write("rules/10-main.yaml", goodRules(hook.url));
  await page.getByText("the same").waitFor();
  await page.getByText("The rules on disk are broken.").waitFor({ state: "detached" });
  await page.context().close();
});

test("rules are searched, and one shows its source and its last deliveries", async () => {
  const page = await open(browser, s.admin + "/#/rules");
  await page.getByText("4 rules").waitFor();
  await page.getByPlaceholder("Search").fill("VIPS optplatform");
  await page.getByText("1 rule", { exact: true }).waitFor();
  await page.locator('[data-row="0"]').focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "vip-lost-a-friend" }).waitFor();
  await page.locator(".editor .cm-content").getByText("From_Account in vips").waitFor();
  await page.locator(".detail .deliveries").getByText("vip_1").first().waitFor();
  assert.match(await page.locator(".detail .facts").innerText(), /Matches\s+12/);
  await clean(page);
  await shot(page, "rules");
  await page.getByLabel("State").selectOption("shadow");
  await page.getByPlaceholder("Search").fill("");
  await page.locator(".rule", { hasText: "at-night" }).waitFor();
  await page.context().close();
});

test("Try it explains, renders, and shows errors as one types; nothing is sent", async () => {
  const sent = hook.got.length;
  const page = await open(browser, s.admin + "/#/try");
  await page.getByText("no error", { exact: true }).waitFor();
  await page.locator(".render pre").getByText("alice removed bob").waitFor();
  await page.getByLabel("Rules", { exact: true }).getByRole("combobox").selectOption("a new text");
  const editor = page.locator(".editor .cm-content");
  await editor.click();
  await page.keyboard.press("Control+a");
  await paste(page, "rules:\n  - name: edited\n    condition: From_Acount in vips && PairCount == 1\n    actions: [crm]\n");
  await page.locator(".findings").getByText("unknown name From_Acount").waitFor();
  await page.locator(".editor .cm-lintRange-error").waitFor();
  await clean(page);
  await page.getByRole("button", { name: "3:16" }).click();
  for (let i = 0; i < "From_Acount".length; i++) await page.keyboard.press("Delete");
  await page.keyboard.type("From_Acc");
  await page.locator(".cm-tooltip-autocomplete").getByText("From_Account").waitFor();
  await page.waitForTimeout(150); // the completion ignores keys for a moment, so that it takes none by mistake
  await page.keyboard.press("Enter");
  await page.getByText("no error", { exact: true }).waitFor();
  await page.getByLabel("Packet", { exact: true }).last().fill(JSON.stringify({ CallbackCommand: "Sns.CallbackFriendDelete", PairList: [{ From_Account: "vip_2", To_Account: hostile }] }));
  await page.locator(".explained", { hasText: "edited" }).getByText("matches", { exact: true }).waitFor();
  await page.locator(".tree li", { hasText: "From_Account in vips" }).last().getByText("true").waitFor();
  await page.locator(".render").getByText("friend.deleted").first().waitFor();
  await page.locator("article h3").getByText(shown).waitFor();
  await clean(page);
  await shot(page, "try");
  await page.getByLabel("Packet", { exact: true }).last().fill("{");
  await page.getByText("This is no friend-delete packet").waitFor();
  await page.getByRole("button", { name: "Pick a stored one" }).click();
  await page.getByLabel("Stored").selectOption({ index: 1 });
  await page.getByText("This is no friend-delete packet").waitFor({ state: "hidden" });
  assert.equal(hook.got.length, sent, "something was sent");
  await page.context().close();
});

test("dead letters are replayed one by one and discarded by filter, and hostile texts stay texts", async () => {
  const page = await open(browser, s.admin + "/#/deliveries");
  await page.getByRole("img", { name: "connected", exact: true }).waitFor();
  hook.status = 410;
  hook.body = "<script>window.owned=1</script>";
  await s.send([[hostile, "<b>bob</b>"]]);
  await page.locator("tr", { hasText: shown }).getByText("dead", { exact: true }).waitFor(); // live: nothing was pressed
  await s.send([["carol", "dave"], ["erin", "frank"]]);
  await page.getByLabel("Status").selectOption("dead");
  await until("three dead letters", async () => (await page.locator("tbody tr").count()) === 3);
  await clean(page);
  await shot(page, "deliveries");

  await page.locator("tr", { hasText: shown }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Delivery" }).waitFor();
  await page.locator("pre").getByText("<script>window.owned=1</script>").waitFor();
  await page.locator("pre").getByText("friend.deleted").waitFor();
  await clean(page);
  await shot(page, "delivery");

  hook.status = 200;
  hook.body = "thanks";
  await page.getByRole("button", { name: "Replay…" }).click();
  await page.getByRole("dialog").getByText("Replay 1 dead letter?").waitFor();
  await page.getByRole("button", { name: "Replay 1" }).click();
  await page.locator(".facts").getByText("done", { exact: true }).waitFor();
  await page.locator("pre").getByText("thanks").waitFor();

  await page.goto(s.admin + "/#/deliveries?status=dead&account=carol");
  await page.getByRole("button", { name: "Discard all that fit…" }).click();
  await page.getByRole("dialog").getByText("Discard 1 dead letter that this filter lets through?").waitFor();
  await clean(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await s.api("status")).counts.deliveries.dead, 2, "cancelling changed something");
  await page.getByRole("button", { name: "Discard all that fit…" }).click();
  await page.getByRole("button", { name: "Discard 1" }).click();
  await page.getByText("1 dead letter was discarded.").waitFor();
  const { dead, discarded } = (await s.api("status")).counts.deliveries;
  assert.deepEqual({ dead, discarded }, { dead: 1, discarded: 1 });
  assert.equal(await page.evaluate(() => window.owned), undefined);
  await clean(page);
  await page.context().close();
});

test("a list that is slow to come neither misses what happens meanwhile nor covers what was asked after it", async () => {
  const page = await open(browser, "about:blank");
  const held = [];
  let hold = false;
  await page.route("**/api/v1/deliveries?*", async (route) => {
    const response = await route.fetch();
    if (hold) await new Promise((go) => held.push(go));
    await route.fulfill({ response }).catch(() => {}); // what the page no longer waits for
  });
  await page.goto(s.admin + "/#/deliveries?account=slow_1");
  await page.getByRole("img", { name: "connected", exact: true }).waitFor();
  await page.getByText("No delivery fits.").waitFor();
  const row = page.locator("tbody tr", { hasText: "slow_1" });

  hold = true;
  await s.send([["slow_0", "bob"]]);
  await until("a load that an event started", () => held.length === 1);
  await s.send([["slow_1", "bob"]]);
  await until("its delivery", async () => (await s.api("deliveries?account=slow_1&status=done")).deliveries.length === 1);
  hold = false;
  held.splice(0).forEach((go) => go());
  await row.getByText("done", { exact: true }).waitFor({ timeout: 4000 }); // sooner than the list is loaded without an event

  hold = true;
  await s.send([["slow_1", "bob"]]);
  await until("a load of the list without a status", () => held.length === 1);
  await page.getByLabel("Status").selectOption("discarded");
  hold = false;
  await page.getByText("No delivery fits.").waitFor();
  held.splice(0).forEach((go) => go());
  await page.waitForResponse((r) => r.url().includes("status=discarded")); // the next load, after the late answer
  assert.equal(await row.count(), 0, "the answer to the filter of before is shown");
  await page.context().close();
});

test("the keyboard alone reaches every view, and the focus is seen", async () => {
  const page = await open(browser, s.admin);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  for (const name of ["Overview", "Rules", "Try it", "Deliveries"]) {
    const link = page.getByRole("navigation").getByRole("link", { name });
    await link.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name, exact: true }).waitFor();
    await until("the focus to go to the heading", () => page.evaluate(() => document.activeElement.tagName === "H1"));
  }
  await page.keyboard.press("Tab");
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  await page.context().close();
});

test("with a token the page asks for it, keeps it out of scripts, and ends with it", async () => {
  const token = "correct-horse-battery";
  const guarded = await serve({ token, files: { "rules/a.yaml": "rules: []\n" } });
  try {
    const page = await open(browser, guarded.admin);
    await page.getByLabel("Admin token").fill("wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("this is not the token").waitFor();
    assert.deepEqual(page.complaints.splice(0).map((c) => /401/.test(c)), [true]);
    await clean(page);
    await shot(page, "login");
    await page.getByLabel("Admin token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(token));
    assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })), "{}");
    await page.reload();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Admin token").waitFor();
    await page.context().close();
  } finally {
    await guarded.stop();
  }
});

test("100,000 rules are scrolled and searched", async () => {
  const lines = ["rules:"];
  for (let i = 0; i < 100_000; i++) {
    lines.push(`  - {name: rule-${i}, condition: 'From_Account == "user_${i}"', actions: [note]}`);
  }
  const many = await serve({ files: { "rules/a.yaml": "actions: {note: {type: log, message: hi}}\n" + lines.join("\n") + "\n" } });
  try {
    const page = await open(browser, many.admin + "/#/rules");
    await page.getByText("100,000 rules").waitFor();
    assert.ok((await page.locator(".rule").count()) < 60, "the list is not virtual");
    const box = page.getByRole("region", { name: "Rules found" });
    await box.evaluate((e) => (e.scrollTop = e.scrollHeight));
    await page.locator(".rule").getByText("rule-99999", { exact: true }).waitFor();
    await box.evaluate((e) => (e.scrollTop = e.scrollHeight / 2));
    await page.locator(".rule").getByText("rule-50000", { exact: true }).waitFor();
    await page.getByPlaceholder("Search").fill("user_77777");
    await page.getByText("1 rule", { exact: true }).waitFor();
    await page.locator(".rule").getByText("rule-77777", { exact: true }).click();
    await page.getByRole("heading", { name: "rule-77777" }).waitFor();
    await page.locator(".editor .cm-content").getByText("user_77777").waitFor();
    await clean(page);
    const took = [];
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      await many.api("rules?q=user_9999&limit=100");
      took.push(performance.now() - start);
    }
    const paint = [];
    for (let i = 0; i < 5; i++) {
      await page.goto("about:blank");
      await page.goto(many.admin + "/#/overview");
      await page.getByRole("heading", { name: "Overview" }).waitFor();
      paint.push(await page.evaluate(() => new Promise((ok) => new PerformanceObserver((list, o) => {
        const [first] = list.getEntriesByName("first-contentful-paint");
        if (first) (o.disconnect(), ok(first.startTime));
      }).observe({ type: "paint", buffered: true }))));
    }
    console.log(`metrics: first contentful paint ${Math.min(...paint).toFixed(0)} ms at best, ${Math.max(...paint).toFixed(0)} ms at worst, search of 100,000 rules ${Math.min(...took).toFixed(1)} ms at best, ${Math.max(...took).toFixed(1)} ms at worst`);
    await page.context().close();
  } finally {
    await many.stop();
  }
});
