// A Panel on a canvas: the same layers, in the same look, as walkthrough/render/layers.py draws them for a PNG.
// A view has panel, scale (CSS pixels for one of the panel's) and ctx; lengths are CSS pixels unless said otherwise.

import { boxesNow, editableBoxes, fixedBoxes, rowsInField } from "./boxes.js";
import { showClass } from "./classes.js";
import { element } from "./dom.js";
import { describe, editing } from "./edit.js";
import { each, placeOf, rectOf } from "./geometry.js";
import { keyed } from "./keys.js";
import { drawLabels } from "./labels.js";
import { drawLit, keepLit, light, refAt } from "./links.js";
import { pictureOf } from "./page.js";
import { drawArrow, hatchOf, MARKER, stroke } from "./pen.js";
import { number } from "./words.js";

const HANDLE = 7;

/** @param {Page} page */
export function panelView(page) {
  const canvas = element("canvas", { class: "wt-canvas" });
  const show = (panel, room, high) => {
    const width = Math.max(room, panel.least_width ?? 0);
    const height = Math.round((high * width) / room);
    frame.classList.toggle("wt-pan", width > room);
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
  const frame = element("div", {}, canvas);
  /** @type {View} */
  const view = {
    page,
    node: canvas,
    frame,
    ctx: canvas.getContext("2d"),
    panel: null,
    scale: 1,
    maps: [],
    chosen: null,
    over: null,
    classes: null,
    draw: () => {
      drawPanel(view);
      if (frame.classList.contains("wt-pan")) panTo(view, frame);
    },
    light: () => view.panel && view.draw(),
    show,
  };
  editing(view);
  const under = (event) => (view.panel && !view.held ? refAt(view, [event.offsetX, event.offsetY]) : "");
  canvas.addEventListener("pointermove", (event) => light(page, under(event)));
  canvas.addEventListener("pointerleave", () => light(page, ""));
  canvas.addEventListener("click", (event) => keepLit(page, under(event)));
  canvas.addEventListener("keydown", (event) => keyed(view, event));
  return view;
}

/**
 * Scroll the box that the panel's field names into view, when it is another one than before.
 * @param {View} view
 * @param {HTMLElement} frame
 */
function panTo(view, frame) {
  const layer = view.panel.layers.find((other) => other.kind === "Boxes" && other.pick);
  const control = view.page.model.get("controls").find((other) => other.name === layer?.pick);
  const value = view.page.value(layer?.pick);
  const told = Array.isArray(value) ? value[0] : (control?.options.indexOf(value) ?? -1);
  const index = view.chosen?.row ?? told; // where the keyboard is, before what is chosen
  const box = layer?.xyxy[index];
  if (!box || frame.dataset.at === String(index)) return;
  frame.dataset.at = String(index);
  const [x, , width] = rectOf(view, box);
  frame.scrollLeft = x + width / 2 - frame.clientWidth / 2;
}

/** @param {View} view */
function drawPanel(view) {
  const { ctx, panel, node } = view;
  const density = window.devicePixelRatio || 1;
  ctx.setTransform(density, 0, 0, density, 0, 0);
  ctx.clearRect(0, 0, node.width, node.height);
  for (const layer of panel.layers) DRAW[layer.kind](view, layer);
  drawLabels(view);
  drawLit(view);
  drawHandles(view);
  drawInvitation(view);
  showClass(view);
}

const INVITATION = "press here and drag to draw a box";

/**
 * Where a box can be drawn and none is, the picture says so.
 * @param {View} view
 */
function drawInvitation(view) {
  const { ctx, node, panel } = view;
  if (!panel.draw || view.held || (view.page.value(panel.draw) ?? []).length) return;
  ctx.font = `13px ${view.page.font()}`;
  const [x, y, width] = [node.clientWidth / 2, node.clientHeight / 2, ctx.measureText(INVITATION).width + 24];
  if (width > node.clientWidth) return;
  ctx.fillStyle = "#000000A0";
  ctx.fillRect(x - width / 2, y - 15, width, 30);
  ctx.setLineDash([4, 3]);
  ctx.strokeStyle = "#FFFFFF";
  ctx.lineWidth = 1;
  ctx.strokeRect(x - width / 2, y - 15, width, 30);
  ctx.setLineDash([]);
  [ctx.fillStyle, ctx.textAlign, ctx.textBaseline] = ["#FFFFFF", "center", "middle"];
  ctx.fillText(INVITATION, x, y);
  ctx.textAlign = "left";
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
      if (!layer.width) return; // seen when it is lit
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
    const line = (x1, y1, x2, y2) => {
      ctx.moveTo(...placeOf(view, x1, y1));
      ctx.lineTo(...placeOf(view, x2, y2));
    };
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

/**
 * The handles of the box that is chosen or under the mouse, and the cross of a chosen place under the keyboard.
 * @param {View} view
 */
function drawHandles(view) {
  const { ctx } = view;
  const held = view.chosen ?? view.over;
  const boxes = held ? [...editableBoxes(view), ...fixedBoxes(view)] : [];
  const box = boxes.find((other) => other.field === held.field && other.row === held.row);
  if (!box) return;
  const [x, y, w, h] = rectOf(view, box.xyxy);
  const places = [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
  ];
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
