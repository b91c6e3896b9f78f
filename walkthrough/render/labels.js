// Words on the boxes of a panel, none over another where there is room; in colours that can be read.

import { boxesNow } from "./boxes.js";
import { readableOn } from "./colours.js";
import { each, placeLabel, rectOf } from "./geometry.js";
import { isLit, refOf } from "./links.js";

/**
 * The labels of all boxes, none over another where there is room.
 * @param {View} view
 */
export function drawLabels(view) {
  const { ctx, panel, scale } = view;
  /** @type {Rect} */
  const room = [0, 0, panel.width * scale, panel.height * scale];
  const size = room[2] > 300 ? 11 : 9;
  /** @type {Rect[]} */
  const taken = [];
  ctx.font = `${size}px ${view.page.font()}`;
  ctx.textBaseline = "alphabetic";
  /** @type {(text: string, rect: Rect, paint: string) => void} */
  const write = (text, rect, paint) => {
    ctx.fillStyle = paint;
    ctx.fillRect(...rect);
    ctx.fillStyle = readableOn(paint);
    ctx.fillText(text, rect[0] + 3, rect[1] + rect[3] * 0.76);
  };
  /** @type {(text: string) => Point} */
  const extentOf = (text) => [ctx.measureText(text).width + 6, size * 1.5];
  const { shown, rest } = labelsOf(view);
  const placed = shown.flatMap(({ layer, box, index, word }) => {
    const text = shortened(ctx, word, room[2] - 8);
    if (!text) return [];
    const rect = placeLabel(rectOf(view, box), extentOf(text), room, taken);
    taken.push(rect);
    return [{ text, rect, paint: view.page.colour(each(layer.colours, index, "object")).slice(0, 7) }];
  });
  for (const { text, rect, paint } of placed.reverse()) write(text, rect, paint); // what has the first choice lies on top
  if (!rest) return;
  const text = `${rest} more without a label`;
  const [wide, high] = extentOf(text);
  write(text, [room[2] - wide, room[3] - high, wide, high], REST);
}

const MOST_LABELS = 15; // of a picture, as in walkthrough/render/layers.py
const REST = "#333333";

/** The labels that a picture has room for, and what is lit: those of layers with few labels have the first choice. */
function labelsOf(view) {
  const layers = view.panel.layers.filter((other) => other.kind === "Boxes");
  const words = layers.map((layer) =>
    boxesNow(view, layer)
      .map((box, index) => ({ layer, box, index, word: labelOf(layer, index) }))
      .filter(({ word }) => word),
  );
  const order = layers.map((_, place) => place).sort((a, b) => words[a].length - words[b].length);
  let free = MOST_LABELS;
  const kept = [];
  for (const place of order) {
    kept[place] = Math.min(words[place].length, free);
    free -= kept[place];
  }
  const isSeen = (found, k, place) => k < kept[place] || isLit(view.page, refOf(found.layer, found.index));
  const shown = order.flatMap((place) => words[place].filter((found, k) => isSeen(found, k, place)));
  return { shown, rest: words.flat().length - shown.length };
}

function labelOf(layer, index) {
  const score = layer.scores.length ? each(layer.scores, index, 0).toFixed(2) : "";
  return [each(layer.labels, index, ""), score].filter(Boolean).join(" ");
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {number} room
 */
function shortened(ctx, text, room) {
  if (!text || ctx.measureText(text).width <= room) return text;
  let kept = text;
  while (kept && ctx.measureText(`${kept.trimEnd()}…`).width > room) kept = kept.slice(0, -1);
  return kept ? `${kept.trimEnd()}…` : "";
}
