// Trees of the files of an image, whose leaves have sizes: by directory, by who pays, by package.

export function treeBy(image, way) {
  const root = node(way === "directory" ? "/" : "all");
  const files = [];
  for (let one = 0; one < image.count; one++) if (image.isFile(one) && image.size(one)) files.push(one);
  if (way === "directory") place(image, root, files);
  else if (way === "package") {
    const packages = new Map();
    for (const one of files) push(packages, image.package(one) || "of no package", one);
    for (const [name, of] of packages) place(image, child(root, name), of);
  } else {
    for (const group of image.groups) {
      const of = group.entries.filter((one) => image.isFile(one) && image.size(one));
      if (of.length) place(image, child(root, image.groupTitle(group)), of);
    }
  }
  sum(root);
  return root;
}

const node = (name, parent) => ({ name, parent, size: 0, files: 0, children: new Map(), list: [] });

function push(map, key, value) {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function child(parent, name) {
  let found = parent.children.get(name);
  if (!found) parent.children.set(name, (found = node(name, parent)));
  return found;
}

function place(image, top, files) {
  for (const one of files) {
    let at = top;
    const parts = image.path(one).split("/").slice(1);
    const name = parts.pop();
    for (const part of parts) at = child(at, part);
    // By its number, as two names may look the same with the escapes that they have here.
    at.children.set(one, { ...node(name, at), entry: one, size: image.size(one), files: 1 });
  }
}

// From the leaves up, without recursion: a path may be as deep as it likes.
function sum(root) {
  const order = [root];
  for (let at = 0; at < order.length; at++) for (const one of order[at].children.values()) order.push(one);
  for (const one of order.reverse()) {
    one.list = [...one.children.values()].sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
    if (!one.parent) continue;
    one.parent.size += one.size;
    one.parent.files += one.files;
  }
}

// One directory after another with nothing else in them is one step.
export function skipSingles(one) {
  while (one.list.length === 1 && one.list[0].list.length) one = one.list[0];
  return one;
}

export function way(one) {
  const found = [];
  for (let at = one; at; at = at.parent) found.unshift(at);
  return found;
}
