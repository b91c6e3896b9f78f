// What a reader does to the boxes and places of a panel with mouse, pen or finger; keys.js has the keyboard.

import { editableBoxes, fixedBoxes, isInteractive, namedBoxes, pickableBoxes } from "./boxes.js";
import { announce, boxInWords, choosePlace, setRow } from "./change.js";
import { area, partAt, resized, shifted, sorted, within } from "./geometry.js";

const REACH = { mouse: 6, pen: 8, touch: 14 }; // CSS pixels around a corner or an edge that still take it
const CLICK = 3; // CSS pixels up to which a press is a click and not a drag

/** @param {View} view */
export function describe(view) {
  const { node, panel } = view;
  const sentences = [
    `${panel.title || "picture"}${inventory(view)}`,
    shades(view),
    fixedBoxes(view).length && "Arrow keys go from box to box, Enter chooses one",
    editableBoxes(view).length &&
      "N chooses the next box, arrows move it, with Shift further, with Alt its size changes",
    panel.draw && "Insert adds a box, Delete removes the chosen one, C changes its class",
    panel.pick && "Arrow keys move the chosen place",
  ];
  const label = sentences.filter(Boolean).join(". ");
  if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
  const works = isInteractive(view);
  node.setAttribute("role", works ? "application" : "img");
  if (works) node.tabIndex = 0;
  else node.removeAttribute("tabindex");
  node.style.cursor = restingCursor(view);
}

const TOLD = 12; // boxes, or maps, that are named; of the others, how many

/**
 * The boxes of a picture: which, how large and where.
 * @param {View} view
 */
function inventory(view) {
  const layers = view.panel.layers.filter((layer) => layer.kind === "Boxes");
  const boxes = layers.flatMap((layer) => namedBoxes(view, layer));
  if (!boxes.length) return "";
  const words = boxes.slice(0, TOLD).map((box) => boxInWords(view, box));
  const others = boxes.length > TOLD ? `; and ${boxes.length - TOLD} more` : "";
  return `: ${words.join("; ")}${others}`;
}

/**
 * What the shades of its maps stand for, with their range.
 * @param {View} view
 */
function shades(view) {
  const words = view.panel.layers.flatMap((layer) => (layer.kind === "Picture" && layer.shows ? [layer.shows] : []));
  const others = words.length > TOLD ? `; and ${words.length - TOLD} more` : "";
  return words.slice(0, TOLD).join("; ") + others;
}

/** @param {View} view */
function restingCursor(view) {
  return view.panel.draw || view.panel.pick ? "crosshair" : "default";
}

/**
 * Where the pointer is, in the panel's pixels.
 * @param {View} view
 * @param {PointerEvent} event
 * @returns {Point}
 */
function pointerAt(view, event) {
  const frame = view.node.getBoundingClientRect();
  const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
  return [view.panel.left + x / view.scale, view.panel.top + y / view.scale];
}

/**
 * The box under a point and its part; the chosen box first, then the smallest.
 * @param {View} view
 * @param {Point} at
 * @param {string} kind
 * @returns {(FoundBox & { part: string }) | null}
 */
function hitAt(view, at, kind) {
  const isChosen = (box) => view.chosen?.field === box.field && view.chosen?.row === box.row;
  const boxes = editableBoxes(view).sort((a, b) => Number(isChosen(b)) - Number(isChosen(a)) || area(a) - area(b));
  for (const box of boxes) {
    const part = partAt(view, box, at, REACH[kind] ?? REACH.mouse);
    if (part !== null) return { ...box, part };
  }
  return null;
}

/**
 * @param {View} view
 * @param {Point} at
 */
function pickedBoxAt(view, at) {
  return pickableBoxes(view)
    .sort((a, b) => area(a) - area(b))
    .find((box) => partAt(view, box, at, 3) !== null);
}

const CURSORS = { "": "move", x1: "ew-resize", x2: "ew-resize", y1: "ns-resize", y2: "ns-resize" };

/** @param {string} part */
function cursorFor(part) {
  return CURSORS[part] ?? (part === "x1 y1" || part === "x2 y2" ? "nwse-resize" : "nesw-resize");
}

/** @param {View} view */
export function editing(view) {
  const { node } = view;
  node.addEventListener("pointerdown", (event) => event.button === 0 && isInteractive(view) && press(view, event));
  node.addEventListener("pointermove", (event) => (view.held ? move(view, event) : hover(view, event)));
  node.addEventListener("pointerup", (event) => view.held && release(view, event));
  node.addEventListener("pointercancel", () => view.held && cancel(view));
  node.addEventListener("pointerleave", () => !view.held && over(view, null));
  node.addEventListener("focus", () => view.panel && view.draw());
  node.addEventListener("blur", (event) => {
    if (view.classes && event.relatedTarget === view.classes) return; // the class of the chosen box is being changed
    view.chosen = null;
    view.draw();
  });
  // A finger on something that can be moved moves it; elsewhere it scrolls the page.
  const touched = (event) => {
    const at = pointerAt(view, event.touches[0]);
    if (isInteractive(view) && (view.panel.draw || view.panel.pick || hitAt(view, at, "touch"))) event.preventDefault();
  };
  node.addEventListener("touchstart", touched, { passive: false });
}

/**
 * @param {View} view
 * @param {any} box
 */
function over(view, box) {
  if (view.over?.field === box?.field && view.over?.row === box?.row) return;
  view.over = box;
  view.draw();
}

/**
 * @param {View} view
 * @param {PointerEvent} event
 */
function hover(view, event) {
  if (!view.panel) return;
  const at = pointerAt(view, event);
  const hit = event.shiftKey && view.panel.draw ? null : hitAt(view, at, event.pointerType);
  view.node.style.cursor = hit ? cursorFor(hit.part) : pickedBoxAt(view, at) ? "pointer" : restingCursor(view);
  view.node.title = hit && view.panel.draw ? "with Shift: draw a box inside of this one" : "";
  over(view, hit);
}

/**
 * @param {View} view
 * @param {PointerEvent} event
 */
function press(view, event) {
  const at = pointerAt(view, event);
  view.node.setPointerCapture(event.pointerId);
  view.node.focus({ preventScroll: true });
  const draws = event.shiftKey && view.panel.draw; // a box within a box
  const hit = draws ? null : hitAt(view, at, event.pointerType);
  const picked = draws ? null : pickedBoxAt(view, at);
  const free = view.panel.draw ? "draw" : view.panel.pick ? "point" : null;
  const kind = hit ? "box" : picked ? "pick" : free;
  view.chosen = hit;
  const field = hit?.field ?? view.panel.draw;
  const rows = view.page.value(field) ?? [];
  view.held = { kind, hit, picked, field, rows, start: at, from: [event.clientX, event.clientY], far: false };
  if (kind === "point") choosePlace(view, at);
  view.draw();
}

/**
 * @param {View} view
 * @param {PointerEvent} event
 */
function move(view, event) {
  const { held } = view;
  const [x, y] = pointerAt(view, event);
  held.far ||= Math.hypot(event.clientX - held.from[0], event.clientY - held.from[1]) > CLICK;
  if (held.kind === "point") choosePlace(view, [x, y]);
  if (!held.far) return;
  if (held.kind === "box") {
    const row = held.rows[held.hit.row];
    const [dx, dy] = [x - held.start[0], y - held.start[1]];
    const changed = held.hit.part ? resized(view, row, held.hit.part, [x, y]) : shifted(view, row, dx, dy);
    setRow(view, held.field, held.hit.row, changed, held.rows);
  } else if (held.kind === "draw") {
    const [left, top] = held.start;
    const corners = [...within(view, left, top), ...within(view, x, y)];
    setRow(view, held.field, held.rows.length, [...corners, ...view.panel.drawn], held.rows);
  }
}

/**
 * @param {View} view
 * @param {PointerEvent} event
 */
function release(view, event) {
  const { held, page = view.page } = view;
  view.held = null;
  const at = pointerAt(view, event);
  if (held.kind === "draw" && held.far) {
    const [x1, y1, x2, y2, ...rest] = page.value(held.field)[held.rows.length] ?? [0, 0, 0, 0];
    const isSmall = Math.min(Math.abs(x2 - x1), Math.abs(y2 - y1)) * view.scale < CLICK;
    if (isSmall) page.change(held.field, held.rows);
    else {
      setRow(view, held.field, held.rows.length, [...sorted([x1, y1, x2, y2]), ...rest], held.rows);
      view.chosen = { field: held.field, row: held.rows.length };
      announce(view);
    }
  } else if (held.kind === "box" && held.far) {
    const [x1, y1, x2, y2, ...rest] = page.value(held.field)[held.hit.row];
    setRow(view, held.field, held.hit.row, [...sorted([x1, y1, x2, y2]), ...rest]);
    announce(view);
  } else if (!held.far) {
    const picked = held.picked ?? (held.hit?.pick && { pick: held.hit.pick, row: held.hit.row });
    if (picked) page.change(picked.pick, [picked.row]);
    else if (view.panel.pick && held.kind !== "point") choosePlace(view, at);
  }
  view.draw();
}

/** @param {View} view */
export function cancel(view) {
  const { held } = view;
  view.held = null;
  if (held.kind === "box" || held.kind === "draw") view.page.change(held.field, held.rows);
  view.draw();
}
