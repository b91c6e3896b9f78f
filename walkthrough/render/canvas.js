// A Panel on a canvas: the same layers, in the same look, as walkthrough/render/layers.py draws them for a PNG.
// A view has panel, scale (CSS pixels for one of the panel's) and ctx; lengths are CSS pixels unless said otherwise.

const DASH = { solid: [], dashed: [4, 2], dotted: [1, 1.5], dashdot: [5, 2, 1, 2] }; // in widths of the line
const HALO = "#00000099";
const HANDLE = 7;

function panelView(page) {
  const canvas = element("canvas", { class: "wt-canvas" });
  const view = { page, node: canvas, ctx: canvas.getContext("2d"), panel: null, scale: 1, chosen: null, over: null };
  view.draw = () => drawPanel(view);
  view.show = (panel, width, height) => {
    view.panel = panel;
    view.scale = width / panel.width;
    view.maps = panel.layers.map((layer) => (layer.kind === "Boxes" && layer.drag ? rowsInField(page, layer) : null));
    canvas.dataset.window = [panel.left, panel.top, panel.width, panel.height].join(" ");
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const density = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    describe(view);
    view.draw();
  };
  editing(view);
  return view;
}

/** Which row of the field each box of a layer is: usually the same number, or else the row with the same place. */
function rowsInField(page, layer) {
  const rows = page.model.get("values")[layer.drag] ?? [];
  if (rows.length === layer.xyxy.length) return rows.map((_, index) => index);
  const same = (box) => (row) => box.every((side, k) => Math.abs(side - row[k]) < 0.01);
  return layer.xyxy.map((box) => rows.findIndex(same(box)));
}

/** The boxes of a layer as they are now: where the reader is dragging, ahead of the kernel's answer. */
function boxesNow(view, layer) {
  const map = view.maps[view.panel.layers.indexOf(layer)];
  const rows = map && view.page.pending(layer.drag);
  const before = view.page.model.get("values")[layer.drag]?.length ?? 0;
  if (!rows || rows.length < before) return layer.xyxy;
  const kept = layer.xyxy.map((box, index) => sorted(rows[map[index]] ?? box));
  const isFirst = view.panel.layers.find((other) => other.drag === layer.drag) === layer;
  return isFirst ? [...kept, ...rows.slice(before).map(sorted)] : kept;
}

function sorted([x1, y1, x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

function drawPanel(view) {
  const { ctx, panel, node } = view;
  const density = window.devicePixelRatio || 1;
  ctx.setTransform(density, 0, 0, density, 0, 0);
  ctx.clearRect(0, 0, node.width, node.height);
  for (const layer of panel.layers) DRAW[layer.kind](view, layer);
  drawLabels(view);
  drawHandles(view);
}

function placeOf(view, x, y) {
  return [(x - view.panel.left) * view.scale, (y - view.panel.top) * view.scale];
}

function rectOf(view, [x1, y1, x2, y2]) {
  const [left, top] = placeOf(view, x1, y1);
  return [left, top, (x2 - x1) * view.scale, (y2 - y1) * view.scale];
}

/** The value of one box, where there is none, one for all, or one each. */
function each(values, index, fallback) {
  return !values.length ? fallback : values.length === 1 ? values[0] : values[index] ?? fallback;
}

/** Stroke the path: a dark rim below, so that a line is seen on any photograph, then the line. */
function stroke(ctx, paint, width, dash = "solid", rim = true) {
  ctx.lineJoin = "miter";
  if (rim) {
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

const DRAW = {
  Picture(view, layer) {
    const image = pictureOf(layer.pixels);
    if (!image) return;
    const [x, y, width, height] = rectOf(view, layer.extent ?? [0, 0, image.width, image.height]);
    view.ctx.imageSmoothingEnabled = width <= 1.5 * image.width; // maps keep their cells, photographs stay smooth
    view.ctx.imageSmoothingQuality = "high";
    view.ctx.drawImage(image, x, y, width, height);
  },
  Boxes(view, layer) {
    boxesNow(view, layer).forEach((box, index) => {
      const rect = rectOf(view, box);
      const paint = view.page.colour(each(layer.colours, index, "object"));
      if (layer.fill) {
        view.ctx.globalAlpha = layer.fill;
        view.ctx.fillStyle = paint;
        view.ctx.fillRect(...rect);
        view.ctx.globalAlpha = 1;
      }
      view.ctx.beginPath();
      view.ctx.rect(...rect);
      stroke(view.ctx, paint, layer.width, layer.dash, layer.dash === "solid");
    });
  },
  Cells(view, layer) {
    const { ctx } = view;
    const paint = view.page.colour(layer.colour);
    const side = layer.stride * view.scale;
    const hatch = layer.hatch && hatchOf(ctx, layer.hatch);
    for (const [row, col] of layer.cells) {
      const [x, y] = placeOf(view, col * layer.stride, row * layer.stride);
      ctx.globalAlpha = layer.opacity;
      ctx.fillStyle = paint;
      ctx.fillRect(x, y, side, side);
      ctx.globalAlpha = 1;
      if (hatch) {
        ctx.fillStyle = hatch;
        ctx.fillRect(x, y, side, side);
      }
      ctx.strokeStyle = hatch ? paint : "#FFFFFF";
      ctx.lineWidth = 0.8;
      ctx.strokeRect(x, y, side, side);
    }
  },
  Grid(view, layer) {
    const { ctx } = view;
    const [columns, rows] = [Math.ceil(layer.width / layer.stride), Math.ceil(layer.height / layer.stride)];
    const line = (x1, y1, x2, y2) => (ctx.moveTo(...placeOf(view, x1, y1)), ctx.lineTo(...placeOf(view, x2, y2)));
    ctx.beginPath();
    for (let k = 0; k <= columns; k++) line(k * layer.stride, 0, k * layer.stride, layer.height);
    for (let k = 0; k <= rows; k++) line(0, k * layer.stride, layer.width, k * layer.stride);
    ctx.globalAlpha = layer.opacity;
    stroke(ctx, view.page.colour(layer.colour), Math.min(1.1, 0.17 * layer.stride * view.scale), "solid", false);
    ctx.globalAlpha = 1;
  },
  Line(view, layer) {
    const { ctx } = view;
    ctx.beginPath();
    for (const [x, y] of layer.points) ctx.lineTo(...placeOf(view, number(x), number(y)));
    if (layer.closed) ctx.closePath();
    ctx.lineCap = layer.dash === "solid" ? "round" : "butt";
    stroke(ctx, view.page.colour(layer.colour), layer.width, layer.dash);
    ctx.lineCap = "butt";
  },
  Points(view, layer) {
    const { ctx } = view;
    for (const [x, y] of layer.xy) {
      ctx.beginPath();
      (MARKER[layer.marker] ?? MARKER.o)(ctx, ...placeOf(view, x, y), layer.size / 2);
      ctx.fillStyle = view.page.colour(layer.colour);
      if (layer.marker === "x" || layer.marker === "+") stroke(ctx, ctx.fillStyle, 1.8);
      else {
        ctx.fill();
        ctx.lineWidth = 0.9;
        ctx.strokeStyle = "#000000AA";
        ctx.stroke();
      }
    }
  },
  Arrows(view, layer) {
    for (const [x1, y1, x2, y2] of layer.ends) {
      drawArrow(view.ctx, placeOf(view, x1, y1), placeOf(view, x2, y2), view.page.colour(layer.colour), layer.width);
    }
  },
  Text(view, layer) {
    const { ctx } = view;
    ctx.font = `${layer.size}px ${view.page.font()}`;
    ctx.textAlign = layer.anchor;
    ctx.textBaseline = "top";
    ctx.lineJoin = "round";
    ctx.lineWidth = 2.4;
    ctx.strokeStyle = "#000000B0";
    layer.text.split("\n").forEach((words, line) => {
      const [x, y] = placeOf(view, layer.x, layer.y);
      ctx.strokeText(words, x, y + line * layer.size * 1.3);
      ctx.fillStyle = view.page.colour(layer.colour);
      ctx.fillText(words, x, y + line * layer.size * 1.3);
    });
    ctx.textAlign = "left";
  },
};

function polygon(ctx, x, y, corners) {
  for (const [dx, dy] of corners) ctx.lineTo(x + dx, y + dy);
  ctx.closePath();
}

const MARKER = {
  o: (ctx, x, y, r) => ctx.arc(x, y, r, 0, 2 * Math.PI),
  s: (ctx, x, y, r) => ctx.rect(x - r, y - r, 2 * r, 2 * r),
  "^": (ctx, x, y, r) => polygon(ctx, x, y, [[-r, r], [0, -r], [r, r]]),
  v: (ctx, x, y, r) => polygon(ctx, x, y, [[-r, -r], [0, r], [r, -r]]),
  D: (ctx, x, y, r) => polygon(ctx, x, y, [[-r, 0], [0, -r], [r, 0], [0, r]]),
  X: (ctx, x, y, r) => cross(ctx, x, y, r),
  "*": (ctx, x, y, r) => star(ctx, x, y, r),
  x: (ctx, x, y, r) => strokes(ctx, x, y, [[r, r], [r, -r]]),
  "+": (ctx, x, y, r) => strokes(ctx, x, y, [[r, 0], [0, r]]),
};

function strokes(ctx, x, y, ends) {
  for (const [dx, dy] of ends) {
    ctx.moveTo(x - dx, y - dy);
    ctx.lineTo(x + dx, y + dy);
  }
}

function cross(ctx, x, y, r) {
  const h = r / 2;
  const right = [[0, -h], [h, -r], [r, -h], [h, 0], [r, h], [h, r], [0, h]];
  polygon(ctx, x, y, [...right, [-h, r], [-r, h], [-h, 0], [-r, -h], [-h, -r]]);
}

function star(ctx, x, y, r) {
  const tip = (_, k) => {
    const [reach, angle] = [k % 2 ? 0.4 * r : r, (k * Math.PI) / 5];
    return [reach * Math.sin(angle), -reach * Math.cos(angle)];
  };
  polygon(ctx, x, y, Array.from({ length: 10 }, tip));
}

function drawArrow(ctx, [x1, y1], [x2, y2], paint, width) {
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
  polygon(ctx, 0, 0, [[x2, y2], [bx - sx, by + sy], [bx + sx, by - sy]]);
  ctx.strokeStyle = HALO;
  ctx.lineWidth = 1.8;
  ctx.stroke();
  ctx.fillStyle = paint;
  ctx.fill();
}

/** A hatch as a pattern: it tells cells apart without colour. */
function hatchOf(ctx, kind) {
  const pattern = ctx.createPattern((hatchTiles[kind] ??= hatchTile(kind)), "repeat");
  pattern.setTransform(new DOMMatrix().scale(0.5));
  return pattern;
}

const hatchTiles = {};

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

/** The handles of the box that is chosen or under the mouse, and the cross of a chosen place under the keyboard. */
function drawHandles(view) {
  const { ctx } = view;
  const held = view.chosen ?? view.over;
  const boxes = held ? [...editableBoxes(view), ...fixedBoxes(view)] : [];
  const box = boxes.find((other) => other.field === held.field && other.row === held.row);
  if (!box) return;
  const [x, y, w, h] = rectOf(view, box.xyxy);
  const places = [[0, 0], [1, 0], [0, 1], [1, 1]];
  if (Math.min(w, h) > 36) places.push([0.5, 0], [0.5, 1], [0, 0.5], [1, 0.5]);
  const isChosen = view.chosen && document.activeElement === view.node;
  for (const [share, fall] of places) {
    const side = isChosen ? HANDLE : HANDLE - 1;
    ctx.fillStyle = isChosen ? "#FFFFFF" : "#FFFFFFD0";
    ctx.strokeStyle = "#000000C0";
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.rect(x + share * w - side / 2, y + fall * h - side / 2, side, side);
    ctx.fill();
    ctx.stroke();
  }
}
