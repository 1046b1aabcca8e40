// Elements, made of data by properties and text alone: nothing that others wrote is ever markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

// An element with properties, such as {className: "x", "aria-label": "y", onclick}, and children.
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function makeSvg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "className") element.setAttribute("class", value);
    else if (name.startsWith("on")) element[name] = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((one) => one !== undefined));
  return element;
}

export const path = (text) => make("span", { className: "path" }, text);

export function linkButton(text, onclick, more = {}) {
  return make("button", { type: "button", className: "link path", onclick, ...more }, text);
}

// A list of the first items; a button shows the next ones.
export function longList(items, item, most = 50, tag = "ul", properties = {}) {
  const list = make(tag, properties);
  let count = 0;
  const button = make("button", { type: "button" });
  const box = make("div", {}, list, button);
  const more = () => {
    list.append(...items.slice(count, count + most).map(item));
    count = Math.min(count + most, items.length);
    button.hidden = count === items.length;
    button.textContent = `Show more, of ${number(items.length - count)}`;
  };
  button.onclick = more;
  more();
  return box;
}

const FORMAT = new Intl.NumberFormat("en-US");

export const number = (value) => FORMAT.format(value);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(size) {
  return `${number(size)} ${size === 1 ? "byte" : "bytes"}`;
}

// Of what may be focused one at a time can be reached by Tab; the others by keys.
export function rove(elements, active) {
  for (const element of elements) element.setAttribute("tabindex", element === active ? "0" : "-1");
}
