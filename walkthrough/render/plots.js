// A Chart as SVG of our own, in the look that plotly.js gives it in charts.js: for pages that do not carry its 5 MB.

import { chartInWords, freeCorner, LETTER, refOfMark, showLit } from "./charts.js";
import { element } from "./dom.js";
import { isLit, keepLit, light } from "./links.js";
import { markerView } from "./marker.js";
import { isSparse, scaleX, scaleY, share, ticksOf, tickWord } from "./scales.js";
import { finite, number, significant } from "./words.js";

const EDGE = { top: 14, right: 20, bottom: 26, label: 20, tick: 8 }; // CSS pixels around the axes
const SIZE = 12; // of letters
const ENTRY = { height: 18, line: 30, pad: 6 }; // of the legend
const DASHED = { solid: "", dashed: "7 5", dotted: "2 4", dashdot: "7 4 2 4" };
const OUTLINE = {
  o: "M3 0A3 3 0 1 1 -3 0A3 3 0 1 1 3 0Z",
  s: "M-3 -3H3V3H-3Z",
  "^": "M0 -3.5L3.5 3H-3.5Z",
  v: "M0 3.5L3.5 -3H-3.5Z",
  D: "M0 -4L4 0L0 4L-4 0Z",
  X: "M-3.5 -2L-2 -3.5L0 -1.5L2 -3.5L3.5 -2L1.5 0L3.5 2L2 3.5L0 1.5L-2 3.5L-3.5 2L-1.5 0Z",
};

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** A view as chartView of charts.js gives one. */
export function plotView(page) {
  const plot = element("div", { class: "wt-plot", role: "img" });
  const marker = markerView(page);
  const node = element("div", { class: "wt-chart" }, plot, marker.node);
  let axis = null;
  let now = null;
  let drawn = "";
  const show = (next, width, height) => {
    const chart = now && next.late && !next.marks.length ? now : next; // what is awaited: the one before stays
    now = chart;
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    plot.setAttribute("aria-label", chartInWords(chart));
    const signature = JSON.stringify([chart, width, height, page.themeName()]);
    if (signature !== drawn) {
      const made = plotOf(chart, page, width, height);
      plot.replaceChildren(made.picture);
      axis = made.axis;
    }
    drawn = signature;
    lightMarks();
    marker.show(chart, axis);
  };
  const lightMarks = () => {
    for (const part of node.querySelectorAll("[data-ref]")) showLit(part, isLit(page, part.dataset.ref));
  };
  return { node, show, light: lightMarks };
}

/** A mark that lights what stands for the same, and is lit by it. */
function linkedTo(page, node, ref) {
  if (!ref) return node;
  node.setAttribute("data-ref", ref);
  node.addEventListener("pointerenter", () => light(page, ref));
  node.addEventListener("pointerleave", () => light(page, ""));
  node.addEventListener("click", () => keepLit(page, ref));
  return node;
}

function plotOf(chart, page, width, height) {
  /** @type {any[]} */
  const [x, y] = [scaleX(chart), scaleY(chart)];
  const names = namedMarks(chart);
  const beside = chart.legend === "beside" ? legendWidth(names) : 0;
  const bottom = height - EDGE.bottom - (chart.x_label ? EDGE.label : 0);
  const yTicks = ticksOf(y, (bottom - EDGE.top) / 45);
  const words = yTicks.map(tickWord);
  const wide = Math.max(...words.map((word) => word.length), 1) * LETTER;
  const left = EDGE.tick + wide + (chart.y_label ? EDGE.label : 4);
  const room = { left, right: width - EDGE.right - beside, top: EDGE.top, bottom };
  x.at = (value) => room.left + share(x, value) * (room.right - room.left);
  y.at = (value) => room.bottom - share(y, value) * (room.bottom - room.top);
  const plot = {
    chart,
    page,
    theme: page.theme(),
    x,
    y,
    room,
    id: `${page.id}-plot${(page.plots = (page.plots ?? 0) + 1)}`,
  };
  const clip = svg("clipPath", { id: plot.id }, svg("rect", { ...frameOf(room) }));
  const inside = svg("g", { "clip-path": `url(#${plot.id})` });
  inside.append(...chart.marks.flatMap((mark, index) => SHAPES[mark.kind](plot, mark, index)), ...standing(plot));
  const look = { width, height, viewBox: `0 0 ${width} ${height}`, "font-size": SIZE, fill: "currentColor" };
  const defs = svg("defs", {}, clip, ...hatches(plot));
  const drawn = [...axes(plot, yTicks, words), inside, ...valueWords(plot), ...legendOf(plot, names)];
  const of = (px) => x.low + ((px - room.left) / (room.right - room.left || 1)) * (x.high - x.low); // never logarithmic
  return { picture: svg("svg", look, defs, ...drawn), axis: { at: x.at, of, top: room.top, bottom: room.bottom } };
}

function frameOf({ left, right, top, bottom }) {
  return { x: left, y: top, width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) };
}

// -- axes ------------------------------------------------------------------------------------------------------------

function axes({ chart, theme, x, y, room }, yTicks, words) {
  const line = (x1, y1, x2, y2, stroke) => svg("path", { d: `M${x1} ${y1}L${x2} ${y2}`, stroke, fill: "none" });
  const text = (word, place) => svg("text", place, word);
  const parts = [];
  yTicks.forEach((value, index) => {
    const at = y.at(value);
    parts.push(line(room.left, at, room.right, at, theme.rule), line(room.left - 3, at, room.left, at, theme.muted));
    parts.push(text(words[index], { x: room.left - 6, y: at + 4, "text-anchor": "end" }));
  });
  for (const [value, word] of x.names ? barNames(x, room) : xTicks(x, room)) {
    const at = x.at(value);
    if (!x.names) parts.push(line(at, room.bottom, at, room.bottom + 3, theme.muted));
    parts.push(text(word, { x: at, y: room.bottom + 16, "text-anchor": "middle" }));
  }
  parts.push(line(room.left, room.bottom, room.right, room.bottom, theme.muted));
  parts.push(line(room.left, room.top, room.left, room.bottom, theme.muted));
  const [middle, centre] = [(room.left + room.right) / 2, (room.top + room.bottom) / 2];
  if (chart.x_label) parts.push(text(chart.x_label, { x: middle, y: room.bottom + 36, "text-anchor": "middle" }));
  const turned = { transform: `translate(12 ${centre}) rotate(-90)`, "text-anchor": "middle" };
  if (chart.y_label) parts.push(text(chart.y_label, turned));
  return parts;
}

function xTicks(x, room) {
  return ticksOf(x, (room.right - room.left) / 80).map((value) => [value, tickWord(value)]);
}

/** Names under bars: all, or every second, third ... where they are many; long ones cut. */
function barNames({ names }, room) {
  const wide = (room.right - room.left) / Math.max(names.length, 1);
  const step = Math.max(1, Math.ceil(24 / wide));
  const letters = Math.max(2, Math.floor((step * wide - 4) / LETTER));
  const cut = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
  return names.map((name, place) => [place, cut(name)]).filter(([place]) => Number(place) % step === 0);
}

// -- marks -----------------------------------------------------------------------------------------------------------

function paintOf({ page, theme }, mark, index) {
  return mark.colour === null ? theme.series[index % theme.series.length] : page.colour(mark.colour);
}

function dashOf(page, mark, index) {
  return DASHED[mark.dash ?? page.look.dashes[index % page.look.dashes.length]] ?? "";
}

/** What is read where the pointer rests. */
function tip(node, ...words) {
  node.append(svg("title", {}, words.filter(Boolean).join(": ")));
  return node;
}

const SHAPES = {
  Series(plot, mark, index) {
    const { chart, page, x, y } = plot;
    const stroke = paintOf(plot, mark, index);
    const points = mark.x.map((value, k) => [finite(value), finite(mark.y[k])]);
    const isThere = ([a, b]) => a !== null && b !== null && (!y.isLog || b > 0);
    const step = (point, k) =>
      `${k && isThere(points[k - 1]) ? "L" : "M"}${places(x.at(point[0]))} ${places(y.at(point[1]))}`;
    const d = points.map((point, k) => (isThere(point) ? step(point, k) : "")).join("");
    const dashes = dashOf(page, mark, index);
    const line = svg("path", { d, stroke, fill: "none", "stroke-width": 2, "stroke-dasharray": dashes });
    const outline = OUTLINE[page.look.markers[index % page.look.markers.length]] ?? OUTLINE.o;
    const marked = isSparse(chart) || points.length === 1 ? points.filter(isThere) : [];
    const dots = marked.map(([a, b]) => {
      const dot = svg("path", { d: outline, fill: stroke, transform: `translate(${x.at(a)} ${y.at(b)})` });
      return tip(dot, mark.name, `${significant(a)}, ${significant(b)}`);
    });
    return [linkedTo(page, tip(line, mark.name), refOfMark(mark, 0)), ...dots];
  },
  Bars(plot, mark, index) {
    const { width, left } = barPlace(plot, mark);
    return mark.values.map((value, k) => {
      const bar = barShape(plot, left(k), width, finite(value) ?? 0, paintOf(plot, mark, index));
      const over = mark.hatch ? [barShape(plot, left(k), width, finite(value) ?? 0, `url(#${plot.id}-${index})`)] : [];
      const shape = tip(svg("g", {}, bar, ...over), mark.name, mark.names[k], significant(value));
      return linkedTo(plot.page, shape, refOfMark(mark, k));
    });
  },
  Histogram(plot, mark, index) {
    const { x } = plot;
    return mark.counts.map((count, k) => {
      const [left, right] = [x.at(mark.edges[k]), x.at(mark.edges[k + 1])];
      const bar = barShape(plot, left, right - left, count, paintOf(plot, mark, index));
      bar.setAttribute("opacity", "0.75");
      return tip(bar, mark.name, `from ${significant(mark.edges[k])}`, String(count));
    });
  },
};

const places = (px) => Number(px.toFixed(1));

/** Bars of the same names stand side by side. */
function barPlace({ chart, x, room }, mark) {
  const all = chart.marks.filter((other) => other.kind === "Bars");
  const slot = (room.right - room.left) / Math.max(mark.names.length, 1);
  const width = all.length > 1 ? (0.8 * slot) / all.length : 0.62 * slot;
  const place = all.indexOf(mark) - all.length / 2;
  return { width, slot: slot / all.length, left: (k) => x.at(k) + place * width };
}

function barShape({ y }, left, width, value, fill) {
  const floor = y.isLog ? y.low : Math.min(Math.max(0, y.low), y.high);
  const top = y.isLog && value <= 0 ? y.low : value;
  const [from, to] = [y.at(floor), y.at(top)];
  return svg("rect", {
    x: left,
    y: Math.min(from, to),
    width: Math.max(width, 0.5),
    height: Math.abs(from - to),
    fill,
  });
}

/** The numbers over bars, where all have room. */
function valueWords(plot) {
  const all = plot.chart.marks.filter((mark) => mark.kind === "Bars");
  const words = all.flatMap((mark) => mark.values.map(significant));
  return all.flatMap((mark) => {
    const { width, slot, left } = barPlace(plot, mark);
    if (words.some((word) => LETTER * word.length > slot)) return [];
    return mark.values.map((value, k) => {
      const at = Math.max(plot.y.at(Math.max(finite(value) ?? 0, plot.y.isLog ? plot.y.low : 0)), plot.room.top);
      const place = { x: left(k) + width / 2, y: at - 4, "text-anchor": "middle" };
      return svg("text", place, significant(value));
    });
  });
}

function standing({ chart, theme, x, room }) {
  const line = { stroke: theme.muted, "stroke-width": 2, "stroke-dasharray": DASHED.dotted };
  return chart.upright.map((value) =>
    svg("path", { d: `M${x.at(number(value))} ${room.top}V${room.bottom}`, ...line }),
  );
}

const HATCH = { "/": ["M0 8L8 0"], "\\": ["M0 0L8 8"], x: ["M0 8L8 0", "M0 0L8 8"], ".": ["M3 3H5V5H3Z"] };

function hatches({ chart, page, id }) {
  const stroke = page.isDark() ? "#000000B0" : "#FFFFFFD0";
  return chart.marks.flatMap((mark, index) => {
    if (!mark.hatch) return [];
    const lines = (HATCH[mark.hatch] ?? []).map((d) => svg("path", { d, stroke, "stroke-width": 1.5 }));
    return [svg("pattern", { id: `${id}-${index}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, ...lines)];
  });
}

// -- legend ----------------------------------------------------------------------------------------------------------

/** The marks with a name that nothing else says. */
function namedMarks(chart) {
  const names = chart.marks.map((mark, index) => ({ mark, index, name: mark.name })).filter(({ name }) => name);
  const isSaid = chart.legend === "none" || (names.length === 1 && names[0].name === chart.title);
  return isSaid ? [] : names;
}

function legendWidth(names) {
  return names.length ? ENTRY.line + Math.max(...names.map(({ name }) => name.length)) * LETTER + 2 * ENTRY.pad : 0;
}

function legendOf(plot, names) {
  if (!names.length) return [];
  const { chart, page, room } = plot;
  const [width, height] = [legendWidth(names), names.length * ENTRY.height + ENTRY.pad];
  const { x, xanchor, y } = freeCorner(chart);
  const across = { left: 0, center: 0.5, right: 1 }[xanchor];
  const inner = room.left + x * (room.right - room.left) - across * width;
  const left = chart.legend === "beside" ? room.right + 4 : Math.max(inner, room.left);
  const top = chart.legend === "beside" || y === 1 ? room.top : room.bottom - height - 4;
  const ground = svg("rect", { x: left, y: top, width, height, fill: page.isDark() ? "#11111199" : "#FFFFFF99" });
  const entries = names.flatMap(({ mark, index, name }, row) => {
    const [at, middle] = [left + ENTRY.pad, top + ENTRY.pad / 2 + (row + 0.5) * ENTRY.height];
    return [entryShape(plot, mark, index, at, middle), svg("text", { x: at + ENTRY.line, y: middle + 4 }, name)];
  });
  return [ground, ...entries];
}

function entryShape(plot, mark, index, x, y) {
  const paint = paintOf(plot, mark, index);
  if (mark.kind !== "Series") {
    const over = mark.hatch
      ? [svg("rect", { x, y: y - 5, width: 24, height: 10, fill: `url(#${plot.id}-${index})` })]
      : [];
    return svg("g", {}, svg("rect", { x, y: y - 5, width: 24, height: 10, fill: paint }), ...over);
  }
  const dashes = dashOf(plot.page, mark, index);
  return svg("path", { d: `M${x} ${y}h24`, stroke: paint, "stroke-width": 2, "stroke-dasharray": dashes });
}
