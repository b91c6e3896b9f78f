// Nodes of the page.

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(string | Node)} children
 * @returns {any}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined || value === null || value === "") continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/**
 * Give a node these children. One that stays is not taken out for a moment: the keyboard's focus in it would be lost.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function put(parent, children) {
  for (const old of [...parent.children]) if (!children.includes(old)) old.remove();
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}
