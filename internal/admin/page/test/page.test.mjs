// The page as a person uses it, in a real browser, against a running serve. Run by: npm test
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clean, fitsPhone, launch, open, paste, shot } from "./browser.mjs";
import { receiver, serve, until } from "./serve.mjs";

const hostile = `<img src=x onerror="window.owned=1">&lt;b&gt;"'\u202egnp.exe`;
const shown = hostile.replace("\u202e", "\\u202e");
const strange = "\u0000\u001b[2J\u200b\r\n" + "long".repeat(500);
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

const goodTests = `tests:
  - name: a VIP in the app
    callback: {OptPlatform: iOS, Time: 2026-11-22T12:00:00Z, PairList: [{From_Account: vip_1, To_Account: bob}]}
    matches: [{rule: tell-crm}, {rule: vip-lost-a-friend, render: {log.message: VIP vip_1 removed bob}}]
  - name: a VIP by the app's backend
    callback: {OptPlatform: RESTAPI, Time: 2026-11-22T12:00:00Z, PairList: [{From_Account: vip_1, To_Account: bob}]}
    matches: [{rule: tell-crm}, {rule: vip-lost-a-friend}]
`;

let browser, hook, s;
before(async () => {
  hook = await receiver();
  s = await serve({ files: { "rules/10-main.yaml": goodRules(hook.url), "rules/main_test.yaml": goodTests } });
  for (let i = 0; i < 12; i++) await s.send([["vip_1", `friend_${i}`], ["alice", "bob"]]);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await s?.stop();
  hook?.close();
});

test("overview shows the counts, and a broken rules file in its source until it is mended", async () => {
  const page = await open(browser, s.admin);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.locator(".tile", { hasText: "Callbacks" }).getByText("12", { exact: true }).waitFor();
  await page.locator("canvas").nth(3).waitFor();
  await page.getByText("the same").waitFor();
  await page.waitForTimeout(process.env.SHOTS ? 9000 : 0);
  assert.match(await page.locator(".tiles").innerText(), /Done\s+36\s+of 36 deliveries\s+Pending\s+0\s+Dead\s+0/);
  assert.match(await page.getByRole("img", { name: /^Time to accept/ }).getAttribute("aria-label"), /now Median /);
  await page.getByRole("row", { name: /crm webhook healthy/ }).waitFor();
  await fitsPhone(page);
  await clean(page);
  await shot(page, "overview");

  s.write("rules/10-main.yaml", goodRules(hook.url).replace("From_Account in vips", "From_Acount in vips"));
  await page.getByText("The rules on disk are broken.").waitFor();
  assert.equal(await page.locator(".source mark").first().innerText(), "From_Acount");
  assert.match(await page.locator(".source tr.bad").innerText(), /^\s*16\s+condition: From_Acount in vips[^]*unknown name From_Acount/);
  assert.match(await page.locator(".sets dl").innerText(), /4 rules/, "the running set stays");
  await fitsPhone(page);
  await clean(page);
  await shot(page, "broken");

  s.write("rules/10-main.yaml", goodRules(hook.url));
  await page.getByText("the same").waitFor();
  await page.getByText("The rules on disk are broken.").waitFor({ state: "detached" });
  await page.context().close();
});

test("rules are searched, and one shows its source, its matches, its tests and its last deliveries", async () => {
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
  await page.getByText("12 matches by the minute").waitFor();
  await page.locator(".detail canvas").waitFor();
  await page.getByLabel("Matches over time").getByRole("combobox").selectOption("24h");
  await page.getByText("12 matches by 4 minutes").waitFor();
  await page.locator(".test").getByText("not run").nth(1).waitFor();
  await page.getByRole("button", { name: "Run the tests" }).click();
  await page.getByText("1 of 2 failed").waitFor();
  await page.locator(".test", { hasText: "a VIP in the app" }).getByText("passed").waitFor();
  const failed = page.locator(".test", { hasText: "a VIP by the app's backend" });
  assert.match(await failed.innerText(), /main_test.yaml:5\s+vip-lost-a-friend was expected to match here, and did not\s+EXPECTED\s+GOT|main_test.yaml:5\s+vip-lost-a-friend was expected to match here, and did not\s+Expected\s+Got/);
  assert.equal(await failed.locator("tr.bad").innerText(), "vip-lost-a-friend\t–");
  await fitsPhone(page);
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
  await page.locator(".explained", { hasText: "tell-crm" }).getByText("of rules/10-main.yaml").waitFor(); // the whole set runs
  assert.equal(await page.locator(".explained", { hasText: "mass-deletion" }).count(), 0, "rules of other files that do not match are in the way");
  await fitsPhone(page);
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

test("an edit is backtested on the stored callbacks, and a stop in it holds for what comes after", async () => {
  const page = await open(browser, s.admin + "/#/try?file=rules%2F10-main.yaml");
  await page.getByText("no error", { exact: true }).waitFor();
  const editor = page.locator(".editor .cm-content");
  await editor.getByText("tell-crm").waitFor();
  await editor.click();
  await page.keyboard.press("Control+a");
  await paste(page, goodRules(hook.url).replace("condition: From_Account != To_Account", "condition: From_Account in vips\n    stop: true"));
  await page.locator(".findings").getByText("nothing uses").waitFor({ state: "detached" });
  await page.getByText("no error", { exact: true }).waitFor();
  const { callbacks } = (await s.api("status")).counts;
  const box = page.getByRole("region", { name: "Backtest" });
  await box.getByRole("button", { name: "Run the backtest" }).click();
  await box.getByText("2 rules would change").waitFor();
  assert.match(await box.innerText(), new RegExp(`in ${callbacks} callbacks with ${2 * callbacks} pairs`));
  assert.equal(await box.locator("tr", { hasText: "tell-crm" }).innerText(), `tell-crm\t${2 * callbacks}\t${callbacks}\t0\t−${callbacks}\t`);
  assert.equal(await box.locator("tr", { hasText: "vip-lost-a-friend" }).innerText(), `vip-lost-a-friend\t${callbacks}\t0\t0\t−${callbacks}\t`);
  await fitsPhone(page);
  await clean(page);
  await shot(page, "backtest");
  await box.getByRole("button", { name: "Take as the packet" }).first().click();
  await until("the packet", async () => /vip_1[^]*alice/.test(await page.getByLabel("Packet", { exact: true }).last().inputValue()));

  await editor.click();
  await page.keyboard.press("End");
  await page.keyboard.type(" ");
  await box.getByText("of an earlier edit").waitFor();

  let left = false;
  await page.route("**/api/v1/backtest", () => {}); // no answer comes
  page.on("requestfailed", (r) => (left ||= r.url().endsWith("/backtest")));
  await box.getByRole("button", { name: "Run the backtest" }).click();
  await box.getByRole("progressbar").waitFor();
  await box.getByRole("button", { name: "Cancel" }).click();
  await box.getByRole("button", { name: "Run the backtest" }).waitFor();
  await until("the request to be let go", () => left);
  await box.getByRole("button", { name: "Run the backtest" }).click();
  await box.getByRole("progressbar").waitFor();
  left = false;
  await page.getByRole("navigation").getByRole("link", { name: "Rules" }).click();
  await until("the request to be let go with the view", () => left);
  await clean(page);
  await page.context().close();
});

test("dead letters are replayed one by one and discarded by filter, and hostile texts stay texts", async () => {
  const page = await open(browser, s.admin + "/#/deliveries");
  await page.getByRole("img", { name: "connected", exact: true }).waitFor();
  hook.status = 410;
  hook.body = "<script>window.owned=1</script>";
  await s.send([[hostile, "<b>bob</b>"]]);
  await page.locator("tr", { hasText: shown }).getByText("dead", { exact: true }).waitFor(); // live: nothing was pressed
  await s.send([["carol", "dave"], [strange, "frank"]]);
  await page.getByLabel("Status").selectOption("dead");
  await until("three dead letters", async () => (await page.locator("tbody tr").count()) === 3);
  const long = page.locator("tr", { hasText: "\\u0000\\u001b[2J\\u200b\\u000d" });
  await long.getByText("2,028 characters").waitFor();
  assert.ok((await long.boundingBox()).height < 200, "a long account fills the list");
  await fitsPhone(page);
  await clean(page);
  await shot(page, "deliveries");

  await page.locator("tr", { hasText: shown }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Delivery" }).waitFor();
  await page.locator("pre").getByText("<script>window.owned=1</script>").waitFor();
  await page.locator("pre").getByText("friend.deleted").waitFor();
  await fitsPhone(page);
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

  await page.goto(s.admin + "/#/try");
  await page.getByRole("button", { name: "Pick a stored one" }).click();
  const stored = page.getByLabel("Stored");
  await stored.waitFor();
  await stored.selectOption({ index: (await stored.locator("option").allTextContents()).findIndex((o) => o.includes("<img src=x")) });
  const taken = await page.getByLabel("Packet", { exact: true }).last().inputValue();
  assert.ok(taken.includes("\\u202e") && !taken.includes("\u202e"), taken);
  assert.equal(JSON.parse(taken).PairList[0].From_Account, hostile);
  await page.locator("article h3").getByText(shown).waitFor();
  await fitsPhone(page);
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
