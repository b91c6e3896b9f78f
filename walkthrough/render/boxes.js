// Which boxes a panel has at this moment, and what can be done to each.

import { each, sorted } from "./geometry.js";

/**
 * What a click on a mark or row sets its field to: the number in its ref, if that is about the field, or its own.
 * @param {any} part
 * @param {number} index
 */
export function chosenBy(part, index) {
  const [field, at] = (part.refs?.[index] ?? "").split(" ");
  return field === part.pick && at ? Number(at) : index;
}

/**
 * Which row of the field each box of a layer is: usually the same number, or else the row with the same place.
 * @param {Page} page
 * @param {BoxesLayer} layer
 * @returns {number[]}
 */
export function rowsInField(page, layer) {
  const rows = page.model.get("values")[layer.drag] ?? [];
  if (rows.length === layer.xyxy.length) return rows.map((_, index) => index);
  const same = (box) => (row) => box.every((side, k) => Math.abs(side - row[k]) < 0.01);
  return layer.xyxy.map((box) => rows.findIndex(same(box)));
}

/**
 * The boxes of a layer as they are now: where the reader is dragging, ahead of the kernel's answer.
 * @param {View} view
 * @param {BoxesLayer} layer
 * @returns {Sides[]}
 */
export function boxesNow(view, layer) {
  const map = view.maps[view.panel.layers.indexOf(layer)];
  const rows = map && view.page.pending(layer.drag);
  const before = view.page.model.get("values")[layer.drag]?.length ?? 0;
  if (!rows || rows.length < before) return layer.xyxy;
  const kept = layer.xyxy.map((box, index) => sorted(rows[map[index]] ?? box));
  const isFirst = view.panel.layers.find((other) => other.drag === layer.drag) === layer;
  return isFirst ? [...kept, ...rows.slice(before).map(sorted)] : kept;
}

/**
 * What is said of a box that is not seen: its name, or its label and the class that its row carries; and its colour.
 * @param {View} view
 * @param {any} layer
 * @param {number} k
 */
function called(view, layer, k) {
  const { model } = view.page;
  const [name, label] = [each(layer.names ?? [], k, ""), each(layer.labels, k, "")];
  const row = view.maps[view.panel.layers.indexOf(layer)]?.[k] ?? -1;
  const cls = layer.drag && view.page.value(layer.drag)?.[row]?.[4];
  const options = model.get("controls").find((control) => control.name === "new_class")?.options ?? [];
  const word = options[cls] ?? "";
  const told = label.includes(word) ? label : `${label} ${word}`.trim();
  const colour = each(layer.colours, k, "object");
  return layer.drag ? { name: "", label: name || told, colour } : { name, label, colour };
}

/**
 * The boxes of a layer as they are called.
 * @param {View} view
 * @param {BoxesLayer} layer
 */
export function namedBoxes(view, layer) {
  return boxesNow(view, layer).map((xyxy, k) => ({ xyxy, ...called(view, layer, k) }));
}

/**
 * Boxes that can be moved: {field, row, xyxy, pick}, and what they are called.
 * @param {View} view
 * @returns {FoundBox[]}
 */
export function editableBoxes(view) {
  return view.panel.layers
    .flatMap((layer, index) => {
      if (layer.kind !== "Boxes" || !layer.drag) return [];
      const map = view.maps[index];
      const before = view.page.model.get("values")[layer.drag]?.length ?? 0;
      return boxesNow(view, layer).map((xyxy, k) => {
        const row = k < map.length ? map[k] : before + k - map.length;
        return { field: layer.drag, row, xyxy, ...called(view, layer, k), pick: layer.pick };
      });
    })
    .filter((box) => box.row >= 0);
}

/**
 * Boxes that can be clicked: {pick, row, xyxy}, and what they are called.
 * @param {View} view
 * @returns {FoundBox[]}
 */
export function pickableBoxes(view) {
  const layers = view.panel.layers.filter((layer) => layer.kind === "Boxes" && layer.pick);
  const told = (layer) => (xyxy, k) => ({
    pick: layer.pick,
    row: chosenBy(layer, k),
    xyxy,
    ...called(view, layer, k),
  });
  return layers.flatMap((layer) => boxesNow(view, layer).map(told(layer)));
}

/**
 * Those of them that cannot be moved.
 * @param {View} view
 * @returns {FoundBox[]}
 */
export function fixedBoxes(view) {
  const moved = new Set(editableBoxes(view).map((box) => box.pick));
  return pickableBoxes(view)
    .filter((box) => !moved.has(box.pick))
    .map((box) => ({ ...box, field: `pick ${box.pick}` }));
}

/** @param {View} view */
export function isInteractive(view) {
  return Boolean(view.panel.pick || view.panel.draw || view.panel.layers.some((layer) => layer.drag || layer.pick));
}
