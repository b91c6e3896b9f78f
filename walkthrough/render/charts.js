// A Chart, drawn by plotly.js, which comes from the kernel once a page, compressed, and serves all explorers on it.

import { element } from "./dom.js";
import { isLit, keepLit, light } from "./links.js";
import { markerView } from "./marker.js";
import { shared } from "./page.js";
import { finite, plain, significant, written } from "./words.js";

const PLOTLY_DASH = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };
const PLOTLY_MARKER = { o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", X: "x" };
const PLOTLY_OPTIONS = { displayModeBar: false, responsive: false, doubleClick: "reset" };
export const MARKED_POINTS = 20; // where no line has more points, each point has a mark
export const MARGINS = 90; // pixels, left and right together
export const LETTER = 6.7; // pixels

/** plotly.js, one promise for the whole page: the first chart asks, and where its explorer goes away, the next one. */
async function plotlyFor(page) {
  const promise = (shared.plotly ??= askForPlotly(page));
  const forget = () => shared.plotly === promise && (shared.plotly = null);
  promise.catch(forget);
  const found = await promise;
  if (found) return found;
  forget();
  if (page.removed) throw new Error("nobody waits for the chart any more");
  return plotlyFor(page);
}

/** null where the page that asked is taken away before the answer. */
function askForPlotly(page) {
  return new Promise((resolve, reject) => {
    const receive = (message, buffers) => {
      if (message.kind === "plotly") importPlotly(buffers[0]).then(resolve, reject);
    };
    page.model.on("msg:custom", receive);
    page.whenRemoved.push(() => resolve(null));
    page.send({ kind: "plotly" });
  });
}

/** Its file is made for module loaders of Node and for plain pages; as a module of its own it touches neither. */
async function importPlotly(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(stream).text();
  const before = Object.getOwnPropertyDescriptor(window, "Plotly");
  const wrapped = ["const module = { exports: {} };\n", source, "\nexport default module.exports;"];
  const address = URL.createObjectURL(new Blob(wrapped, { type: "text/javascript" }));
  try {
    return (await import(/* webpackIgnore: true */ address)).default;
  } finally {
    URL.revokeObjectURL(address);
    if (before) Object.defineProperty(window, "Plotly", before);
    else delete window.Plotly;
  }
}

export function chartView(page) {
  const plot = element("div", { class: "wt-plot" });
  const wait = element("p", { class: "wt-placeholder" }, "The chart is loading ...");
  const marker = markerView(page);
  const node = element("div", { class: "wt-chart" }, wait, plot, marker.node);
  let now = null;
  let drawn = "";
  const sameShapes = (shapes) => JSON.stringify(shapes) === JSON.stringify(plot.layout?.shapes ?? []);
  const draw = async () => {
    const [chart, width, height] = now;
    const { caption, late, upright, drag, places, ...plotted } = chart; // the others do not concern plotly.js, or its shapes
    const signature = JSON.stringify([plotted, width, height, page.themeName()]);
    const shapes = uprights(chart, page.theme());
    if (signature === drawn && sameShapes(shapes)) return;
    const Plotly = await plotlyFor(page);
    if (now[0] !== chart || page.removed) return; // a newer one is drawn instead
    wait.remove();
    if (signature === drawn) return Plotly.relayout(plot, { shapes }); // where only they move: a tenth of the time
    const isFirst = !drawn;
    drawn = signature;
    const figure = figureOf(chart, page, width, height);
    await Plotly.react(plot, figure.data, { ...figure.layout, shapes }, PLOTLY_OPTIONS);
    if (isFirst) pointed(page, plot, () => now[0]); // plotly.js lets it be listened to from now on
    lightMarks();
  };
  const lightMarks = () => now && markNodes(plot, now[0]).forEach(([node, ref]) => showLit(node, isLit(page, ref)));
  const show = async (next, width, height) => {
    const chart = now && next.late && !next.marks.length ? now[0] : next; // what is awaited: the one before stays
    now = [chart, width, height];
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    plot.setAttribute("role", "img"); // and not the whole: what is in a picture is not a slider
    plot.setAttribute("aria-label", chartInWords(chart));
    await draw().catch(() => (wait.textContent = "The chart could not be loaded: the kernel does not answer."));
    marker.show(chart, axisOf(plot));
  };
  const remove = () =>
    shared.plotly?.then(
      (Plotly) => Plotly?.purge(plot),
      () => {},
    );
  return { node, show, remove, light: lightMarks };
}

/** The pointer on a line or a bar lights what stands for the same; a click keeps it lit. */
function pointed(page, plot, chartNow) {
  const under = ({ points }) => refOfMark(chartNow().marks[points[0].curveNumber], points[0].pointIndex);
  plot.on?.("plotly_hover", (event) => light(page, under(event)));
  plot.on?.("plotly_unhover", () => light(page, ""));
  plot.on?.("plotly_click", (event) => under(event) && keepLit(page, under(event)));
}

/**
 * What a line stands for, or one of several bars.
 * @param {any} mark
 * @param {number} index
 * @returns {string}
 */
export function refOfMark(mark, index) {
  return mark?.ref || mark?.refs?.[index] || "";
}

/** The nodes that plotly.js made of the marks of a chart that stand for something, each with its ref. */
function markNodes(plot, chart) {
  const nodesOf = (layer) => [...plot.querySelectorAll(`.${layer} > .trace`)];
  const [lines, bars] = [nodesOf("scatterlayer"), nodesOf("barlayer")];
  return chart.marks.flatMap((mark) => {
    if (mark.kind === "Series") return [[lines.shift(), mark.ref]].filter(([node, ref]) => node && ref);
    const points = [...(bars.shift()?.querySelectorAll(".point") ?? [])];
    return (mark.refs ?? []).map((ref, index) => [points[index], ref]).filter(([node, ref]) => node && ref);
  });
}

/**
 * @param {Element} node
 * @param {boolean} is
 */
export function showLit(node, is) {
  node.classList.toggle("wt-lit-mark", is);
}

/** The x axis that plotly.js drew: from values to CSS pixels and back; null where there is none. */
function axisOf(plot) {
  const { xaxis, _size: size } = plot._fullLayout ?? {};
  if (!xaxis?.d2p || !size) return null;
  const left = xaxis._offset;
  const [at, of] = [(value) => left + xaxis.d2p(value), (px) => xaxis.p2d(px - left)];
  return { at, of, top: size.t, bottom: size.t + size.h };
}

function uprights(chart, theme) {
  const line = { color: theme.muted, width: 2, dash: "dot" };
  return chart.upright.map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line }));
}

export function chartInWords(chart) {
  const inWords = (mark) => (mark.kind === "Bars" ? `bars ${mark.names.join(", ")}` : mark.kind.toLowerCase());
  const names = chart.marks.map((mark) => mark.name || inWords(mark));
  const lines = chart.upright.map((x) => `a line at ${chart.x_label} ${written(x)}`);
  return `chart ${chart.title}: ${[...names, ...lines].join("; ")}`;
}

function figureOf(chart, page, width, height) {
  const theme = page.theme();
  const data = chart.marks.map((mark, index) => {
    const paint = mark.colour === null ? theme.series[index % theme.series.length] : page.colour(mark.colour);
    return TRACES[mark.kind](mark, index, paint, page, chart, width);
  });
  const names = chart.marks.map((mark) => mark.name).filter(Boolean);
  const isSaid = chart.legend === "none" || (names.length === 1 && names[0] === chart.title);
  const isNamed = names.length > 0 && !isSaid;
  return { data, layout: layoutOf(chart, theme, page, width, height, isNamed) };
}

const TRACES = {
  Series(mark, index, paint, page, chart) {
    const isSparse = chart.marks.every((other) => (other.x?.length ?? 0) <= MARKED_POINTS);
    const { dashes, markers } = page.look;
    return {
      ...named(mark),
      type: "scatter",
      x: mark.x.map(finite),
      y: mark.y.map(finite),
      mode: isSparse || mark.x.length === 1 ? "lines+markers" : "lines",
      line: { color: paint, width: 2, dash: PLOTLY_DASH[mark.dash ?? dashes[index % dashes.length]] },
      marker: { symbol: PLOTLY_MARKER[markers[index % markers.length]], size: 6, color: paint },
      hovertemplate: `%{x:.4~g}, %{y:.4~g}${nameTag(mark.name)}`,
    };
  },
  Bars(mark, _index, paint, page, chart, width) {
    const all = chart.marks.filter((other) => other.kind === "Bars");
    const several = all.length > 1;
    const room = (width - MARGINS) / Math.max(mark.names.length, 1) / (several ? 1.25 * all.length : 1);
    const words = all.flatMap((other) => other.values.map(significant));
    const isCrowded = words.some((word) => LETTER * word.length > room); // they would run into each other
    const lines = { fgcolor: page.isDark() ? "#000000B0" : "#FFFFFFD0", fillmode: "overlay", size: 7 };
    return {
      ...named(mark),
      type: "bar",
      x: mark.names.map((_, place) => place),
      y: mark.values.map((value) => finite(value) ?? 0), // the word over it says nan or inf
      customdata: mark.names,
      text: isCrowded ? undefined : mark.values.map(significant),
      textposition: "outside",
      cliponaxis: false,
      width: several ? undefined : 0.62,
      marker: { color: paint, pattern: mark.hatch ? { shape: mark.hatch, ...lines } : undefined },
      hovertemplate: `%{customdata}: %{y:.4~g}${nameTag(mark.name)}`,
    };
  },
  Histogram(mark, _index, paint) {
    const left = mark.edges.slice(0, -1);
    return {
      ...named(mark),
      type: "bar",
      x: left,
      y: mark.counts,
      width: left.map((edge, bin) => mark.edges[bin + 1] - edge),
      offset: 0,
      marker: { color: paint, opacity: 0.75, line: { color: paint, width: 0.5 } },
      hovertemplate: `from %{x:.4~g}: %{y}${nameTag(mark.name)}`,
    };
  },
};

function named(mark) {
  return { name: plain(mark.name ?? ""), showlegend: Boolean(mark.name) };
}

function nameTag(name) {
  return name ? `<extra>${plain(name)}</extra>` : "<extra></extra>";
}

function layoutOf(chart, theme, page, width, height, isNamed) {
  return {
    width,
    height,
    // wide enough for most labels: where one needs more, plotly.js draws all a second time
    margin: { l: MARGINS - 20, r: 20, t: 14, b: chart.x_label ? 48 : 42, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: page.font(), size: 12, color: theme.text },
    ...axesOf(chart, theme, width),
    bargap: 0.2,
    barmode: "group",
    showlegend: isNamed,
    legend: {
      ...(chart.legend === "beside" ? { x: 1.01, xanchor: "left", y: 1, yanchor: "top" } : freeCorner(chart)),
      bgcolor: page.isDark() ? "#11111199" : "#FFFFFF99",
    },
    hoverlabel: { font: { family: page.font(), size: 12 } },
    hovermode: "closest",
    dragmode: false,
  };
}

function axesOf(chart, theme, width) {
  const heights = chart.marks.flatMap((mark) => (mark.y ?? mark.values ?? mark.counts).map(finite));
  const above = heights.filter((value) => value !== null && value > 0);
  const isLog = chart.y_scale === "log" && above.length > 0;
  const powers = isLog ? Math.log10(most(above, 1) / most(above, 0)) : 0;
  const line = {
    gridcolor: theme.rule,
    linecolor: theme.muted,
    showline: true,
    zeroline: false,
    ticks: "outside",
    ticklen: 3,
    tickcolor: theme.muted,
    ticklabeloverflow: "allow", // to look for labels beyond the edge takes a tenth of the time
    automargin: true,
  };
  const title = (text) => ({ text: plain(text), standoff: 6, font: { size: 12 } });
  const x = { showgrid: false, title: title(chart.x_label), range: chart.x_range ?? undefined };
  const y = {
    title: title(chart.y_label),
    type: isLog ? "log" : "linear",
    exponentformat: "power",
    range: (isLog ? chart.y_range?.map(Math.log10) : chart.y_range) ?? undefined,
    dtick: !isLog ? undefined : powers > 2 ? 1 : "D2", // whole powers of ten; or 1, 2, 5, 10 ...
  };
  return { xaxis: { ...line, ...x, ...barTicks(chart, width) }, yaxis: { ...line, ...y } };
}

/** The least (end 0) or the largest (end 1); of many numbers, too. */
export function most(values, end) {
  return values.reduce((best, value) => (end ? Math.max : Math.min)(best, value), end ? -Infinity : Infinity);
}

/** Names under bars: all, or every second, third ... where they are many; long ones cut. */
function barTicks(chart, width) {
  const bars = chart.marks.find((mark) => mark.kind === "Bars");
  if (!bars) return {};
  const room = (width - MARGINS) / Math.max(bars.names.length, 1);
  const step = Math.max(1, Math.ceil(24 / room));
  const shown = bars.names.map((_, place) => place).filter((place) => place % step === 0);
  const letters = Math.max(2, Math.floor((step * room - 4) / LETTER));
  const cut = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
  const ticktext = shown.map((place) => plain(cut(bars.names[place])));
  return { tickvals: shown, ticktext, ticks: "", tickangle: 0, automargin: false };
}

/** Points on the lines between the few that a line has. */
function between(mark) {
  const ends = mark.x.map((x, index) => [finite(x), finite(mark.y[index])]);
  const whole = ends
    .slice(1)
    .map((end, index) => [ends[index], end])
    .filter((pair) => !pair.flat().includes(null));
  const part = (a, b, share) => a + share * (b - a);
  return whole.flatMap(([a, b]) => [0.2, 0.4, 0.6, 0.8].map((s) => [part(a[0], b[0], s), part(a[1], b[1], s)]));
}

/** Where the fewest points are, for the legend: a corner, or the middle above or below. */
export function freeCorner(chart) {
  const points = chart.marks.flatMap((mark) => {
    const xs = mark.x ?? (mark.edges ? mark.edges.slice(0, -1) : mark.names.map((_, place) => place));
    return xs.map((x, index) => [finite(x), finite((mark.y ?? mark.values ?? mark.counts)[index])]);
  });
  const known = points.filter(([x, y]) => x !== null && y !== null);
  for (const mark of chart.marks.filter((other) => other.x?.length < MARKED_POINTS)) known.push(...between(mark));
  const span = (axis, given) =>
    given ??
    [0, 1].map((end) =>
      most(
        known.map((point) => point[axis]),
        end,
      ),
    );
  const [[left, right], [low, high]] = [span(0, chart.x_range), span(1, chart.y_range)];
  const shares = known.map(([x, y]) => [(x - left) / (right - left || 1), (y - low) / (high - low || 1)]);
  const bars = chart.marks.some((mark) => mark.kind !== "Series"); // they fill what is below their ends
  const within =
    ([middle, top]) =>
    ([x, y]) =>
      Math.abs(x - middle) < 0.25 && (top ? y > 0.6 : bars || y < 0.4);
  /** @type {Point[]} */
  const places = [
    [0.85, 1],
    [0.15, 1],
    [0.5, 1],
    [0.85, 0],
    [0.15, 0],
    [0.5, 0],
  ];
  const crowd = places.map((place) => shares.filter(within(place)).length);
  const [across, down] = places[crowd.indexOf(Math.min(...crowd))];
  const [x, xanchor] = { 0.85: [0.99, "right"], 0.15: [0.01, "left"], 0.5: [0.5, "center"] }[across];
  return { x, xanchor, y: down ? 1 : 0.02, yanchor: down ? "top" : "bottom" };
}
