// Words on the boxes of a panel, none over another where there is room; in colours that can be read.

import { boxesNow } from "./boxes.js";
import { readableOn } from "./colours.js";
import { each, placeLabel, rectOf } from "./geometry.js";

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
  for (const layer of panel.layers.filter((other) => other.kind === "Boxes")) {
    boxesNow(view, layer).forEach((box, index) => {
      const score = layer.scores.length ? each(layer.scores, index, 0).toFixed(2) : "";
      const text = shortened(ctx, [each(layer.labels, index, ""), score].filter(Boolean).join(" "), room[2] - 8);
      if (!text) return;
      const rect = placeLabel(rectOf(view, box), [ctx.measureText(text).width + 6, size * 1.5], room, taken);
      taken.push(rect);
      const paint = view.page.colour(each(layer.colours, index, "object"));
      ctx.fillStyle = paint;
      ctx.fillRect(...rect);
      ctx.fillStyle = readableOn(paint);
      ctx.fillText(text, rect[0] + 3, rect[1] + rect[3] * 0.76);
    });
  }
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
