// How fast the page and the search are, with 100,000 rules, in a real browser. Run by: npm run measure
import { createServer } from "node:http";
import { launch, open } from "./browser.mjs";
import { manyRules, serve } from "./serve.mjs";

const turns = Number(process.argv[2] || 15);

// What a page of one line takes is this machine's and the browser's part of it.
const line = createServer((req, res) => res.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end("<!doctype html><title>line</title><p>one line\n"));
await new Promise((ok) => line.listen(0, "127.0.0.1", ok));

const s = await serve({ files: { "rules/a.yaml": manyRules(100_000) } });
const browser = await launch();
const took = { line: [], page: [], figures: [], again: [], search: [] };

// painted is when the browser first painted a text or a picture, by the navigation's own clock.
const painted = (page) => page.evaluate(() => new Promise((ok) => new PerformanceObserver((list, o) => {
  const [first] = list.getEntriesByName("first-contentful-paint");
  if (first) (o.disconnect(), ok(first.startTime));
}).observe({ type: "paint", buffered: true })));

try {
  for (let i = 0; i < turns; i++) { // in turn, each in a browser context with nothing cached
    const one = await open(browser, `http://127.0.0.1:${line.address().port}/`);
    took.line.push(await painted(one));
    await one.context().close();
    const page = await open(browser, s.admin + "/");
    took.page.push(await painted(page));
    await page.locator(".tile").first().waitFor();
    took.figures.push(await page.evaluate(() => performance.now()));
    await page.reload();
    took.again.push(await painted(page));
    await page.context().close();
  }
  for (let i = 0; i < turns; i++) {
    const start = performance.now();
    await s.api("rules?q=user_9999&limit=100");
    took.search.push(performance.now() - start);
  }
} finally {
  await browser.close();
  line.close();
  await s.stop();
}

const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)].toFixed(0);
for (const [what, of] of [["one line of text, first paint", took.line], ["the page, first paint", took.page], ["the page, its figures shown", took.figures],
  ["the page, first paint when it was seen before", took.again], ["a search among 100,000 rules", took.search]]) {
  console.log(`${what}: ${median(of)} ms (median of ${of.length}, ${of[0].toFixed(0)} to ${of.at(-1).toFixed(0)})`);
}
