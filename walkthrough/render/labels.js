// Words on the boxes of a panel, none over another where there is room; in colours that can be read.

/** The labels of all boxes, none over another where there is room. */
function drawLabels(view) {
  const { ctx, panel, scale } = view;
  const room = [0, 0, panel.width * scale, panel.height * scale];
  const size = room[2] > 300 ? 11 : 9;
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

function shortened(ctx, text, room) {
  if (!text || ctx.measureText(text).width <= room) return text;
  let kept = text;
  while (kept && ctx.measureText(`${kept.trimEnd()}…`).width > room) kept = kept.slice(0, -1);
  return kept ? `${kept.trimEnd()}…` : "";
}

/** Over the box, in its upper corners, under it; the first place that is free: place_label of render/text.py. */
function placeLabel([x, y, w, h], [width, height], [left, top, roomWidth, roomHeight], taken) {
  const [right, bottom] = [x + w - width, y + h];
  const wishes = [[x, y - height], [x, y], [right, y - height], [right, y], [x, bottom], [x, bottom - height]];
  for (let k = 1; k < 6; k++) wishes.push([x, y + k * height]);
  const clamped = (px) => Math.min(Math.max(px, left), left + roomWidth - width);
  const fitting = wishes.filter(([, py]) => top <= py && py <= top + roomHeight - height);
  const inside = fitting.map(([px, py]) => [clamped(px), py, width, height]);
  if (!inside.length) inside.push([Math.max(left, Math.min(x, left + roomWidth - width)), top, width, height]);
  const overlap = (a, b) => [0, 1].every((k) => a[k] < b[k] + b[k + 2] && b[k] < a[k] + a[k + 2]);
  return inside.find((rect) => !taken.some((other) => overlap(rect, other))) ?? inside[0];
}

/** Black or white, whichever stands out more on a colour (relative luminance, WCAG 2.1). */
function readableOn(paint) {
  const channels = [1, 3, 5].map((start) => parseInt(paint.slice(start, start + 2), 16) / 255);
  const [red, green, blue] = channels.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#FFFFFF";
}
