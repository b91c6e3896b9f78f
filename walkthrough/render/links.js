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

/** @param {Page} page */
function relight(page) {
  for (const frame of page.frames()) frame.view.light?.();
}

/**
 * @param {Page} page
 * @param {string} ref
 */
export function isLit(page, ref) {
  return Boolean(ref) && (ref === page.lit || ref === page.kept);
}

/** @type {Record<string, (view: View, layer: any) => [string, any][]>} each mark's ref, and where it is on the canvas */
const MARKS = {
  Boxes: (view, layer) => boxesNow(view, layer).map((box, k) => [refOf(layer, k), rectOf(view, box)]),
  Cells: (view, { cells, stride, refs = [] }) =>
    cells.map(([row, col], k) => {
      const side = stride * view.scale;
      return [refs[k] ?? "", [...placeOf(view, col * stride, row * stride), side, side]];
    }),
  Points: (view, { xy, refs = [] }) =>
    xy.map(([x, y], k) => {
      const [px, py] = placeOf(view, x, y);
      return [refs[k] ?? "", [px - NEAR, py - NEAR, 2 * NEAR, 2 * NEAR]];
    }),
  Arrows: (view, { ends, refs = [] }) =>
    ends.map(([x1, y1, x2, y2], k) => [
      refs[k] ?? "",
      around(view, [
        [x1, y1],
        [x2, y2],
      ]),
    ]),
  Line: (view, { points, ref = "" }) => [[ref, around(view, points)]],
};

/** The rectangle around points, with room for the pointer. */
function around(view, points) {
  const places = points.map(([x, y]) => placeOf(view, number(x), number(y)));
  const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs) - NEAR / 2, Math.min(...ys) - NEAR / 2];
  return [left, top, Math.max(...xs) - left + NEAR / 2, Math.max(...ys) - top + NEAR / 2];
}

/**
 * All marks of a panel that stand for something.
 * @param {View} view
 * @returns {[string, Rect][]}
 */
export function marksOf(view) {
  const marks = view.panel.layers.flatMap((layer) => MARKS[layer.kind]?.(view, layer) ?? []);
  return marks.filter(([ref]) => ref);
}

/**
 * What the smallest mark under a point of the canvas stands for; "" where there is none.
 * @param {View} view
 * @param {Point} at
 */
export function refAt(view, [x, y]) {
  const under = marksOf(view).filter(
    ([, [left, top, width, height]]) => x >= left - 3 && x <= left + width + 3 && y >= top - 3 && y <= top + height + 3,
  );
  const size = ([, [, , width, height]]) => width * height;
  return under.reduce((best, mark) => (!best || size(mark) < size(best) ? mark : best), null)?.[0] ?? "";
}

/**
 * A light frame around each lit mark, dark at its edges: on any ground.
 * @param {View} view
 */
export function drawLit(view) {
  const { ctx, page } = view;
  if (!page.lit && !page.kept) return;
  for (const [ref, [x, y, width, height]] of marksOf(view)) {
    if (!isLit(page, ref)) continue;
    for (const [paint, wide] of [
      ["#000000C0", 7],
      ["#FFFFFF", 4],
      [page.theme().series[0], 2],
    ]) {
      ctx.beginPath();
      ctx.rect(x - 1.5, y - 1.5, width + 3, height + 3);
      [ctx.strokeStyle, ctx.lineWidth] = [paint, wide];
      ctx.stroke();
    }
  }
}
