// All entries: sorted, filtered, and only those drawn that are in sight.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { KINDS } from "./data.js";
import { byId, linkButton, make, number, path, plural } from "./dom.js";

const ROW = 28;
const MOST_PRINTED = 1000;

const columnsOf = (image) => [
  { title: "Path", of: image.path, text: image.path },
  { title: "Type", of: image.kind, text: (one) => KINDS[image.kind(one)] },
  { title: "Mode", of: image.mode, text: image.mode },
  { title: "Bytes", of: image.size, text: (one) => (image.isFile(one) ? number(image.size(one)) : ""), isNumber: true },
  { title: "BOM line", of: image.bom, text: image.bom },
  { title: "Package", of: image.package, text: image.package },
  { title: "Source", of: image.source, text: (one) => image.source(one) || image.target(one) },
];

export function showTable(image, openEntry) {
  const columns = columnsOf(image);
  const scroller = byId("scroller");
  const body = make("div", { role: "rowgroup", className: "rows" });
  const heads = columns.map(headOf);
  const head = make("div", { role: "row", className: "row head", "aria-rowindex": 1 }, ...heads);
  const table = make("div", { role: "table", id: "table", "aria-label": "Entries", "aria-colcount": columns.length }, make("div", { role: "rowgroup" }, head), body);
  scroller.append(table);
  let order = [];
  let sorting = { column: 0, down: false };
  let only; // the package that is shown, as long as its name stands in the filter
  let active = 0;
  let isFocusDue = false;
  let texts;
  const rows = new Map(); // by the place in the order

  const virtualizer = new Virtualizer(options());
  virtualizer._didMount();

  function options() {
    return {
      count: order.length,
      getScrollElement: () => scroller,
      estimateSize: () => ROW,
      overscan: 15,
      paddingStart: 0,
      scrollPaddingStart: ROW,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: draw,
    };
  }

  function headOf({ title, isNumber }, column) {
    const button = make("button", { type: "button", onclick: () => sortBy(column) }, title);
    return make("div", { role: "columnheader", className: isNumber ? "number" : "" }, button);
  }

  function sortBy(column) {
    sorting = { column, down: sorting.column === column && !sorting.down };
    update();
  }

  function update() {
    const wanted = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    if (only !== byId("filter").value) only = undefined;
    const kind = byId("kind").value;
    order = [];
    for (let one = 0; one < image.count; one++) {
      if (kind !== "" && image.kind(one) !== Number(kind)) continue;
      if (only ? image.package(one) !== only : !wanted.every((word) => textOf(one).includes(word))) continue;
      order.push(one);
    }
    const { of } = columns[sorting.column];
    const sign = sorting.down ? -1 : 1;
    if (sorting.column || sorting.down) {
      const keys = Array.from({ length: image.count }, (_, one) => of(one));
      order.sort((a, b) => (keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : a - b));
    }
    heads.forEach((one, column) => {
      const isSorted = column === sorting.column;
      if (isSorted) one.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      else one.removeAttribute("aria-sort");
      one.firstChild.textContent = columns[column].title + (isSorted ? (sorting.down ? " \u25be" : " \u25b4") : "");
    });
    active = 0;
    isFocusDue = false;
    for (const row of rows.values()) row.remove();
    rows.clear();
    virtualizer.setOptions(options());
    scroller.scrollTop = 0;
    virtualizer._willUpdate();
    virtualizer.measure();
    draw();
    table.setAttribute("aria-rowcount", order.length + 1);
    const size = order.reduce((sum, one) => sum + image.size(one), 0);
    byId("count").textContent = `${plural(order.length, "entry", "entries")} of ${number(image.count)}, ${number(size)} bytes`;
  }

  // Texts to search in are made when somebody searches.
  function textOf(one) {
    texts ||= Array.from({ length: image.count }, (_, at) =>
      [image.path(at), image.bom(at), image.package(at), image.source(at), image.target(at), image.sha256(at), image.mode(at)].join("\n").toLowerCase(),
    );
    return texts[one];
  }

  function draw() {
    const items = virtualizer.getVirtualItems();
    const wanted = new Set(items.map((item) => item.index));
    const free = [];
    for (const [index, row] of rows) {
      if (wanted.has(index)) continue;
      rows.delete(index);
      free.push(row);
    }
    for (const { index, start } of items) {
      if (rows.has(index)) continue;
      const row = free.pop() || newRow();
      setRow(row, index);
      row.style.transform = `translateY(${start}px)`;
      rows.set(index, row);
    }
    for (const row of free) row.remove();
    body.style.height = `${virtualizer.getTotalSize()}px`;
    focusActive();
  }

  function newRow() {
    const cells = columns.map(({ isNumber }) => make("div", { role: "cell", className: isNumber ? "number" : "path" }));
    cells[0].append(linkButton("", () => {}));
    const row = make("div", { role: "row", className: "row" }, ...cells);
    body.append(row);
    return row;
  }

  function setRow(row, index) {
    const one = order[index];
    row.setAttribute("aria-rowindex", index + 2);
    columns.forEach(({ text }, column) => {
      const cell = row.children[column];
      if (column) cell.textContent = text(one);
      else {
        cell.firstChild.textContent = text(one);
        cell.firstChild.title = text(one);
        cell.firstChild.setAttribute("tabindex", index === active ? "0" : "-1");
        cell.firstChild.onclick = () => openEntry(one);
      }
    });
  }

  scroller.onkeydown = (event) => {
    const page = Math.max(1, Math.floor(scroller.clientHeight / ROW) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -order.length, End: order.length };
    if (!(event.key in steps) || event.target.closest(".head")) return;
    event.preventDefault();
    const isInRow = event.target !== scroller;
    const from = isInRow ? Number(event.target.closest(".row").getAttribute("aria-rowindex")) - 2 : active;
    goTo(isInRow ? from + steps[event.key] : from);
  };

  function goTo(index) {
    if (!order.length) return;
    rows.get(active)?.firstChild.firstChild.setAttribute("tabindex", "-1");
    active = Math.max(0, Math.min(order.length - 1, index));
    virtualizer.scrollToIndex(active, { align: "auto" });
    isFocusDue = true;
    focusActive();
  }

  // At once, or when the row has been drawn.
  function focusActive() {
    const button = rows.get(active)?.firstChild.firstChild;
    if (!isFocusDue || !button) return;
    isFocusDue = false;
    button.setAttribute("tabindex", "0");
    button.focus({ preventScroll: true });
  }

  let printed;
  window.addEventListener("beforeprint", () => {
    const cells = (one) => columns.map(({ text, isNumber }) => make("td", {}, isNumber ? text(one) : path(text(one))));
    const shown = order.slice(0, MOST_PRINTED).map((one) => make("tr", {}, ...cells(one)));
    const rest = order.length - shown.length;
    if (rest > 0) shown.push(make("tr", {}, make("td", { colspan: columns.length }, `and ${number(rest)} more`)));
    const titles = make("thead", {}, make("tr", {}, ...columns.map(({ title }) => make("th", { scope: "col" }, title))));
    printed?.remove();
    printed = make("table", { id: "printed" }, titles, make("tbody", {}, ...shown));
    scroller.after(printed);
  });
  window.addEventListener("afterprint", () => printed?.remove());

  byId("filter").oninput = update;
  byId("kind").onchange = update;
  update();
  return (name) => {
    only = name;
    byId("filter").value = name;
    byId("kind").value = "";
    update();
    byId("entries").scrollIntoView();
    byId("filter").focus();
  };
}
