// What makes the image large, as tiles: one level to open, and what is below it shown in each.

import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";
import { byId, bytes, linkButton, make, number, plural, rove } from "./dom.js";
import { skipSingles, treeBy, way } from "./trees.js";

const [MOST_TILES, MOST_PARTS, HEAD] = [150, 40, 18];

export function showTreemap(image, openEntry) {
  const box = byId("tiles");
  const trees = new Map();
  let at, drawn;

  function choose(by) {
    if (!trees.has(by)) trees.set(by, treeBy(image, by));
    open(trees.get(by));
  }

  function open(node, focus = false) {
    at = skipSingles(node);
    drawCrumbs();
    draw();
    if (focus) box.querySelector(".tile")?.focus();
  }

  function drawCrumbs() {
    const steps = way(at).map((one) => {
      const text = one.name;
      if (one === at) return make("li", { "aria-current": "location" }, make("span", { className: "path" }, text));
      return make("li", {}, linkButton(text, () => open(one, true)));
    });
    steps.push(make("li", { className: "quiet" }, `${bytes(at.size)} in ${plural(at.files, "file")}`));
    byId("crumbs").replaceChildren(...steps);
  }

  // What has the focus keeps it.
  function resize() {
    if (drawn === sizeOf(box)) return;
    const focused = [...box.children].indexOf(document.activeElement);
    draw();
    box.children[focused]?.focus();
  }

  function draw() {
    drawn = sizeOf(box);
    const root = layout(at, box.clientWidth, box.clientHeight);
    const tiles = (root.children || []).map((one, index) => tile(one, index));
    box.replaceChildren(...tiles);
    if (!tiles.length) box.append(make("p", {}, "There is no file with content."));
    rove(tiles, tiles[0]);
  }

  function tile(one, index) {
    const { node: data, name } = one.data;
    const share = `${((100 * data.size) / (image.total || 1)).toFixed(1)} %`;
    const isLeaf = !data.list.length;
    const what = isLeaf ? "" : `, ${plural(data.files, "file")}`;
    const label = `${name}, ${bytes(data.size)}, ${share}${what}`;
    const element = make(
      "button",
      { type: "button", className: `tile c${index % 8}`, "aria-label": label, title: label },
      make("span", { className: "label", "aria-hidden": "true" }, `${name} ${share}`),
      ...(one.children || []).map((part) => partOf(one, part)),
    );
    setPlace(element, one, one.parent);
    element.onclick = () => press(data);
    return element;
  }

  function press(data) {
    if (data.list.length) open(data, true);
    else openEntry(data.entry);
  }

  box.onkeydown = (event) => {
    const tiles = [...box.querySelectorAll(".tile")];
    const index = tiles.indexOf(document.activeElement);
    const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    let next;
    if (event.key in moves) next = tiles[index + moves[event.key]];
    else if (event.key === "Home") next = tiles[0];
    else if (event.key === "End") next = tiles[tiles.length - 1];
    else if (event.key === "Backspace") {
      if (outer(at)) open(outer(at), true);
    } else return;
    event.preventDefault();
    if (!next) return;
    rove(tiles, next);
    next.focus();
  };

  for (const radio of document.getElementsByName("tiles")) radio.onchange = () => choose(radio.value);
  new ResizeObserver(resize).observe(box);
  choose("directory");
}

const sizeOf = (box) => `${box.clientWidth} ${box.clientHeight}`;

// What is above a node and shows anything else than it.
function outer(node) {
  for (let one = node.parent; one; one = one.parent) if (skipSingles(one) !== node) return one;
  return undefined;
}

// Two levels: the tiles, and the parts of each.
function layout(at, width, height) {
  const tiles = largest(at, MOST_TILES).map((node) => ({
    node,
    name: nameOf(node),
    parts: largest(skipSingles(node), MOST_PARTS).map((part) => ({ node: part, name: nameOf(part) })),
  }));
  const root = hierarchy({ parts: tiles }, (one) => one.parts)
    .sum((one) => (one.parts?.length || !one.node ? 0 : one.node.size))
    .sort((a, b) => Boolean(a.data.node?.isRest) - Boolean(b.data.node?.isRest) || b.value - a.value);
  return treemap()
    .tile(treemapSquarify)
    .size([width, height])
    .round(true)
    .paddingTop((one) => (one.depth === 1 && one.children ? HEAD : 0))(root);
}

// With those below it that are the only one in their directory.
function nameOf(node) {
  const names = [node.name];
  const end = skipSingles(node);
  for (let one = end; one !== node; one = one.parent) names.splice(1, 0, one.name);
  return names.join("/");
}

// The largest below a node; the others are one that can be opened as well.
function largest(parent, most) {
  const { list } = parent;
  if (list.length <= most) return list;
  const rest = list.slice(most - 1);
  const sum = (of) => rest.reduce((all, one) => all + of(one), 0);
  const size = sum((one) => one.size);
  const files = sum((one) => one.files);
  return [...list.slice(0, most - 1), { name: `${number(rest.length)} more`, parent, size, files, list: rest, isRest: true }];
}

function partOf(tile, part) {
  const [width, height] = [part.x1 - part.x0, part.y1 - part.y0];
  const text = width > 30 && height > 14 ? part.data.name : "";
  const element = make("span", { className: "part", "aria-hidden": "true" }, text);
  setPlace(element, part, tile);
  return element;
}

// In parts of what is around it, so that the tiles have the width of the paper when they are printed.
function setPlace(element, { x0, x1, y0, y1 }, around) {
  const part = (length, whole) => `${(100 * length) / (whole || 1)}%`;
  const [width, height] = [around.x1 - around.x0, around.y1 - around.y0];
  element.style.left = part(x0 - around.x0, width);
  element.style.top = part(y0 - around.y0, height);
  element.style.width = part(x1 - x0, width);
  element.style.height = part(y1 - y0, height);
}
