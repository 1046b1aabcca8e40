// The report of an image: reads the data of the page, and shows it.

import { KINDS, readData } from "./data.js";
import { byId, bytes, longList, make, number, path } from "./dom.js";
import { showGraph } from "./graph.js";
import { facts, showDifference, showMeasurement, showProblems } from "./sections.js";
import { showTable } from "./table.js";
import { showTreemap } from "./treemap.js";

const image = readData();
let findNode, filterBy;

function showHead() {
  document.title = `Report of ${image.name}`;
  byId("name").replaceChildren("Image ", path(image.name));
  const packages = new Set(image.entries.package);
  packages.delete(0);
  const wrong = image.problems.filter((one) => one.severity !== "note").length;
  const head = facts([
    ["Digest", make("code", {}, image.digest)],
    ["MRENCLAVE", image.measurement ? make("code", {}, image.measurement.mrenclave) : ""],
    ["Entries", number(image.count)],
    ["Size", bytes(image.total)],
    ["Packages", packages.size ? number(packages.size) : ""],
    ["Warnings", number(wrong)],
  ]);
  byId("facts").replaceChildren(...head.childNodes);
  for (const section of document.querySelectorAll("main > section:not([hidden])")) {
    const title = section.querySelector("h2").textContent;
    byId("links").append(make("li", {}, make("a", { href: `#${section.id}` }, title)));
  }
}

function openEntry(one) {
  const dialog = byId("entry");
  const close = (then) => () => {
    dialog.close();
    then?.();
  };
  const group = image.groupOf(one);
  byId("entry-title").replaceChildren(path(image.path(one)));
  const text = (value) => (value ? path(value) : "");
  const steps = image.neededBy(one);
  byId("entry-body").replaceChildren(
    facts([
      ["Type", KINDS[image.kind(one)]],
      ["Mode", text(image.mode(one))],
      ["Size", image.isFile(one) ? bytes(image.size(one)) : ""],
      ["SHA-256", image.sha256(one) ? make("code", {}, image.sha256(one)) : ""],
      ["Leads to", text(image.target(one))],
      ["BOM line", text(image.bom(one))],
      ["Copied from", text(image.source(one))],
      ["Package", text(image.package(one))],
      ["Paid by", text(image.groupTitle(group))],
      ["Needed by", steps.length ? longList(steps, (step) => make("li", {}, path(step)), 50, "ol", { className: "changes" }) : ""],
    ]),
  );
  const toNode = findNode(image.path(one));
  const buttons = [make("button", { type: "button", onclick: close() }, "Close")];
  if (toNode) buttons.push(make("button", { type: "button", onclick: close(toNode) }, "Show in the closure"));
  if (image.package(one)) buttons.push(make("button", { type: "button", onclick: close(() => filterBy(image.package(one))) }, "All of this package"));
  byId("entry-buttons").replaceChildren(...buttons);
  dialog.showModal();
}

showProblems(image);
showMeasurement(image);
showDifference(image);
showHead();
findNode = showGraph(image, openEntry) || (() => undefined);
filterBy = showTable(image, openEntry);
showTreemap(image, openEntry);
document.documentElement.dataset.ready = "yes";
