// The page against servers in special states: one with a token, one that goes down and comes back, an empty one, one with 100,000 rules.
// Run by: npm test
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clean, fitsPhone, launch, open, shot } from "./browser.mjs";
import { manyRules, serve, until } from "./serve.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

const oneRule = "rules:\n  - {name: all, condition: PairCount > 0, actions: [{type: log, message: hi}]}\n";

test("the page says that aftermath is down, goes on asking, and is live again when it is back", async () => {
  const s = await serve({ files: { "rules/a.yaml": oneRule } });
  try {
    const page = await open(browser, s.admin + "/#/deliveries");
    await page.getByRole("img", { name: "connected", exact: true }).waitFor();
    await s.send([["before", "b"]]);
    await page.locator("tbody tr", { hasText: "before" }).waitFor();
    await s.end("SIGKILL");
    await page.getByRole("alert").getByText("aftermath does not answer").waitFor();
    await page.getByRole("img", { name: "not connected" }).waitFor();
    await page.locator("tbody tr", { hasText: "before" }).waitFor(); // what was known is still shown
    await fitsPhone(page);
    await shot(page, "down");
    await s.start(new URL(s.admin).port);
    await page.getByRole("alert").waitFor({ state: "detached" });
    await page.getByRole("img", { name: "connected", exact: true }).waitFor();
    await s.send([["after", "b"]]);
    await page.locator("tbody tr", { hasText: "after" }).waitFor({ timeout: 4000 }); // by its event: without one it takes longer
    assert.deepEqual(page.complaints.splice(0).filter((c) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_SOCKET/.test(c)), []);
    await clean(page);
    await page.context().close();
  } finally {
    await s.stop();
  }
});

test("where there is nothing yet, each view says so", async () => {
  const s = await serve({ files: { "rules/a.yaml": "rules: []\n" } });
  try {
    const page = await open(browser, s.admin);
    await page.locator(".tile", { hasText: "Callbacks" }).getByText("0", { exact: true }).waitFor();
    await clean(page);
    for (const [view, text] of [["Rules", "There is no rule yet"], ["Deliveries", "There is no delivery yet"], ["Try it", "no error"]]) {
      await page.getByRole("navigation").getByRole("link", { name: view }).click();
      await page.getByText(text).first().waitFor();
      await fitsPhone(page);
      await clean(page);
    }
    await page.getByRole("button", { name: "Run the backtest" }).click();
    await page.getByText("nothing to compare").waitFor();
    await page.getByRole("button", { name: "Pick a stored one" }).click();
    await page.getByText("No callback is stored yet.").waitFor();
    await page.goto(s.admin + "/#/rules/nothing-here");
    await page.getByText('no rule is called "nothing-here"').waitFor();
    await page.goto(s.admin + "/#/deliveries/nothing0here");
    await page.getByText('there is no delivery "nothing0here"').waitFor();
    assert.deepEqual(page.complaints.splice(0).filter((c) => !/404/.test(c)), []);
    await page.context().close();
  } finally {
    await s.stop();
  }
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
  const many = await serve({ files: { "rules/a.yaml": manyRules(100_000) } });
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
    await page.context().close();
  } finally {
    await many.stop();
  }
});
