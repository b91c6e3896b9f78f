// Strokes, markers, arrows and hatches on a canvas, in the look of walkthrough/render/layers.py.

import { element } from "./dom.js";

/** @type {Record<string, number[]>} */
const DASH = { solid: [], dashed: [4, 2], dotted: [1, 1.5], dashdot: [5, 2, 1, 2] }; // in widths of the line

const HALO = "#00000099";

/** Whether a colour has an opacity, as `faint` of walkthrough/style.py gives it: a rim would be stronger than the line. */
const isFaint = (paint) => /^#.{8}$/.test(paint);

/**
 * Stroke the path: a dark rim below, so that a line is seen on any photograph, then the line.
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} paint
 * @param {number} width
 * @param {string} [dash]
 * @param {boolean} [rim]
 */
export function stroke(ctx, paint, width, dash = "solid", rim = true) {
  ctx.lineJoin = "miter";
  if (rim && !isFaint(paint)) {
    ctx.setLineDash([]);
    ctx.strokeStyle = HALO;
    ctx.lineWidth = width + 1.8;
    ctx.stroke();
  }
  ctx.setLineDash(DASH[dash].map((part) => part * width));
  ctx.strokeStyle = paint;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x
 * @param {number} y
 * @param {Point[]} corners
 */
function polygon(ctx, x, y, corners) {
  for (const [dx, dy] of corners) ctx.lineTo(x + dx, y + dy);
  ctx.closePath();
}

export const MARKER = {
  o: (ctx, x, y, r) => ctx.arc(x, y, r, 0, 2 * Math.PI),
  s: (ctx, x, y, r) => ctx.rect(x - r, y - r, 2 * r, 2 * r),
  "^": (ctx, x, y, r) =>
    polygon(ctx, x, y, [
      [-r, r],
      [0, -r],
      [r, r],
    ]),
  v: (ctx, x, y, r) =>
    polygon(ctx, x, y, [
      [-r, -r],
      [0, r],
      [r, -r],
    ]),
  D: (ctx, x, y, r) =>
    polygon(ctx, x, y, [
      [-r, 0],
      [0, -r],
      [r, 0],
      [0, r],
    ]),
  X: (ctx, x, y, r) => cross(ctx, x, y, r),
  "*": (ctx, x, y, r) => star(ctx, x, y, r),
  x: (ctx, x, y, r) =>
    strokes(ctx, x, y, [
      [r, r],
      [r, -r],
    ]),
  "+": (ctx, x, y, r) =>
    strokes(ctx, x, y, [
      [r, 0],
      [0, r],
    ]),
};

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x
 * @param {number} y
 * @param {Point[]} ends
 */
function strokes(ctx, x, y, ends) {
  for (const [dx, dy] of ends) {
    ctx.moveTo(x - dx, y - dy);
    ctx.lineTo(x + dx, y + dy);
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
function cross(ctx, x, y, r) {
  const h = r / 2;
  /** @type {Point[]} */
  const right = [
    [0, -h],
    [h, -r],
    [r, -h],
    [h, 0],
    [r, h],
    [h, r],
    [0, h],
  ];
  polygon(ctx, x, y, [...right, [-h, r], [-r, h], [-h, 0], [-r, -h], [-h, -r]]);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
function star(ctx, x, y, r) {
  /** @type {(_: unknown, k: number) => Point} */
  const tip = (_, k) => {
    const [reach, angle] = [k % 2 ? 0.4 * r : r, (k * Math.PI) / 5];
    return [reach * Math.sin(angle), -reach * Math.cos(angle)];
  };
  polygon(ctx, x, y, Array.from({ length: 10 }, tip));
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Point} from
 * @param {Point} to
 * @param {string} paint
 * @param {number} width
 */
export function drawArrow(ctx, [x1, y1], [x2, y2], paint, width) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  if (length < 0.5) return;
  const [dx, dy] = [(x2 - x1) / length, (y2 - y1) / length];
  const head = Math.min(5 + 2.2 * width, length);
  const [bx, by] = [x2 - dx * head, y2 - dy * head];
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(bx + dx * 0.5, by + dy * 0.5);
  stroke(ctx, paint, width);
  ctx.beginPath();
  const [sx, sy] = [dy * head * 0.42, dx * head * 0.42]; // half its width, across
  polygon(ctx, 0, 0, [
    [x2, y2],
    [bx - sx, by + sy],
    [bx + sx, by - sy],
  ]);
  ctx.strokeStyle = HALO;
  ctx.lineWidth = 1.8;
  if (!isFaint(paint)) ctx.stroke();
  ctx.fillStyle = paint;
  ctx.fill();
}

/**
 * A hatch as a pattern: it tells cells apart without colour.
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} kind
 */
export function hatchOf(ctx, kind) {
  const pattern = ctx.createPattern((hatchTiles[kind] ??= hatchTile(kind)), "repeat");
  pattern.setTransform(new DOMMatrix().scale(0.5));
  return pattern;
}

const hatchTiles = {};

/** @param {string} kind */
function hatchTile(kind) {
  const side = 8;
  const tile = element("canvas", { width: side * 2, height: side * 2 });
  const pen = tile.getContext("2d");
  pen.scale(2, 2);
  pen.strokeStyle = pen.fillStyle = "#000000B0";
  pen.lineWidth = 1;
  const slope = (up) => {
    for (const shift of [-side, 0, side]) {
      pen.moveTo(shift - 1, up ? side + 1 : -1);
      pen.lineTo(shift + side + 1, up ? -1 : side + 1);
    }
  };
  if (kind.includes("/") || kind.includes("x")) slope(true);
  if (kind.includes("\\") || kind.includes("x")) slope(false);
  pen.stroke();
  if (kind.includes(".")) for (const at of [2, 6]) pen.fillRect(at - 0.9, at - 0.9, 1.8, 1.8);
  return tile;
}
