// Builds the page of reports into the library: one file, with style, script, policy and licenses.
// `npm ci && npm run build`. The same sources give the same bytes.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const OUT = "../../python/occlum_build/report/page";
const read = (path) => readFileSync(path, "utf8");
const sha256 = (data, encoding) => createHash("sha256").update(data).digest(encoding);

const options = { bundle: true, minify: true, write: false, charset: "ascii", legalComments: "none", target: "es2022", metafile: true };
const script = await build({ ...options, entryPoints: ["main.js"], format: "iife" });
const style = await build({ ...options, entryPoints: ["page.css"] });
const [scriptText, styleText] = [script, style].map((one) => one.outputFiles[0].text.trim());
if (/<\/(script|style)/i.test(scriptText + styleText)) throw new Error("it would end its own element");

const used = Object.keys(script.metafile.inputs).map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
const licenses = [...new Set(used.filter(Boolean))].sort().map(licenseOf).join("\n");
function licenseOf(name) {
  const { version, license } = JSON.parse(read(`node_modules/${name}/package.json`));
  const file = readdirSync(`node_modules/${name}`).find((one) => /^licen[cs]e/i.test(one));
  return `${name} ${version} (${license})\n\n${read(`node_modules/${name}/${file}`).trim()}\n`;
}

const source = (text) => `'sha256-${sha256(text, "base64")}'`;
const policy = `default-src 'none'; script-src ${source(scriptText)}; style-src ${source(styleText)}; base-uri 'none'; form-action 'none'`;
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const parts = { POLICY: policy, STYLE: styleText, SCRIPT: scriptText, LICENSES: escape(licenses) };
const page = read("page.html").replace(/@(POLICY|STYLE|SCRIPT|LICENSES)@/g, (_, name) => parts[name]);
writeFileSync(`${OUT}/page.html`, page);
writeFileSync(`${OUT}/page.licenses.txt`, licenses);

// What it was made of, which a test compares.
const names = readdirSync(".").filter((name) => /\.(js|css|html|json)$/.test(name)).sort();
const sums = [...names.map((name) => [name, read(name)]), ["page.html of the library", page]];
writeFileSync(`${OUT}/page.sha256`, sums.map(([name, text]) => `${sha256(text, "hex")}  ${name}\n`).join(""));
console.log(`${page.length} characters, of which the script has ${scriptText.length}`);
