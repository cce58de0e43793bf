// Makes dist of src: npm run build. Scripts have the hash of what is in them in their names, so that browsers may keep them for good.
// The style is part of the one HTML file, so that the first paint waits for nothing else; page.go lets it, by its hash. The page itself
// is fetched meanwhile.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
cpSync("src/icon.svg", "dist/icon.svg");

const common = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "info" };
const { metafile } = await build({
  ...common, entryPoints: { boot: "src/boot.js" }, format: "esm", splitting: true, outdir: "dist",
  entryNames: "[name]-[hash]", chunkNames: "[name]-[hash]", metafile: true,
});
const style = await build({ ...common, entryPoints: ["src/app.css"], write: false, outdir: "dist" });

const made = (source) => "/page/" + basename(Object.entries(metafile.outputs).find(([, o]) => o.entryPoint === source)[0]);
const scripts = `<script type="module" src="${made("src/boot.js")}"></script>
<link rel="modulepreload" href="${made("src/main.js")}">
`;
const html = readFileSync("src/index.html", "utf8")
  .replace("/* app.css */", () => style.outputFiles[0].text.trim())
  .replace("<!-- scripts -->\n", () => scripts);
writeFileSync("dist/index.html", html);
