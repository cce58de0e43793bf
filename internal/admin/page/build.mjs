// Makes dist of src: npm run build. Scripts have the hash of what is in them in their names, so that browsers may keep them for good.
// The style and the icon are part of the one HTML file, so that the first paint waits for nothing else; page.go lets the style, by its
// hash. What charts and the editor need is fetched when one is shown.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
cpSync("src/icon.svg", "dist/icon.svg");

const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "info", loader: { ".svg": "dataurl" } };
const { metafile } = await build({
  ...common, entryPoints: { main: "src/main.js" }, format: "esm", splitting: true, outdir: "dist",
  entryNames: "[name]-[hash]", chunkNames: "[name]-[hash]", metafile: true,
});
const style = await build({ ...common, entryPoints: ["src/app.css"], write: false, outdir: "dist" });

const main = Object.entries(metafile.outputs).find(([, o]) => o.entryPoint === "src/main.js")[0];
const html = readFileSync("src/index.html", "utf8")
  .replace("/* app.css */", () => style.outputFiles[0].text.trim())
  .replace("main.js", () => "/page/" + basename(main));
writeFileSync("dist/index.html", html);
