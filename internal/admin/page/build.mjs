// Makes dist of src: npm run build. Scripts have the hash of what is in them in their names, so that browsers may keep them for good.
// The style is part of the one HTML file, so that the first paint waits for nothing else; page.go lets it, by its hash.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
cpSync("src/icon.svg", "dist/icon.svg");

const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "info" };
const { metafile } = await build({
  ...common, entryPoints: { app: "src/main.js" }, format: "esm", splitting: true, outdir: "dist",
  entryNames: "[name]-[hash]", chunkNames: "[name]-[hash]", metafile: true,
});
const style = await build({ ...common, entryPoints: ["src/app.css"], write: false, outdir: "dist" });

const [app, made] = Object.entries(metafile.outputs).find(([, o]) => o.entryPoint === "src/main.js");
const needed = made.imports.filter((i) => i.kind === "import-statement").map((i) => `<link rel="modulepreload" href="/page/${basename(i.path)}">\n`);
const html = readFileSync("src/index.html", "utf8")
  .replace("/* app.css */", () => style.outputFiles[0].text.trim())
  .replace("<!-- app.js -->\n", () => needed.join("") + `<script type="module" src="/page/${basename(app)}"></script>\n`);
writeFileSync("dist/index.html", html);
