// The image, as report/page/document.py wrote it: columns of entries, and what is found of them.

import { byId } from "./dom.js";

export const KINDS = ["file", "directory", "link"];
const [FILE, DIRECTORY] = [0, 1];

export function readData() {
  const raw = JSON.parse(byId("data").textContent);
  const { entries, texts } = raw;
  const count = entries.path.length;
  const column = (name) => (one) => texts[entries[name][one]];
  const image = {
    ...raw,
    count,
    path: (one) => entries.path[one],
    kind: (one) => entries.kind[one],
    mode: (one) => entries.mode[one].toString(8).padStart(4, "0"),
    size: (one) => entries.size[one],
    sha256: (one) => entries.sha256[one],
    source: (one) => entries.source[one],
    target: column("target"),
    bom: column("bom"),
    package: column("package"),
    isFile: (one) => entries.kind[one] === FILE,
    isDirectory: (one) => entries.kind[one] === DIRECTORY,
    neededBy: (one) => (entries.needed_by[one] || []).map((step) => texts[step]),
    total: entries.size.reduce((sum, size) => sum + size, 0),
  };
  const numbers = new Map(entries.path.map((path, one) => [path, one]));
  image.entryOf = (path) => numbers.get(path);
  image.groupTitle = (group) => groupTitle(group, texts);
  const groupOf = new Int32Array(count);
  raw.groups.forEach((group, index) => group.entries.forEach((one) => (groupOf[one] = index)));
  image.groupOf = (one) => raw.groups[groupOf[one]];
  return image;
}

function groupTitle(group, texts) {
  const boms = group.boms.map((bom) => texts[bom] || "no BOM line known");
  if (group.lines === 1) return boms[0];
  const more = group.lines > 3 ? ", ..." : "";
  return `shared by ${group.lines} lines: ${boms.slice(0, 3).join(", ")}${more}`;
}
