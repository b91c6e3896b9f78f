// What a reader does to the boxes and places of a panel with mouse, pen or finger; keys.js has the keyboard.

const REACH = { mouse: 6, pen: 8, touch: 14 }; // CSS pixels around a corner or an edge that still take it
const CLICK = 3; // CSS pixels up to which a press is a click and not a drag

/** Boxes that can be moved: {field, row, xyxy, label, pick}. */
function editableBoxes(view) {
  return view.panel.layers.flatMap((layer, index) => {
    if (layer.kind !== "Boxes" || !layer.drag) return [];
    const map = view.maps[index];
    const before = view.page.model.get("values")[layer.drag]?.length ?? 0;
    return boxesNow(view, layer).map((xyxy, k) => {
      const row = k < map.length ? map[k] : before + k - map.length;
      return { field: layer.drag, row, xyxy, label: each(layer.labels, k, ""), pick: layer.pick };
    });
  }).filter((box) => box.row >= 0);
}

/** Boxes that can be clicked: {pick, row, xyxy, label}. */
function pickableBoxes(view) {
  const layers = view.panel.layers.filter((layer) => layer.kind === "Boxes" && layer.pick);
  const told = (layer) => (xyxy, row) => ({ pick: layer.pick, row, xyxy, label: each(layer.labels, row, "") });
  return layers.flatMap((layer) => boxesNow(view, layer).map(told(layer)));
}

/** Those of them that cannot be moved. */
function fixedBoxes(view) {
  const moved = new Set(editableBoxes(view).map((box) => box.pick));
  return pickableBoxes(view).filter((box) => !moved.has(box.pick)).map((box) => ({ ...box, field: `pick ${box.pick}` }));
}

function isInteractive(view) {
  return Boolean(view.panel.pick || view.panel.draw || view.panel.layers.some((layer) => layer.drag || layer.pick));
}

function describe(view) {
  const { node, panel } = view;
  const layers = panel.layers.filter((layer) => layer.kind === "Boxes");
  const names = layers.flatMap((layer) => layer.xyxy.map((_, k) => each(layer.labels, k, "box")));
  const told = new Set(names).size > 1 ? `: ${names.slice(0, 12).join(", ")}` : "";
  const sentences = [
    `${panel.title || "picture"}${names.length ? `, ${names.length} boxes${told}` : ""}`,
    fixedBoxes(view).length && "Arrow keys go from box to box, Enter chooses one",
    editableBoxes(view).length && "Tab chooses a box, arrows move it, with Shift further, with Alt its size changes",
    panel.draw && "Insert adds a box, Delete removes the chosen one",
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

function restingCursor(view) {
  return view.panel.draw || view.panel.pick ? "crosshair" : "default";
}

/** The least step in the panel's pixels: whole pixels, but where they are shown as large squares a part of one. */
function grain(view) {
  return view.scale > 30 ? 0.01 : view.scale > 5 ? 0.1 : 1;
}

function snapped(view, value) {
  return Number((Math.round(value / grain(view)) * grain(view)).toFixed(3));
}

function within(view, x, y) {
  const { left, top, width, height } = view.panel;
  const clamped = (at, low, size) => snapped(view, Math.min(Math.max(at, low), low + size));
  return [clamped(x, left, width), clamped(y, top, height)];
}

/** Where the pointer is, in the panel's pixels. */
function pointerAt(view, event) {
  const frame = view.node.getBoundingClientRect();
  const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
  return [view.panel.left + x / view.scale, view.panel.top + y / view.scale];
}

/** The part of a box under a point: sides is e.g. "x1 y1" for a corner, "x2" for an edge, "" for the body. */
function partAt(view, { xyxy }, [px, py], reach) {
  const [x, y, w, h] = rectOf(view, xyxy);
  const [mx, my] = placeOf(view, px, py);
  const near = (at, low, size) => {
    const inner = Math.min(reach, 0.3 * size);
    if (at >= low - reach && at <= low + inner) return 1;
    return at >= low + size - inner && at <= low + size + reach ? 2 : at > low && at < low + size ? 0 : null;
  };
  const [across, down] = [near(mx, x, w), near(my, y, h)];
  if (across === null || down === null) return null;
  return [across && `x${across}`, down && `y${down}`].filter(Boolean).join(" ");
}

const area = ({ xyxy: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);

/** The box under a point and its part; the chosen box first, then the smallest. */
function hitAt(view, at, kind) {
  const isChosen = (box) => view.chosen?.field === box.field && view.chosen?.row === box.row;
  const boxes = editableBoxes(view).sort((a, b) => isChosen(b) - isChosen(a) || area(a) - area(b));
  for (const box of boxes) {
    const part = partAt(view, box, at, REACH[kind] ?? REACH.mouse);
    if (part !== null) return { ...box, part };
  }
  return null;
}

function pickedBoxAt(view, at) {
  return pickableBoxes(view).sort((a, b) => area(a) - area(b)).find((box) => partAt(view, box, at, 3) !== null);
}

const CURSORS = { "": "move", x1: "ew-resize", x2: "ew-resize", y1: "ns-resize", y2: "ns-resize" };

function cursorFor(part) {
  return CURSORS[part] ?? (part === "x1 y1" || part === "x2 y2" ? "nwse-resize" : "nesw-resize");
}

function editing(view) {
  const { node } = view;
  node.addEventListener("pointerdown", (event) => event.button === 0 && isInteractive(view) && press(view, event));
  node.addEventListener("pointermove", (event) => (view.held ? move(view, event) : hover(view, event)));
  node.addEventListener("pointerup", (event) => view.held && release(view, event));
  node.addEventListener("pointercancel", () => view.held && cancel(view));
  node.addEventListener("pointerleave", () => !view.held && over(view, null));
  node.addEventListener("keydown", (event) => keyed(view, event));
  node.addEventListener("focus", () => view.panel && view.draw());
  node.addEventListener("blur", () => {
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

function over(view, box) {
  if (view.over?.field === box?.field && view.over?.row === box?.row) return;
  view.over = box;
  view.draw();
}

function hover(view, event) {
  if (!view.panel) return;
  const at = pointerAt(view, event);
  const hit = event.shiftKey && view.panel.draw ? null : hitAt(view, at, event.pointerType);
  view.node.style.cursor = hit ? cursorFor(hit.part) : pickedBoxAt(view, at) ? "pointer" : restingCursor(view);
  over(view, hit);
}

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
    const corners = [...within(view, ...held.start), ...within(view, x, y)];
    setRow(view, held.field, held.rows.length, [...corners, ...view.panel.drawn], held.rows);
  }
}

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

function cancel(view) {
  const { held } = view;
  view.held = null;
  if (held.kind === "box" || held.kind === "draw") view.page.change(held.field, held.rows);
  view.draw();
}

function setRow(view, field, index, row, rows = view.page.value(field) ?? []) {
  const changed = [...rows.slice(0, index), row, ...rows.slice(index + 1)];
  view.page.change(field, changed);
  view.draw();
}

function choosePlace(view, [x, y]) {
  view.page.change(view.panel.pick, within(view, x, y));
}

/** Moved as far as the window allows; what follows the four sides stays. */
function shifted(view, [x1, y1, x2, y2, ...rest], dx, dy) {
  const { left, top, width, height } = view.panel;
  const limit = (low, high, from, to, by) => Math.max(Math.min(by, Math.max(to - high, 0)), Math.min(from - low, 0));
  const [right, down] = [limit(x1, x2, left, left + width, dx), limit(y1, y2, top, top + height, dy)];
  const [nx, ny] = [snapped(view, x1 + right) - x1, snapped(view, y1 + down) - y1];
  return [...[x1 + nx, y1 + ny, x2 + nx, y2 + ny].map((side) => Number(side.toFixed(3))), ...rest];
}

function resized(view, row, part, at) {
  const [x, y] = within(view, ...at);
  const changed = [...row];
  if (part.includes("x")) changed[part.includes("x1") ? 0 : 2] = x;
  if (part.includes("y")) changed[part.includes("y1") ? 1 : 3] = y;
  return changed;
}
