// A headless Chromium whose console, page errors and violations of the policy are kept for the tests to judge.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { createRequire } from "node:module";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.complaints = [];
  page.on("console", (m) => (m.type() === "error" || m.type() === "warning") && page.complaints.push(m.text()));
  page.on("pageerror", (e) => page.complaints.push(String(e)));
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
  });
  await page.goto(url);
  return page;
}

// judge gives all that the console, the policy or axe complains about, in the light and in the dark.
export async function judge(page) {
  const found = [...page.complaints, ...(await page.evaluate(() => window.violations))];
  await page.evaluate(axeSource);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const only = colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {};
    const { violations } = await page.evaluate((only) => window.axe.run(document, { resultTypes: ["violations"], ...only }), only);
    for (const v of violations) for (const n of v.nodes) found.push(`axe ${v.id} (${colorScheme}): ${n.target.join(" ")}: ${n.failureSummary}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  return found;
}

export const clean = async (page) => assert.deepEqual(await judge(page), []);

// fitsPhone fails where the page is wider than a narrow phone's screen, so that one would have to push it sideways.
export async function fitsPhone(page) {
  const before = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 740 });
  // Charts are drawn anew a moment later.
  await page.waitForFunction(() => document.documentElement.scrollWidth === innerWidth).catch(() => assert.fail("the page is wider than the phone"));
  await page.setViewportSize(before);
}

// paste gives the editor a text as ctrl-V does.
export const paste = (page, text) => page.locator(".editor .cm-content").evaluate((to, text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  to.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}, text);

// shot keeps a picture of the page where SHOTS says so, for people to look at.
export async function shot(page, name) {
  if (!process.env.SHOTS) return;
  mkdirSync(process.env.SHOTS, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const [size, width, height] of [["wide", 1280, 860], ["narrow", 360, 780]]) {
      await page.setViewportSize({ width, height });
      await page.waitForTimeout(400); // charts are drawn anew
      await page.screenshot({ path: `${process.env.SHOTS}/${name}-${colorScheme}-${size}.png` });
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 860 });
}
