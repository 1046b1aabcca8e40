// What was found wrong, what the image or the enclave is, and what changed.

import { byId, longList, make, path, plural } from "./dom.js";

export function showProblems({ problems }) {
  const body = byId("problems-body");
  if (!problems.length) {
    body.append(make("p", {}, "None is known."));
    return;
  }
  const order = ["error", "warning", "note"];
  const sorted = order.flatMap((severity) => problems.filter((one) => one.severity === severity));
  const item = (one) => {
    const hint = one.hint ? `\n${one.hint}` : "";
    const place = one.place ? [path(one.place), ": "] : [];
    return make("div", { className: `problem ${one.severity}`, role: "listitem" }, make("strong", {}, `${one.severity} (${one.code}) `), ...place, one.message, hint);
  };
  body.append(longList(sorted, item, 50, "div", { role: "list" }));
}

export function showMeasurement({ digest, measurement }) {
  const body = byId("measurement-body");
  if (measurement) {
    const { mrenclave, mrsigner, debuggable, values } = measurement;
    body.append(
      facts([
        ["MRENCLAVE", make("code", {}, mrenclave)],
        ["MRSIGNER", mrsigner ? make("code", {}, mrsigner) : "not signed yet"],
        ["Debuggable", debuggable ? make("strong", { className: "bad" }, "yes: its memory can be read by whoever has the machine") : "no"],
      ]),
      make("p", {}, "All of it is computed again from the instance by"),
      make("pre", {}, `occlum-build verify INSTANCE --expect ${mrenclave}`),
      make("p", {}, "where INSTANCE is the directory that this report stands in, or its archive. A running enclave proves the same value by an attestation report."),
      make("details", {}, make("summary", {}, `All values of measurement.json, ${values.length}`), table(["Value", ""], values)),
    );
  }
  body.append(
    facts([["Image digest", make("code", {}, digest)]]),
    make("p", {}, "It is the SHA-256 of the manifest without provenance, which the manifest beside the image gives by"),
    make("pre", {}, "jq -cjS 'del(.entries[].provenance)' manifest.json | sha256sum"),
    make("p", {}, "The same files make the same digest wherever they are built."),
  );
  if (!measurement) body.append(make("p", { className: "quiet" }, "No measurement of an enclave was given."));
}

export function showDifference({ difference }) {
  if (!difference) return;
  byId("difference").hidden = false;
  const body = byId("difference-body");
  body.append(make("p", {}, make("strong", {}, difference.summary)), make("p", { className: "path" }, difference.mrenclave));
  if (difference.inputs.length) {
    body.append(make("h3", {}, plural(difference.inputs.length, "input of MRENCLAVE moved", "inputs of MRENCLAVE moved")));
    body.append(longList(difference.inputs, (one) => make("li", {}, path(one)), 50, "ul", { className: "changes" }));
  }
  for (const { text, counts, changes } of difference.causes) {
    const item = ([kind, where, what]) => make("li", {}, `${kind} `, path(where), `: ${what}`);
    body.append(make("h3", {}, text), make("p", { className: "quiet" }, counts), longList(changes, item, 50, "ul", { className: "changes" }));
  }
}

// Names and values, those without a value left out.
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== "" && value !== undefined);
  return make("dl", {}, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function table(titles, rows) {
  const head = make("tr", {}, ...titles.map((title) => (title ? make("th", { scope: "col" }, title) : make("td", {}))));
  const cells = (row) => row.map((cell) => make("td", {}, path(cell)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells(row)))));
}
