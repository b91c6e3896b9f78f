// Marks of a picture and rows of a table that stand for the same thing carry the same ref: the pointer on one lights all,
// a click keeps them lit. It needs no kernel; what a click sets in the explorer's state is a matter of pick.

import { boxesNow } from "./boxes.js";
import { placeOf, rectOf } from "./geometry.js";
import { number } from "./words.js";

const NEAR = 7; // CSS pixels around a point that still mean it

/**
 * What the mark or row of a number stands for; where it says nothing, what a click on it would choose.
 * @param {any} part
 * @param {number} index
 * @returns {string}
 */
export function refOf(part, index) {
  return part.refs?.[index] || (part.pick ? `${part.pick} ${index}` : "");
}

/**
 * Light what stands for the same as the thing under the pointer; "": nothing.
 * @param {Page} page
 * @param {string} ref
 */
export function light(page, ref) {
  if (page.lit === ref) return;
  page.lit = ref;
  relight(page);
}

/**
 * Keep it lit, or no longer.
 * @param {Page} page
 * @param {string} ref
 */
export function keepLit(page, ref) {
  page.kept = page.kept === ref ? "" : ref;
  relight(page);
}

/**
 * Light these besides, until others take their place: what a reader has chosen.
 * @param {Page} page
 * @param {Set<string>} refs
 */
export function markLit(page, refs) {
  page.marked = refs;
  relight(page);
}

/** @param {Page} page */
function relight(page) {
  for (const frame of page.frames()) frame.view.light?.();
}

/**
 * @param {Page} page
 * @param {string} ref
 */
export function isLit(page, ref) {
  return Boolean(ref) && (ref === page.lit || ref === page.kept || Boolean(page.marked?.has(ref)));
}

/**
 * Each mark as {ref, path, inside}: a path in CSS pixels of the canvas, and whether the pointer inside of it means it.
 * An outline that nothing can be done to is meant on its line alone: what lies within is free for others.
 */
const MARKS = {
  Boxes: (view, layer) =>
    boxesNow(view, layer).map((box, k) => {
      const inside = Boolean(layer.fill || layer.pick || layer.drag);
      const silent = !layer.width && !layer.pick; // it is lit, and does not light
      return { ref: refOf(layer, k), path: corners(rectOf(view, box)), inside, silent };
    }),
  Cells: (view, { cells, stride, refs = [] }) =>
    cells.map(([row, col], k) => {
      const side = stride * view.scale;
      const path = corners([...placeOf(view, col * stride, row * stride), side, side]);
      return { ref: refs[k], path, inside: true };
    }),
  Points: (view, { xy, refs = [] }) =>
    xy.map(([x, y], k) => {
      const [px, py] = placeOf(view, x, y);
      return { ref: refs[k], path: corners([px - NEAR, py - NEAR, 2 * NEAR, 2 * NEAR]), inside: true };
    }),
  Arrows: (view, { ends, refs = [] }) =>
    ends.map(([x1, y1, x2, y2], k) => ({ ref: refs[k], path: [placeOf(view, x1, y1), placeOf(view, x2, y2)] })),
  Line: (view, { points, ref }) => [{ ref, path: points.map(([x, y]) => placeOf(view, number(x), number(y))) }],
};

function corners([x, y, width, height]) {
  return [
    [x, y],
    [x + width, y],
    [x + width, y + height],
    [x, y + height],
    [x, y],
  ];
}

/**
 * All marks of a panel that stand for something.
 * @param {View} view
 * @returns {any[]}
 */
function marksOf(view) {
  const marks = view.panel.layers.flatMap((layer) => MARKS[layer.kind]?.(view, layer) ?? []);
  return marks.filter(({ ref }) => ref);
}

/**
 * What the mark under a point of the canvas stands for; a line before an area, a small one before a large one.
 * @param {View} view
 * @param {Point} at
 */
export function refAt(view, at) {
  const sizes = marksOf(view).map((mark) => ({ ref: mark.ref, size: sizeUnder(mark, at) }));
  const under = sizes.filter(({ size }) => size !== null);
  return under.reduce((best, mark) => (mark.size < best.size ? mark : best), { ref: "", size: Infinity }).ref;
}

/** The area of a mark that a point means, or how far its line is; null where it is not meant. */
function sizeUnder({ path, inside, silent }, [x, y]) {
  if (silent) return null;
  if (!inside) {
    const far = Math.min(...path.slice(1).map((end, k) => distance(path[k], end, [x, y])));
    return far < NEAR ? far : null;
  }
  const [[left, top], , [right, bottom]] = path;
  const isMeant = x >= left - 3 && x <= right + 3 && y >= top - 3 && y <= bottom + 3;
  return isMeant ? NEAR + (right - left) * (bottom - top) : null;
}

/** From a point to the line between two others. */
function distance([x1, y1], [x2, y2], [x, y]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const share = Math.min(Math.max(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1), 0), 1);
  return Math.hypot(x1 + share * dx - x, y1 + share * dy - y);
}

/**
 * A light line along each lit mark, dark at its edges: on any ground.
 * @param {View} view
 */
export function drawLit(view) {
  const { ctx, page } = view;
  if (!page.lit && !page.kept && !page.marked?.size) return;
  const strokes = [
    ["#000000C0", 7],
    ["#FFFFFF", 4],
    [page.theme().series[0], 2],
  ];
  for (const { ref, path } of marksOf(view)) {
    if (!isLit(page, ref)) continue;
    ctx.beginPath();
    for (const [x, y] of path) ctx.lineTo(x, y);
    for (const [paint, wide] of strokes) {
      [ctx.strokeStyle, ctx.lineWidth] = [paint, wide];
      ctx.stroke();
    }
  }
}
