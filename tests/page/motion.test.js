// Unit tests of what moves: the way of a control that plays, the settings of a line that is dragged, a guess compared.

import assert from "node:assert/strict";
import test from "node:test";
import { compared, inSum } from "../../walkthrough/render/guess.js";
import { settingAt, settingBeside } from "../../walkthrough/render/marker.js";
import { valueAfter, wayOf } from "../../walkthrough/render/play.js";

const slider = (low, high, step) => ({ kind: "slider", low, high, step });

test("a slider is played from one end to the other, by its own step", () => {
  assert.deepEqual(wayOf(slider(0, 4, 1)), [0, 1, 2, 3, 4]);
  assert.deepEqual(wayOf(slider(-1, 0, 0.25)), [-1, -0.75, -0.5, -0.25, 0]);
  assert.deepEqual(wayOf(slider(0, 0, 1)), [0]);
});

test("of a long way every second value is shown, every third, and so on; the end always", () => {
  const way = wayOf(slider(0, 300, 1));
  assert.deepEqual([way[1], way.length, way.at(-1)], [5, 61, 300]);
  assert.deepEqual(wayOf(slider(0, 61, 1)).slice(-2), [60, 61]);
});

test("the next value is beyond this one, wherever that was scrubbed to; behind the end there is none", () => {
  assert.equal(valueAfter(slider(0, 300, 1), 7), 10);
  assert.equal(valueAfter(slider(0, 20, 1), 19), 20);
  assert.equal(valueAfter(slider(0, 20, 1), 20), undefined);
});

test("choices and frozen values are played in their order", () => {
  const choice = { kind: "choice", options: ["0 Conv", "1 C3", "2 SPPF"] };
  assert.equal(valueAfter(choice, "1 C3"), "2 SPPF");
  assert.equal(valueAfter(choice, "2 SPPF"), undefined);
  const stops = { kind: "stops", values: [0, 4, 20], indices: [0, 4, 20] };
  assert.equal(valueAfter(stops, 5), 20); // the nearest one of a story's
  assert.equal(valueAfter(stops, 20), undefined);
});

const line = { places: [] };
const places = [
  [0.2, 0.9],
  [0.5, 0.6],
  [0.8, 0.1],
];

test("a line is dragged to what its control can be", () => {
  assert.equal(settingAt(line, slider(0, 100, 1), 41.6), 42);
  assert.equal(settingAt(line, slider(1.1, 10, 0.1), 2.34), 2.3);
  assert.equal(settingAt(line, slider(1.1, 10, 0.1), 99), 10);
  assert.equal(settingAt(line, { values: [1.5, 4, 8] }, 5), 4); // frozen
});

test("where the setting is no number of the axis, the nearest place says it", () => {
  const recall = { places };
  assert.equal(settingAt(recall, slider(0, 1, 0.005), 0.6), 0.6);
  assert.equal(settingAt(recall, slider(0, 1, 0.005), 1), 0.1);
  assert.equal(settingBeside(recall, slider(0, 1, 0.005), 0.55, 1), 0.1); // to the right on the axis
  assert.equal(settingBeside(recall, slider(0, 1, 0.005), 0.55, -10), 0.9);
});

test("a key moves a line by the control's step", () => {
  assert.equal(settingBeside(line, slider(0, 100, 1), 41, 10), 51);
  assert.equal(settingBeside(line, slider(0, 100, 1), 0, -1), 0);
  assert.equal(settingBeside(line, { values: [1.5, 4, 8] }, 4, 1), 8);
});

test("a guess is compared answer by answer", () => {
  const right = [true, true, false, false];
  assert.deepEqual(compared(right, new Set([0, 2])), ["hit", "missed", "wrong", "rest"]);
  assert.equal(inSum(right, new Set([0, 2])), "2 of 4 right, 1 missed, 1 chosen wrongly");
  assert.equal(inSum(right, new Set([0, 1])), "4 of 4 right");
});
