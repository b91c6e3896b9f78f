// What a reader does to the boxes and places of a panel, with mouse, pen, finger or keys.

const REACH = { mouse: 6, pen: 8, touch: 14 }; // CSS pixels around a corner or an edge that still take it
const CLICK = 3; // CSS pixels up to which a press is a click and not a drag
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

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

/** Boxes that can be clicked: {pick, row, xyxy}. */
function pickableBoxes(view) {
  const layers = view.panel.layers.filter((layer) => layer.kind === "Boxes" && layer.pick);
  return layers.flatMap((layer) => boxesNow(view, layer).map((xyxy, row) => ({ pick: layer.pick, row, xyxy, label: each(layer.labels, row, "") })));
}

function isInteractive(view) {
  return Boolean(view.panel.pick || view.panel.draw || view.panel.layers.some((layer) => layer.drag || layer.pick));
}

function describe(view) {
  const { node, panel } = view;
  const boxes = panel.layers.filter((layer) => layer.kind === "Boxes").flatMap((layer) => layer.xyxy.map((_, k) => each(layer.labels, k, "box")));
  const moves = editableBoxes(view).length ? ". Tab chooses a box, arrows move it, with Shift further, with Alt its size changes" : "";
  const draws = panel.draw ? ". Insert adds a box, Delete removes the chosen one" : "";
  const picks = panel.pick ? ". Arrow keys move the chosen place" : "";
  const found = boxes.length ? `, ${boxes.length === 1 ? "one box" : `${boxes.length} boxes`}: ${boxes.slice(0, 12).join(", ")}` : "";
  const label = `${panel.title || "picture"}${found}${moves}${draws}${picks}`;
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
  return [snapped(view, Math.min(Math.max(x, left), left + width)), snapped(view, Math.min(Math.max(y, top), top + height))];
}

/** Where the pointer is, in the panel's pixels. */
function pointerAt(view, event) {
  const frame = view.node.getBoundingClientRect();
  return [view.panel.left + (event.clientX - frame.left) / view.scale, view.panel.top + (event.clientY - frame.top) / view.scale];
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
  view.held = { kind, hit, picked, start: at, from: [event.clientX, event.clientY], far: false, field, rows: view.page.value(field) ?? [] };
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
    const changed = held.hit.part ? resized(view, row, held.hit.part, [x, y]) : shifted(view, row, x - held.start[0], y - held.start[1]);
    setRow(view, held.field, held.hit.row, changed, held.rows);
  } else if (held.kind === "draw") {
    const corners = [...within(view, ...held.start), ...within(view, x, y)];
    setRow(view, held.field, held.rows.length, [...corners, ...drawnRest(view)], held.rows);
  }
}

/** What a new box carries: told by the panel, and where a class is chosen on the page, that one at once. */
function drawnRest(view) {
  return view.panel.drawn;
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
  view.page.change(field, [...rows.slice(0, index), row, ...rows.slice(index + 1)]);
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

// -- keys ------------------------------------------------------------------------------------------------------------

function keyed(view, event) {
  if (!view.panel || !isInteractive(view) || event.ctrlKey || event.metaKey) return;
  const done = event.key === "Escape" ? escape(view) : event.key === "Tab" ? next(view, event.shiftKey ? -1 : 1) : edited(view, event);
  if (!done) return;
  event.preventDefault();
  event.stopPropagation();
}

function escape(view) {
  if (view.held) return cancel(view), true;
  if (!view.chosen) return false;
  view.chosen = null;
  view.draw();
  return true;
}

/** Tab goes from box to box and, behind the last one, on to the next control. */
function next(view, step) {
  const boxes = editableBoxes(view);
  const now = boxes.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  const to = now < 0 ? (step > 0 ? 0 : -1) : now + step;
  view.chosen = boxes[to] ?? null;
  view.draw();
  if (view.chosen) announce(view);
  return Boolean(view.chosen);
}

function edited(view, event) {
  const { chosen, page, panel } = view;
  if (panel.draw && (event.key === "Insert" || (event.key === "+" && !chosen))) return added(view);
  const row = chosen && page.value(chosen.field)?.[chosen.row];
  if (row) return boxEdited(view, event, row);
  if (!(event.key in ARROWS)) return false;
  if (panel.pick) return placeMoved(view, event);
  return editableBoxes(view).length ? next(view, event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1) : false;
}

function boxEdited(view, event, row) {
  const { chosen, page } = view;
  const step = grain(view) * (event.shiftKey ? 10 : 1);
  if (event.key in ARROWS) {
    const [dx, dy] = ARROWS[event.key].map((part) => part * step);
    setRow(view, chosen.field, chosen.row, event.altKey ? grown(view, row, [0, 0, dx, dy]) : shifted(view, row, dx, dy));
  } else if (event.key === "+" || event.key === "-") {
    const by = event.key === "+" ? step : -step;
    setRow(view, chosen.field, chosen.row, grown(view, row, [-by, -by, by, by]));
  } else if (["Delete", "Backspace"].includes(event.key) && view.panel.draw === chosen.field) {
    page.change(chosen.field, page.value(chosen.field).filter((_, index) => index !== chosen.row));
    view.chosen = null;
    page.say("box removed");
    return true;
  } else if ((event.key === "Enter" || event.key === " ") && chosen.pick) {
    page.change(chosen.pick, [chosen.row]);
  } else return false;
  announce(view);
  return true;
}

/** A box with its sides moved, at least one step wide and high, and inside the window. */
function grown(view, [x1, y1, x2, y2, ...rest], by) {
  const [left, top] = within(view, x1 + by[0], y1 + by[1]);
  const [right, bottom] = within(view, x2 + by[2], y2 + by[3]);
  const least = grain(view);
  return right - left < least || bottom - top < least ? [x1, y1, x2, y2, ...rest] : [left, top, right, bottom, ...rest];
}

function placeMoved(view, event) {
  const { panel, page } = view;
  const [dx, dy] = ARROWS[event.key].map((part) => part * grain(view) * (event.shiftKey ? 10 : 1));
  const [x, y] = page.value(panel.pick) ?? [panel.left + panel.width / 2 - dx, panel.top + panel.height / 2 - dy];
  choosePlace(view, [x + dx, y + dy]);
  page.say(`at ${page.value(panel.pick).map(written).join(", ")}`);
  return true;
}

function added(view) {
  const { panel, page } = view;
  const rows = page.value(panel.draw) ?? [];
  const [cx, cy] = [panel.left + panel.width / 2, panel.top + panel.height / 2];
  const corners = [...within(view, cx - panel.width / 8, cy - panel.height / 8), ...within(view, cx + panel.width / 8, cy + panel.height / 8)];
  view.chosen = { field: panel.draw, row: rows.length };
  setRow(view, panel.draw, rows.length, [...corners, ...drawnRest(view)]);
  announce(view);
  return true;
}

/** The chosen box in words, for those who do not see it. */
function announce(view) {
  const boxes = editableBoxes(view);
  const index = boxes.findIndex((box) => box.field === view.chosen?.field && box.row === view.chosen?.row);
  if (index < 0) return;
  const [x1, y1, x2, y2] = boxes[index].xyxy.map(written);
  view.page.say(`box ${index + 1} of ${boxes.length}${boxes[index].label && ` ${boxes[index].label}`}: ${x1}, ${y1} to ${x2}, ${y2}`);
}
