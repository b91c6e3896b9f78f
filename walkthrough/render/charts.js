// A Chart, drawn by plotly.js. The library comes from the kernel once a page, compressed, and serves all explorers on it.

const PLOTLY_DASH = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };
const PLOTLY_MARKER = { o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", X: "x", x: "x-thin", "+": "cross-thin" };
const MARKED_POINTS = 20; // up to so many points a line shows a mark at each
const MANY_BARS = 10;

/** One promise of plotly.js for the whole page; the first chart asks the kernel for it. */
function plotlyFor(page) {
  if (!shared.plotly) {
    shared.plotly = new Promise((resolve, reject) => {
      const receive = (message, buffers) => {
        if (message.kind !== "plotly") return;
        page.model.off("msg:custom", receive);
        importPlotly(buffers[0]).then(resolve, reject);
      };
      page.model.on("msg:custom", receive);
      page.send({ kind: "plotly" });
      setTimeout(() => reject(new Error("plotly.js did not come")), 60_000);
    });
    shared.plotly.catch(() => (shared.plotly = null)); // the next chart asks again
  }
  return shared.plotly;
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

function chartView(page) {
  const plot = element("div", { class: "wt-plot" });
  const wait = element("p", { class: "wt-placeholder" }, "The chart is on its way ...");
  const node = element("div", { class: "wt-chart" }, wait, plot);
  let now = null;
  let drawn = "";
  const draw = async () => {
    const [chart, width, height] = now;
    const signature = JSON.stringify([chart, width, height, page.themeName()]);
    if (signature === drawn) return;
    const Plotly = await plotlyFor(page);
    if (now[0] !== chart || page.removed) return; // a newer one is drawn instead
    drawn = signature;
    wait.remove();
    const figure = figureOf(chart, page, width, height);
    await Plotly.react(plot, figure.data, figure.layout, { displayModeBar: false, responsive: false, doubleClick: "reset" });
  };
  const show = async (chart, width, height) => {
    now = [chart, width, height];
    node.style.width = `${width}px`;
    node.style.height = `${height}px`;
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", chartInWords(chart));
    await draw().catch(() => (wait.textContent = "The chart did not come: the kernel does not answer."));
  };
  const remove = () => shared.plotly?.then((Plotly) => Plotly.purge(plot), () => {});
  return { node, show, remove };
}

function chartInWords(chart) {
  const names = chart.marks.map((mark) => (mark.kind === "Bars" && !mark.name ? `bars ${mark.names.join(", ")}` : mark.name || mark.kind.toLowerCase()));
  return `chart ${chart.title}: ${names.join("; ")}`;
}

function figureOf(chart, page, width, height) {
  const theme = page.theme();
  const data = chart.marks.map((mark, index) => {
    const paint = mark.colour === null ? theme.series[index % theme.series.length] : page.colour(mark.colour);
    return TRACES[mark.kind](mark, index, paint, page, chart);
  });
  const named = chart.marks.filter((mark) => mark.name).length;
  return { data, layout: layoutOf(chart, theme, page, width, height, named > 0) };
}

const TRACES = {
  Series(mark, index, paint, page) {
    const { dashes, markers } = page.look;
    const shape = PLOTLY_MARKER[markers[index % markers.length]];
    return {
      type: "scatter", name: mark.name, showlegend: Boolean(mark.name), x: mark.x.map(finite), y: mark.y.map(finite),
      mode: mark.x.length <= MARKED_POINTS ? "lines+markers" : "lines",
      line: { color: paint, width: 2, dash: PLOTLY_DASH[mark.dash ?? dashes[index % dashes.length]] },
      marker: { symbol: shape, size: 6, color: paint }, hovertemplate: "%{x:.4~g}, %{y:.4~g}" + nameTag(mark.name),
    };
  },
  Bars(mark, index, paint, page, chart) {
    const several = chart.marks.filter((other) => other.kind === "Bars").length > 1;
    const heights = mark.values.map((value) => finite(value) ?? 0);
    const words = mark.values.map((value) => significant(value));
    const pattern = mark.hatch ? { shape: mark.hatch, fgcolor: page.isDark() ? "#000000B0" : "#FFFFFFD0", fillmode: "overlay", size: 7 } : undefined;
    return {
      type: "bar", name: mark.name ?? "", showlegend: Boolean(mark.name), x: mark.names.map((_, place) => place), y: heights,
      customdata: mark.names, text: mark.names.length > MANY_BARS * (several ? 0.6 : 1.6) ? undefined : words, textposition: "outside", cliponaxis: false,
      width: several ? undefined : 0.62, marker: { color: paint, pattern }, hovertemplate: "%{customdata}: %{y:.4~g}" + nameTag(mark.name),
    };
  },
  Histogram(mark, index, paint) {
    const left = mark.edges.slice(0, -1);
    const widths = left.map((edge, bin) => mark.edges[bin + 1] - edge);
    return {
      type: "bar", name: mark.name, showlegend: Boolean(mark.name), x: left, y: mark.counts, width: widths, offset: 0,
      marker: { color: paint, opacity: 0.75, line: { color: paint, width: 0.5 } }, hovertemplate: "from %{x:.4~g}: %{y}" + nameTag(mark.name),
    };
  },
};

function nameTag(name) {
  return name ? `<extra>${plain(name)}</extra>` : "<extra></extra>";
}

/** plotly.js reads some HTML in words: these are no HTML. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function number(value) {
  return typeof value === "object" && value !== null ? { nan: NaN, inf: Infinity, "-inf": -Infinity }[value.value] : value;
}

function finite(value) {
  const plainNumber = number(value);
  return Number.isFinite(plainNumber) ? plainNumber : null;
}

function significant(value) {
  const plainNumber = number(value);
  return Number.isFinite(plainNumber) ? String(Number(plainNumber.toPrecision(3))) : String(plainNumber).toLowerCase();
}

function layoutOf(chart, theme, page, width, height, named) {
  const beside = chart.legend === "beside";
  const values = chart.marks.flatMap((mark) => (mark.y ?? mark.values ?? mark.counts).map(finite)).filter((value) => value !== null);
  const isLog = chart.y_scale === "log" && values.some((value) => value > 0);
  const line = { gridcolor: theme.rule, linecolor: theme.muted, showline: true, zeroline: false, ticks: "outside", ticklen: 3, tickcolor: theme.muted, automargin: true };
  const x = { ...line, showgrid: false, title: { text: plain(chart.x_label), standoff: 6 }, range: chart.x_range ?? undefined, ...barTicks(chart, width) };
  const rise = chart.y_range ?? undefined;
  const y = { ...line, title: { text: plain(chart.y_label), standoff: 6 }, type: isLog ? "log" : "linear", exponentformat: "power", range: isLog ? rise?.map(Math.log10) : rise };
  if (isLog) y.dtick = Math.log10(Math.max(...values) / Math.min(...values.filter((value) => value > 0))) > 2 ? 1 : undefined;
  const place = beside ? { x: 1.01, xanchor: "left", y: 1, yanchor: "top" } : freeCorner(chart);
  return {
    width, height, margin: { l: 52, r: 10, t: 14, b: 40, pad: 0 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: page.font(), size: 12, color: theme.text }, xaxis: x, yaxis: y, bargap: 0.2, barmode: "group",
    showlegend: named, legend: { ...place, bgcolor: page.isDark() ? "#11111199" : "#FFFFFF99", font: { size: 12 } },
    hoverlabel: { font: { family: page.font(), size: 12 } }, hovermode: "closest", dragmode: false, uirevision: "same",
  };
}

/** Names under bars: all, or every second, third ... where they are many; long ones cut. */
function barTicks(chart, width) {
  const bars = chart.marks.find((mark) => mark.kind === "Bars");
  if (!bars) return {};
  const room = (width - 62) / Math.max(bars.names.length, 1);
  const step = Math.max(1, Math.ceil(24 / room));
  const shown = bars.names.map((_, place) => place).filter((place) => place % step === 0);
  const letters = Math.max(2, Math.floor((step * room - 4) / 6.6));
  const cut = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
  return { tickvals: shown, ticktext: shown.map((place) => plain(cut(bars.names[place]))), ticks: "", tickangle: 0, automargin: false };
}

/** Where the fewest points are, for the legend: a corner, or the middle above or below. */
function freeCorner(chart) {
  const points = chart.marks.flatMap((mark) => {
    const xs = mark.x ?? (mark.edges ? mark.edges.slice(0, -1) : mark.names.map((_, place) => place));
    return xs.map((x, index) => [finite(x), finite((mark.y ?? mark.values ?? mark.counts)[index])]);
  });
  const known = points.filter(([x, y]) => x !== null && y !== null);
  const span = (axis, given) => given ?? [0, 1].map((end) => known.reduce((most, p) => Math[end ? "max" : "min"](most, p[axis]), end ? -Infinity : Infinity));
  const [[left, right], [low, high]] = [span(0, chart.x_range), span(1, chart.y_range)];
  const shares = known.map(([x, y]) => [(x - left) / (right - left || 1), (y - low) / (high - low || 1)]);
  const bars = chart.marks.some((mark) => mark.kind !== "Series"); // they fill what is below their ends
  const within = (middle) => ([x, y]) => Math.abs(x - middle[0]) < 0.25 && (middle[1] ? y > 0.6 : bars || y < 0.4);
  const places = [[0.85, 1], [0.15, 1], [0.5, 1], [0.85, 0], [0.15, 0], [0.5, 0]];
  const crowd = places.map((place) => shares.filter(within(place)).length);
  const [across, down] = places[crowd.indexOf(Math.min(...crowd))];
  const x = { 0.85: { x: 0.99, xanchor: "right" }, 0.15: { x: 0.01, xanchor: "left" }, 0.5: { x: 0.5, xanchor: "center" } }[across];
  return { ...x, y: down ? 1 : 0.02, yanchor: down ? "top" : "bottom" };
}
