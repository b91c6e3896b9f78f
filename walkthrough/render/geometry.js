// Places in a panel: its own pixels and those of the page, labels, what the pointer is on, how a box moves.
// Of a view they need panel and scale alone (CSS pixels for one of the panel's).

/**
 * @param {Sides} sides
 * @returns {Sides}
 */
export function sorted([x1, y1, x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

/**
 * @param {Scaled} view
 * @param {number} x
 * @param {number} y
 * @returns {Point}
 */
export function placeOf(view, x, y) {
  return [(x - view.panel.left) * view.scale, (y - view.panel.top) * view.scale];
}

/**
 * @param {Scaled} view
 * @param {Sides} sides
 * @returns {Rect}
 */
export function rectOf(view, [x1, y1, x2, y2]) {
  const [left, top] = placeOf(view, x1, y1);
  return [left, top, (x2 - x1) * view.scale, (y2 - y1) * view.scale];
}

/**
 * The value of one box, where there is none, one for all, or one each.
 * @param {any[]} values
 * @param {number} index
 * @param {any} fallback
 */
export function each(values, index, fallback) {
  return !values.length ? fallback : values.length === 1 ? values[0] : (values[index] ?? fallback);
}

/**
 * Over the box, in its upper corners, under it, beside it; the first place that is free: place_label of render/text.py.
 * @param {Rect} box
 * @param {Point} size
 * @param {Rect} room
 * @param {Rect[]} taken
 * @returns {Rect}
 */
export function placeLabel([x, y, w, h], [width, height], [left, top, roomWidth, roomHeight], taken) {
  const [right, bottom] = [x + w - width, y + h];
  const candidates = [
    [x, y - height],
    [x, y],
    [right, y - height],
    [right, y],
    [x, bottom],
    [x, bottom - height],
  ];
  for (let k = 1; k < 6; k++) candidates.push([x, y + k * height]);
  for (let k = 0; k < 4; k++) candidates.push([x + w, y + k * height], [x - width, y + k * height]);
  for (let k = 2; k < 5; k++) candidates.push([x, y - k * height], [x, bottom + (k - 1) * height]);
  /** @type {(px: number) => number} */
  const clamped = (px) => Math.min(Math.max(px, left), left + roomWidth - width);
  const fitting = candidates.filter(([, py]) => top <= py && py <= top + roomHeight - height);
  const inside = fitting.map(/** @returns {Rect} */ ([px, py]) => [clamped(px), py, width, height]);
  if (!inside.length) inside.push([Math.max(left, Math.min(x, left + roomWidth - width)), top, width, height]);
  /** @type {(a: Rect, b: Rect) => boolean} */
  const overlap = (a, b) => [0, 1].every((k) => a[k] < b[k] + b[k + 2] && b[k] < a[k] + a[k + 2]);
  return inside.find((rect) => !taken.some((other) => overlap(rect, other))) ?? inside[0];
}

/**
 * The least step in the panel's pixels: whole pixels, but where they are shown as large squares a part of one.
 * @param {Scaled} view
 */
export function grain(view) {
  return view.scale > 30 ? 0.01 : view.scale > 5 ? 0.1 : 1;
}

/**
 * @param {Scaled} view
 * @param {number} value
 */
export function snapped(view, value) {
  return Number((Math.round(value / grain(view)) * grain(view)).toFixed(3));
}

/**
 * @param {Scaled} view
 * @param {number} x
 * @param {number} y
 * @returns {Point}
 */
export function within(view, x, y) {
  const { left, top, width, height } = view.panel;
  const clamped = (at, low, size) => snapped(view, Math.min(Math.max(at, low), low + size));
  return [clamped(x, left, width), clamped(y, top, height)];
}

/**
 * The part of a box under a point: sides is e.g. "x1 y1" for a corner, "x2" for an edge, "" for the body.
 * @param {Scaled} view
 * @param {{ xyxy: Sides }} box
 * @param {Point} at
 * @param {number} reach
 */
export function partAt(view, { xyxy }, [px, py], reach) {
  const [x, y, w, h] = rectOf(view, xyxy);
  const [mx, my] = placeOf(view, px, py);
  const near = (at, low, size) => {
    const inner = Math.min(reach, 0.3 * size);
    if (at >= low - reach && at <= low + inner) return 1;
    return at >= low + size - inner && at <= low + size + reach ? 2 : at > low && at < low + size ? 0 : null;
  };
  const [across, down] = [near(mx, x, w), near(my, y, h)];
  if (across === null || down === null) return null;
  return [across && `x${across}`, down && `y${down}`].filter(Boolean).join(" ");
}

export const area = ({ xyxy: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);

/**
 * Moved as far as the window allows; what follows the four sides stays.
 * @param {Scaled} view
 * @param {Row} row
 * @param {number} dx
 * @param {number} dy
 * @returns {Row}
 */
export function shifted(view, [x1, y1, x2, y2, ...rest], dx, dy) {
  const { left, top, width, height } = view.panel;
  const limit = (low, high, from, to, by) => Math.max(Math.min(by, Math.max(to - high, 0)), Math.min(from - low, 0));
  const [right, down] = [limit(x1, x2, left, left + width, dx), limit(y1, y2, top, top + height, dy)];
  const [nx, ny] = [snapped(view, x1 + right) - x1, snapped(view, y1 + down) - y1];
  return [...[x1 + nx, y1 + ny, x2 + nx, y2 + ny].map((side) => Number(side.toFixed(3))), ...rest];
}

/**
 * @param {Scaled} view
 * @param {Row} row
 * @param {string} part
 * @param {Point} at
 * @returns {Row}
 */
export function resized(view, row, part, at) {
  const [x, y] = within(view, ...at);
  const changed = [...row];
  if (part.includes("x")) changed[part.includes("x1") ? 0 : 2] = x;
  if (part.includes("y")) changed[part.includes("y1") ? 1 : 3] = y;
  return changed;
}

/**
 * A box with its sides moved, at least one step wide and high, and inside the window.
 * @param {Scaled} view
 * @param {Row} row
 * @param {Sides} by
 * @returns {Row}
 */
export function grown(view, [x1, y1, x2, y2, ...rest], by) {
  const [left, top] = within(view, x1 + by[0], y1 + by[1]);
  const [right, bottom] = within(view, x2 + by[2], y2 + by[3]);
  const least = grain(view);
  return right - left < least || bottom - top < least ? [x1, y1, x2, y2, ...rest] : [left, top, right, bottom, ...rest];
}
