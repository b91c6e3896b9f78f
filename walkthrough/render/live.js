// An explorer on the page: its controls, its picture, and what passes between them and the kernel (see live.py).

const SILENCE = 5000; // milliseconds after which a reader is told that nothing comes back
const WIDEST = 960;
const NARROW = 560; // below it panels stand one under the other
const GAP = 16;
const TALLEST = { picture: 440, several: 300, chart: 300, code: 420 };
const PICTURES_KEPT = 200;
const UNANSWERED = "The kernel does not answer: it is busy, or it has stopped. If it has stopped, run the cell again.";
const GONE = "The kernel does not answer: run the cell again.";
const VIEWS = { Panel: panelView, Chart: chartView, Table: tableView, HeatMap: heatView, Code: codeView };

// What all explorers of a page share: images by what they hold, and plotly.js.
const shared = (window[Symbol.for("walkthrough")] ??= { pictures: new Map(), plotly: null });

// -- pictures --------------------------------------------------------------------------------------------------------

function pictureOf(key) {
  return shared.pictures.get(key)?.bitmap;
}

function entryOf(key) {
  let entry = shared.pictures.get(key);
  if (!entry) {
    entry = { bitmap: null };
    entry.promise = new Promise((resolve) => (entry.resolve = resolve));
    shared.pictures.set(key, entry);
  }
  return entry;
}

async function receivePicture(key, buffer) {
  const entry = entryOf(key);
  if (entry.bitmap || entry.isComing) return;
  entry.isComing = true;
  entry.bitmap = await createImageBitmap(new Blob([buffer]));
  entry.resolve();
  for (const [old, { bitmap }] of shared.pictures) {
    if (shared.pictures.size <= PICTURES_KEPT) break;
    if (bitmap) shared.pictures.delete(old); // asked for again where it is needed
  }
}

function picturesIn(scene) {
  return scene.rows.flat().flatMap((panel) => (panel.layers ?? []).filter((layer) => layer.kind === "Picture").map((layer) => layer.pixels));
}

/** Until all images of a scene are there; what the kernel does not send in time is drawn when it comes. */
async function gathered(page, scene) {
  const missing = picturesIn(scene).filter((key) => !pictureOf(key));
  if (!missing.length) return;
  const unknown = missing.filter((key) => !shared.pictures.get(key)?.isComing);
  if (unknown.length) page.send({ kind: "need", keys: [...new Set(unknown)] });
  const all = Promise.all(missing.map((key) => entryOf(key).promise));
  let late = false;
  await Promise.race([all, new Promise((resolve) => setTimeout(() => ((late = true), resolve()), 1500))]);
  if (late) all.then(() => page.update());
}

// -- the page --------------------------------------------------------------------------------------------------------

function createPage(model, host) {
  const id = `wt${Math.random().toString(36).slice(2, 9)}`;
  const waiting = new Map(); // name -> {value, number}: what the kernel has not yet dealt with
  const page = { id, model, look: model.get("look"), removed: false, number: 0, asked: 0, answered: 0 };
  let timer = 0;

  page.isPending = (name) => waiting.has(name);
  page.pending = (name) => waiting.get(name)?.value;
  page.value = (name) => (waiting.has(name) ? waiting.get(name).value : model.get("values")[name]);
  page.change = (name, value) => {
    waiting.set(name, { value, number: ++page.number });
    const values = Object.fromEntries([...waiting].map(([key, change]) => [key, change.value]));
    expect();
    model.set("moved", { page: id, number: page.number, values });
    model.save_changes();
  };
  page.send = (message, buffers = []) => {
    try {
      model.send(message, undefined, buffers);
    } catch {
      page.tell(GONE); // its channel is closed
    }
  };
  const ask = (message, buffers) => {
    page.number += 1;
    expect();
    page.send({ ...message, page: id, number: page.number }, buffers);
  };
  page.act = (method) => ask({ kind: "action", method });
  page.upload = (name, bytes) => ask({ kind: "picture", name }, [bytes]);

  const expect = () => {
    page.asked = page.number;
    clearTimeout(timer);
    if (isCut(page)) page.tell(GONE);
    else timer = setTimeout(() => page.answered < page.asked && page.tell(isCut(page) ? GONE : UNANSWERED), SILENCE);
  };
  page.settle = () => {
    const seen = model.get("seen");
    if (seen?.page !== id) return;
    page.answered = Math.max(page.answered, seen.number);
    for (const [name, change] of waiting) if (change.number <= seen.number) waiting.delete(name);
    if (page.answered >= page.asked) {
      clearTimeout(timer);
      page.tell("");
    }
  };

  page.isDark = () => page.themeName() === "dark";
  page.themeName = () => page.root.dataset.theme;
  page.theme = () => page.look.themes[page.themeName()];
  page.colour = (value) => (typeof value === "number" ? page.look.classes[value % page.look.classes.length] : value.startsWith("#") ? value : page.look.meaning[value]);
  page.font = () => (page.fontFamily ??= getComputedStyle(page.root).fontFamily);
  build(page, host);
  return page;
}

/** Whether the kernel behind this page is known to be gone: the widget manager marks the views of lost kernels. */
function isCut(page) {
  return Boolean(page.host.closest(".jupyter-widgets-disconnected"));
}

function build(page, host) {
  const title = element("h3", { class: "wt-title" });
  const message = element("p", { class: "wt-message", role: "alert" });
  const words = element("div", { class: "wt-hidden", "aria-live": "polite" });
  const said = element("div", { class: "wt-hidden", "aria-live": "assertive" });
  const rows = element("div", { class: "wt-rows" });
  const legend = element("ul", { class: "wt-legend" });
  const hint = element("p", { class: "wt-hint" });
  const [controls, buttons, code] = [controlsView(page), buttonsView(page), codeLine(page)];
  const scene = element("div", { class: "wt-scene" }, rows, legend, message);
  const header = element("header", { class: "wt-header" }, title, buttons.node);
  const root = element("section", { class: "wt", "data-drawn": "0" }, header, controls.node, scene, hint, code.node, words, said);
  Object.assign(page, { host, root, parts: { title, message, words, rows, legend, hint, controls, buttons, code, scene }, panels: [], sentence: "" });
  page.say = (text) => (said.textContent = text);
  page.tell = (sentence) => {
    page.sentence = sentence;
    showMessage(page);
  };
  root.addEventListener("keydown", (event) => pressed(page, event));
  setTheme(page);
  host.append(root);
}

/** Keys of the explorer's buttons, and none of the notebook's: D, D would delete the cell. */
function pressed(page, event) {
  if (event.ctrlKey || event.metaKey || (event.shiftKey && event.key === "Enter")) return;
  event.stopPropagation();
  const { target } = event;
  const isTyping = target.matches("input:not([type=checkbox], [type=radio], [type=range], [type=file]), select, textarea");
  const usesKey = target.matches("input, select, button, [tabindex]") && [" ", "Enter", ...Object.keys(ARROWS)].includes(event.key);
  const action = page.model.get("actions").find((other) => other.key && other.key.toLowerCase() === event.key.toLowerCase());
  if (!action || isTyping || event.altKey || (usesKey && target !== page.root && !target.matches("canvas, .wt-scroll, .wt-action"))) return;
  if (target.matches("button") && [" ", "Enter"].includes(event.key)) return; // the button itself takes it
  event.preventDefault();
  page.act(action.method);
}

// -- what is shown ---------------------------------------------------------------------------------------------------

async function update(page) {
  const { model, parts } = page;
  page.settle();
  const scene = model.get("scene");
  const ticket = (page.ticket = (page.ticket ?? 0) + 1);
  parts.title.textContent = model.get("title");
  page.root.setAttribute("aria-label", model.get("title"));
  parts.controls.show(model.get("controls"));
  parts.buttons.show(model.get("actions"), model.get("uploads"));
  parts.code.show(model.get("code"));
  tellLater(page, model.get("words"));
  await gathered(page, scene);
  if (page.removed || ticket < (page.painted ?? 0)) return; // a later one was faster
  page.painted = ticket;
  if (scene.rows.length) page.scene = scene;
  showMessage(page);
  if (page.scene) await paint(page);
  requestAnimationFrame(() => (page.root.dataset.drawn = Number(page.root.dataset.drawn) + 1));
}

function tellLater(page, words) {
  if (page.told === words) return;
  clearTimeout(page.telling);
  page.told = words;
  page.telling = setTimeout(() => (page.parts.words.textContent = words), 700);
}

/** A sentence over the picture, which is dimmed where it is not what the settings ask for. */
function showMessage(page) {
  const { model, parts } = page;
  const text = page.sentence || model.get("message");
  if (parts.message.textContent !== text) parts.message.textContent = text;
  page.root.classList.toggle("wt-nothing", Boolean(page.sentence) || (Boolean(text) && !model.get("scene").rows.length));
  page.root.classList.toggle("wt-empty", !page.scene);
}

async function paint(page) {
  const width = Math.min(page.root.clientWidth - 2 * paddingOf(page), WIDEST);
  if (width <= 0) return; // not on the page yet: its size will be told
  page.width = width;
  const rows = width < NARROW ? page.scene.rows.flat().map((panel) => [panel]) : page.scene.rows;
  page.panels = rows.map((row, index) => rowFor(page, row, page.panels[index], index));
  page.panels.splice(rows.length).forEach((row) => row.remove());
  while (page.parts.rows.children.length > rows.length) page.parts.rows.lastChild.remove();
  const own = rows.map((row, r) => row.map((panel, c) => ownWidth(panel, page.panels[r][c], width)));
  const heights = rowHeights(rows, own, width);
  const drawn = rows.flatMap((row, r) => placeRow(page, row, page.panels[r], own[r], heights[r], width));
  showLegend(page);
  showHint(page);
  keepHeight(page, width);
  await Promise.all(drawn);
}

function paddingOf(page) {
  return (page.padding ??= parseFloat(getComputedStyle(page.root).paddingLeft));
}

/** The views of a row; those whose kind stayed are used again. */
function rowFor(page, row, before = [], index) {
  const line = page.parts.rows.children[index] ?? page.parts.rows.appendChild(element("div", { class: "wt-row" }));
  const frames = row.map((panel, place) => {
    const old = before[place];
    if (old?.kind === panel.kind) return old;
    old?.view.remove?.();
    const [view, title, caption] = [VIEWS[panel.kind](page), element("h4", {}), element("figcaption", {})];
    return { kind: panel.kind, view, title, caption, node: element("figure", { class: `wt-panel wt-is-${panel.kind}` }, title, view.node, caption) };
  });
  before.slice(row.length).forEach((frame) => frame.view.remove?.());
  const nodes = frames.map((frame) => frame.node);
  if (nodes.length !== line.children.length || nodes.some((node, place) => line.children[place] !== node)) line.replaceChildren(...nodes);
  const [isTitled, isCaptioned] = [row.some((panel) => panel.title), row.some((panel) => panel.caption)];
  row.forEach((panel, place) => {
    const { title, caption } = frames[place];
    [title.hidden, caption.hidden] = [!isTitled, !isCaptioned];
    if (title.textContent !== panel.title) title.textContent = title.title = panel.title;
    if (caption.textContent !== panel.caption) caption.textContent = panel.caption;
  });
  return frames;
}

/** The width of panels that words make as wide as they are; null: as wide as there is room. */
function ownWidth(panel, frame, width) {
  if (panel.kind === "Code") return Math.max(300, Math.min(520, 0.56 * width));
  if (panel.kind !== "Table" && panel.kind !== "HeatMap") return null;
  frame.view.show(panel);
  return Math.min(frame.view.width(), width);
}

function aspectOf(panel) {
  if (panel.kind === "Panel") return panel.width / panel.height;
  if (panel.legend === "beside") return 2.1;
  return Math.max(0, ...panel.marks.map((mark) => mark.names?.length ?? 0)) <= MANY_BARS ? 1.6 : 2.9;
}

/** As in render/layout.py: rows fill the width, but for limits; rows of pictures of one size share one scale. */
function rowHeights(rows, own, width) {
  const heights = rows.map((row, r) => {
    const taken = own[r].reduce((sum, part) => sum + (part ?? 0), 0);
    const free = width - GAP * (row.length - 1) - taken;
    const aspects = row.reduce((sum, panel, c) => sum + (own[r][c] === null ? aspectOf(panel) : 0), 0);
    const room = free < 0.3 * width ? width - GAP * (row.filter((_, c) => own[r][c] === null).length - 1) : free; // wrapped
    const tallest = row.some((panel) => panel.kind === "Panel") ? TALLEST.picture : TALLEST.chart;
    return aspects ? Math.min(room / aspects, tallest) : 0;
  });
  const sizes = rows.map((row) => {
    const all = new Set(row.map((panel) => (panel.kind === "Panel" ? `${panel.width} ${panel.height}` : "")));
    return all.size === 1 ? [...all][0] : "";
  });
  return heights.map((height, r) => {
    const together = heights.filter((_, other) => sizes[other] === sizes[r]);
    return sizes[r] && together.length > 1 ? Math.min(...together, TALLEST.several) : height;
  });
}

function placeRow(page, row, frames, own, height, width) {
  const onlyCharts = row.every((panel) => panel.kind === "Chart");
  const stretched = onlyCharts ? (width - GAP * (row.length - 1)) / row.reduce((sum, panel) => sum + aspectOf(panel), 0) : 0;
  const beside = own.reduce((sum, part, c) => sum + (row[c].kind === "Code" ? 0 : part ?? aspectOf(row[c]) * height), GAP * (row.length - 1));
  return row.map((panel, c) => {
    const { view, node } = frames[c];
    if (panel.kind === "Table" || panel.kind === "HeatMap") return (node.style.width = `${own[c]}px`), null;
    let wide = own[c] ?? aspectOf(panel) * Math.max(height, Math.min(stretched, 1.8 * height));
    let high = height;
    if (panel.kind === "Code") {
      wide = Math.max(own[c], width - beside > own[c] ? width - beside : own[c]);
      high = Math.min(TALLEST.code, 19 * panel.lines.length + 14);
    }
    node.style.width = `${Math.floor(wide)}px`;
    return view.show(panel, Math.floor(wide), Math.round(high));
  });
}

function showLegend(page) {
  const { legend } = page.scene;
  const signature = JSON.stringify([legend, page.themeName()]);
  if (signature === page.legend) return;
  page.legend = signature;
  page.parts.legend.hidden = !legend.length;
  page.parts.legend.replaceChildren(...legend.map((key) => element("li", {}, swatch(page, key), key.text)));
}

function swatch(page, key) {
  const canvas = element("canvas", { class: "wt-swatch", width: 40, height: 24, "aria-hidden": true });
  const ctx = canvas.getContext("2d");
  ctx.scale(2, 2);
  const paint = page.colour(key.colour);
  ctx.fillStyle = key.dash ? "#4A4A4A" : paint; // a line is shown on a dark ground, as it lies on a photograph
  ctx.fillRect(0, 0, 20, 12);
  if (key.dash) {
    ctx.beginPath();
    ctx.moveTo(2, 6);
    ctx.lineTo(18, 6);
    stroke(ctx, paint, 2, key.dash, false);
  } else if (key.hatch) {
    ctx.fillStyle = hatchOf(ctx, key.hatch);
    ctx.fillRect(0, 0, 20, 12);
  }
  return canvas;
}

/** What can be done to the picture itself has no control: the help of its field says it below. */
function showHint(page) {
  const fields = new Set(page.scene.rows.flat().flatMap((panel) => [panel.pick, panel.draw, ...(panel.layers ?? []).flatMap((layer) => [layer.drag, layer.pick])]));
  const told = page.model.get("controls").filter((control) => fields.has(control.name) && ["boxes", "point"].includes(control.kind) && control.help);
  const sentences = told.map((control) => control.help.charAt(0).toUpperCase() + control.help.slice(1).replace(/\.?$/, "."));
  const text = [...new Set(sentences)].join(" ");
  if (page.parts.hint.textContent !== text) page.parts.hint.textContent = text;
  page.parts.hint.hidden = !text;
}

/** The picture never gets lower while settings move, so that nothing below it jumps; another width starts afresh. */
function keepHeight(page, width) {
  const { scene } = page.parts;
  const shape = `${width} ${page.scene.rows.map((row) => row.map((panel) => panel.kind)).join(";")}`;
  if (page.shape !== shape) scene.style.minHeight = "";
  page.shape = shape;
  scene.style.minHeight = `${Math.max(scene.offsetHeight, parseFloat(scene.style.minHeight) || 0)}px`;
}

// -- themes ----------------------------------------------------------------------------------------------------------

/** Of JupyterLab where it says so; elsewhere dark is what has a dark ground. */
function isDarkPage(host) {
  const told = document.body.dataset.jpThemeLight;
  if (told !== undefined) return told === "false";
  for (let node = host; node; node = node.parentElement) {
    const [red, green, blue, alpha = 1] = getComputedStyle(node).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    if (alpha > 0.5) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return false;
}

function setTheme(page) {
  const name = isDarkPage(page.host) ? "dark" : "light";
  if (page.root.dataset.theme === name) return false;
  page.root.dataset.theme = name;
  const { text, muted, rule, series } = page.look.themes[name];
  for (const [part, paint] of Object.entries({ text, muted, rule, accent: series[0], alarm: series[1] })) page.root.style.setProperty(`--wt-${part}`, paint);
  return true;
}

function render({ model, el }) {
  const page = createPage(model, el);
  const receive = (message, buffers) => {
    if (message.kind === "pictures") message.keys.forEach((key, index) => receivePicture(key, buffers[index]));
  };
  page.update = () => update(page);
  model.on("msg:custom", receive);
  model.on("change", page.update);
  const cut = () => setTimeout(() => isCut(page) && page.tell(GONE), 0);
  model.on("comm_live_update", cut);
  const sizes = new ResizeObserver(() => {
    if (page.scene && Math.abs(Math.min(page.root.clientWidth - 2 * paddingOf(page), WIDEST) - (page.width ?? 0)) > 1) page.update();
  });
  const themes = new MutationObserver(() => setTheme(page) && page.update());
  sizes.observe(page.root);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  page.update();
  return () => {
    page.removed = true;
    sizes.disconnect();
    themes.disconnect();
    model.off("msg:custom", receive);
    model.off("change", page.update);
    model.off("comm_live_update", cut);
    page.panels.flat().forEach((frame) => frame.view.remove?.());
    page.root.remove();
  };
}

export default { render };
