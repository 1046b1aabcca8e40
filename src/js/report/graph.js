// Which file needs which: what is around the selected one, on the levels that the build computed.

import { select } from "d3-selection";
import { zoom, zoomIdentity } from "d3-zoom";
import { byId, linkButton, longList, make, makeSvg, path, plural, rove } from "./dom.js";

const [MOST_NODES, MOST_HITS, MOST_NAME] = [80, 24, 30];
const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [200, 26, 90, 12];

export function showGraph(image, openEntry) {
  const { graph } = image;
  if (!graph || !graph.path.length) {
    const why = graph ? "No file of the image needs another one." : "There is no graph of this image.";
    byId("closure-body").replaceChildren(make("p", {}, why));
    return () => false;
  }
  const count = graph.path.length;
  const needs = edgeLists(count, graph.from);
  const neededBy = edgeLists(count, graph.to);
  const svg = byId("graph");
  const scene = makeSvg("g");
  svg.append(scene);
  const zooming = zoom().scaleExtent([0.05, 4]).on("zoom", (event) => scene.setAttribute("transform", event.transform));
  const canvas = select(svg).call(zooming);
  let selected, places, elements, extent;

  function neighbourhood(center) {
    if (count <= MOST_NODES) return graph.path.map((_, node) => node);
    const found = new Set([center]);
    let ring = [[center, 0]];
    while (ring.length && found.size < MOST_NODES) {
      const next = [];
      for (const [node, direction] of ring) {
        if (direction >= 0) for (const edge of needs[node]) add(graph.to[edge], 1);
        if (direction <= 0) for (const edge of neededBy[node]) add(graph.from[edge], -1);
      }
      ring = next;
      function add(node, direction) {
        if (found.has(node) || found.size >= MOST_NODES) return;
        found.add(node);
        next.push([node, direction]);
      }
    }
    return [...found].sort((a, b) => a - b);
  }

  function show(node, focus = false) {
    selected = node;
    const nodes = neighbourhood(node);
    places = placesOf(nodes, graph.level, needs, neededBy, graph);
    draw(nodes);
    fit();
    tell(node, nodes.length);
    if (focus) elements.get(node).focus();
  }

  function draw(nodes) {
    const near = new Set([selected]);
    const lines = [];
    for (const node of nodes) {
      for (const edge of needs[node]) {
        const to = graph.to[edge];
        if (!places.has(to)) continue;
        const touches = node === selected || to === selected;
        if (touches) near.add(node).add(to);
        lines.push(makeSvg("path", { className: touches ? "edge near" : "edge", d: curve(places.get(node), places.get(to)) }));
      }
    }
    elements = new Map(nodes.map((node) => [node, nodeElement(node, near)]));
    scene.replaceChildren(...lines, ...elements.values());
    rove(elements.values(), elements.get(selected));
    const all = [...places.values()];
    extent = {
      left: Math.min(...all.map((one) => one.x)),
      right: Math.max(...all.map((one) => one.x)) + WIDTH,
      top: Math.min(...all.map((one) => one.y)),
      bottom: Math.max(...all.map((one) => one.y)) + HEIGHT,
    };
  }

  function nodeElement(node, near) {
    const full = graph.path[node];
    const name = full.slice(full.lastIndexOf("/") + 1);
    const { x, y } = places.get(node);
    const state = node === selected ? " selected" : near.has(node) ? " near" : "";
    const label = `${full}, needs ${needs[node].length}, needed by ${neededBy[node].length}`;
    const element = makeSvg(
      "g",
      { className: `node${state}`, role: "button", "aria-label": label, "aria-pressed": String(node === selected), transform: `translate(${x},${y})` },
      makeSvg("title", {}, full),
      makeSvg("rect", { width: WIDTH, height: HEIGHT, rx: 4 }),
      makeSvg("text", { x: 8, y: 17 }, name.length > MOST_NAME ? `${name.slice(0, MOST_NAME - 1)}\u2026` : name),
    );
    element.onclick = () => show(node, true);
    element.onkeydown = (event) => onKey(event, node);
    return element;
  }

  function onKey(event, node) {
    if (event.key === "Enter" || event.key === " ") show(node, true);
    else {
      const next = { ArrowRight: () => right(node), ArrowLeft: () => left(node), ArrowDown: () => beside(node, 1), ArrowUp: () => beside(node, -1) }[event.key]?.();
      if (next === undefined && !event.key.startsWith("Arrow")) return;
      if (next !== undefined) {
        rove(elements.values(), elements.get(next));
        elements.get(next).focus();
      }
    }
    event.preventDefault();
  }

  const right = (node) => needs[node].map((edge) => graph.to[edge]).find((one) => places.has(one));
  const left = (node) => neededBy[node].map((edge) => graph.from[edge]).find((one) => places.has(one));
  function beside(node, step) {
    const { x, y } = places.get(node);
    const column = [...places].filter(([, one]) => one.x === x && (step > 0 ? one.y > y : one.y < y));
    return column.sort((a, b) => step * (a[1].y - b[1].y))[0]?.[0];
  }

  function tell(node, shown) {
    const full = graph.path[node];
    const entry = image.entryOf(full);
    const rest = shown < count ? `The ${shown} nearest of ${plural(count, "file")} are shown.` : "";
    byId("node").replaceChildren(
      make("h3", {}, path(full)),
      make("p", {}, entry === undefined ? "It is in an archive. " : linkButton("Show the entry", () => openEntry(entry), { className: "link" }), ` ${rest}`),
      make("div", { className: "two" }, side("Needs", needs[node], graph.to), side("Needed by", neededBy[node], graph.from)),
    );
  }

  function side(title, edges, ends) {
    if (!edges.length) return make("div", {}, make("h4", {}, title), make("p", { className: "quiet" }, "nothing"));
    const item = (edge) =>
      make("li", {}, linkButton(graph.path[ends[edge]], () => show(ends[edge], true)), make("span", { className: "quiet" }, ` ${because(image, edge)}`));
    return make("div", {}, make("h4", {}, `${title} ${edges.length}`), longList(edges, item, 20));
  }

  function fit() {
    const { left, right, top, bottom } = extent;
    const [width, height] = [svg.clientWidth || 800, svg.clientHeight || 400];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`); // paper has another width
    const scale = Math.min(1.2, width / (right - left + 40), height / (bottom - top + 40));
    const readable = Math.max(scale, 0.45);
    const center = readable > scale ? places.get(selected) : undefined;
    const x = center ? center.x + WIDTH / 2 : (left + right) / 2;
    const y = center ? center.y : (top + bottom) / 2;
    canvas.call(zooming.transform, zoomIdentity.translate(width / 2, height / 2).scale(readable).translate(-x, -y));
  }

  byId("zoom-in").onclick = () => canvas.call(zooming.scaleBy, 1.4);
  byId("zoom-out").onclick = () => canvas.call(zooming.scaleBy, 1 / 1.4);
  byId("zoom-fit").onclick = fit;
  searchIn(graph.path, (node) => show(node, true));

  const mostNeeded = graph.path.reduce((best, _, node) => (neededBy[node].length > neededBy[best].length ? node : best), 0);
  show(mostNeeded);
  const numbers = new Map(graph.path.map((one, node) => [one, node]));
  return (wanted) => {
    const node = numbers.get(wanted);
    if (node === undefined) return undefined;
    return () => {
      byId("closure").scrollIntoView();
      show(node, true);
    };
  };
}

function searchIn(paths, open) {
  const field = byId("find");
  const search = () => {
    const wanted = field.value.trim().toLowerCase();
    const hits = [];
    let count = 0;
    if (wanted) {
      paths.forEach((one, node) => {
        if (one.toLowerCase().includes(wanted) && ++count <= MOST_HITS) hits.push(node);
      });
    }
    byId("found").textContent = wanted ? `${plural(count, "file")} found` : "";
    byId("hits").replaceChildren(...hits.map((node) => make("li", {}, linkButton(paths[node], () => open(node)))));
    return hits;
  };
  field.oninput = search;
  field.onkeydown = (event) => {
    const hits = event.key === "Enter" ? search() : [];
    if (hits.length) open(hits[0]);
  };
}

function because({ graph, texts }, edge) {
  const [reason, name, rule] = [graph.reason, graph.name, graph.rule].map((column) => texts[column[edge]]);
  if (reason === "interpreter") return "as its loader, PT_INTERP";
  if (reason === "holds") return "which it holds";
  return `DT_NEEDED ${name}, found by ${rule}`;
}

function edgeLists(count, ends) {
  const lists = Array.from({ length: count }, () => []);
  ends.forEach((end, edge) => lists[end].push(edge));
  return lists;
}

// A column a level; in it each near the middle of those that it belongs to.
function placesOf(nodes, levels, needs, neededBy, graph) {
  const columns = new Map();
  for (const node of nodes) {
    if (!columns.has(levels[node])) columns.set(levels[node], []);
    columns.get(levels[node]).push(node);
  }
  const order = [...columns.keys()].sort((a, b) => a - b).map((level) => columns.get(level));
  const rank = new Map();
  const number = (column) => column.forEach((node, index) => rank.set(node, index - column.length / 2));
  order.forEach(number);
  for (let sweep = 0; sweep < 4; sweep++) {
    for (const column of sweep % 2 ? [...order].reverse() : order) {
      const middle = new Map(column.map((node) => [node, mean(node)]));
      column.sort((a, b) => middle.get(a) - middle.get(b) || a - b);
      number(column);
    }
  }
  function mean(node) {
    const ends = [...needs[node].map((edge) => graph.to[edge]), ...neededBy[node].map((edge) => graph.from[edge])];
    const ranks = ends.filter((one) => rank.has(one)).map((one) => rank.get(one));
    return ranks.length ? ranks.reduce((sum, one) => sum + one, 0) / ranks.length : 0;
  }
  const places = new Map();
  order.forEach((column, at) =>
    column.forEach((node) => places.set(node, { x: at * (WIDTH + GAP_X), y: rank.get(node) * (HEIGHT + GAP_Y) })),
  );
  return places;
}

function curve(from, to) {
  const [x0, y0, x1, y1] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = Math.max(40, (x1 - x0) / 2);
  return `M${x0},${y0}C${x0 + bend},${y0} ${x1 - bend},${y1} ${x1},${y1}`;
}
