// The upright line of a chart, dragged: a grip over the chart that is a slider for the field that the chart names.
// The painters draw the line itself; where it may stand only at some places, each of them says which setting it means.

import { element } from "./dom.js";
import { number, written } from "./words.js";

/**
 * The setting at a place on the x axis, as the control takes it.
 * @param {any} chart
 * @param {any} control
 * @param {number} x
 * @returns {any}
 */
export function settingAt(chart, control, x) {
  if (chart.places.length) return nearest(chart.places, x)[1];
  if (control.values)
    return nearest(
      control.values.map((value) => [value, value]),
      x,
    )[1]; // of a frozen explorer
  const rounded = control.step ? control.low + Math.round((x - control.low) / control.step) * control.step : x;
  return Number(Math.min(Math.max(rounded, control.low), control.high).toPrecision(12));
}

function nearest(places, x) {
  const away = places.map(([at]) => Math.abs(number(at) - x));
  return places[away.indexOf(Math.min(...away))];
}

/**
 * The setting that many steps on: to the right on the axis, or to the left.
 * @param {any} chart
 * @param {any} control
 * @param {any} value
 * @param {number} steps
 * @returns {any}
 */
export function settingBeside(chart, control, value, steps) {
  const all = chart.places.length ? chart.places.map(([, setting]) => setting) : control.values;
  if (!all) return settingAt(chart, control, value + steps * (control.step || (control.high - control.low) / 100));
  const away = all.map((other) => Math.abs(other - value));
  const now = away.indexOf(Math.min(...away));
  return all[Math.min(Math.max(now + steps, 0), all.length - 1)];
}

const BY_KEY = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

/**
 * The grip of a chart's line. axis: {at(x) -> CSS pixels, of(pixels) -> x, top, bottom}, of the chart as it is drawn.
 * @param {Page} page
 */
export function markerView(page) {
  const node = element("div", { class: "wt-marker", role: "slider", tabindex: 0, "aria-orientation": "horizontal" });
  node.append(element("span", { class: "wt-grip" }));
  let [chart, control, axis, held] = [null, null, null, null];
  const place = (x) => (node.style.transform = `translateX(${axis.at(x)}px)`);
  const change = (value) => value !== page.value(control.name) && page.change(control.name, value);
  const move = (event) => {
    const x = axis.of(event.clientX - node.parentElement.getBoundingClientRect().left);
    held = settingAt(chart, control, x);
    place(chart.places.length ? nearest(chart.places, x)[0] : held);
    if (!control.heavy) change(held);
  };
  const letGo = () => {
    if (held !== null) change(held);
    held = null;
    node.classList.remove("wt-held");
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    node.focus({ preventScroll: true });
    node.setPointerCapture(event.pointerId);
    node.classList.add("wt-held");
    held = page.value(control.name);
  });
  node.addEventListener("pointermove", (event) => held !== null && move(event));
  for (const kind of ["pointerup", "pointercancel"]) node.addEventListener(kind, letGo);
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const ends = { Home: -Infinity, End: Infinity };
    const steps = ends[event.key] ?? BY_KEY[event.key] * (event.shiftKey && event.key.startsWith("Arrow") ? 10 : 1);
    if (Number.isNaN(steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const isEnd = !Number.isFinite(steps);
    change(isEnd ? farEnd(chart, control, steps > 0) : settingBeside(chart, control, page.value(control.name), steps));
  });
  /** Put it on a chart that is drawn; hidden where the chart has no line that is dragged. */
  const show = (given, drawn) => {
    control = page.model.get("controls").find((other) => other.name === given.drag);
    node.hidden = !control || !given.upright.length || !drawn;
    if (node.hidden) return;
    [chart, axis] = [given, drawn];
    [node.style.top, node.style.height] = [`${axis.top}px`, `${axis.bottom - axis.top}px`];
    if (held === null) place(number(chart.upright[0]));
    const value = page.value(control.name);
    const [low, high] = [farEnd(chart, control, false), farEnd(chart, control, true)];
    const told = {
      label: `${control.label}, on the chart`,
      valuemin: Math.min(low, high),
      valuemax: Math.max(low, high),
    };
    for (const [name, word] of Object.entries({ ...told, valuenow: value })) node.setAttribute(`aria-${name}`, word);
    const where = chart.places.length ? `, ${chart.x_label} ${written(number(chart.upright[0]))}` : "";
    node.setAttribute("aria-valuetext", `${written(value)}${where}`);
    node.title = `drag: ${control.label}`;
  };
  return { node, show };
}

function farEnd(chart, control, isRight) {
  const all = chart.places.length ? chart.places.map(([, setting]) => setting) : control.values;
  if (all) return all[isRight ? all.length - 1 : 0];
  return isRight ? control.high : control.low;
}
