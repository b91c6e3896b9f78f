// Unit tests of what a frozen explorer computes in the browser. Run by make lint-page: node --test.

import assert from "node:assert/strict";
import test from "node:test";
import { frozenModel, putTogether } from "../../walkthrough/render/frozen.js";
import { linearTicks, logTicks, scaleX, scaleY, tickWord } from "../../walkthrough/render/scales.js";
import { stopOf } from "../../walkthrough/render/stops.js";

const chart = { marks: [], x_range: null, y_range: null, y_scale: "linear" };

test("ticks are round numbers within the range", () => {
  assert.deepEqual(linearTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(linearTicks(-3, 12, 3), [0, 5, 10]);
  assert.deepEqual(linearTicks(4, 4, 3), [4]);
  assert.deepEqual(logTicks(0.001, 1000, 10), [0.001, 0.01, 0.1, 1, 10, 100, 1000]);
  assert.deepEqual(logTicks(3, 60, 10), [5, 10, 20, 50]);
});

test("large and small numbers are written with a power of ten", () => {
  assert.equal(tickWord(0.25), "0.25");
  assert.equal(tickWord(-2), "−2");
  assert.equal(tickWord(1e-5), "10⁻⁵");
  assert.equal(tickWord(2.5e7), "2.5×10⁷");
});

test("bars stand on 0, ranges that are given hold", () => {
  const bars = { kind: "Bars", names: ["a", "b"], values: [2, 4] };
  const y = scaleY({ ...chart, marks: [bars] });
  assert.equal(y.low, 0);
  assert.ok(y.high > 4);
  assert.equal(scaleX({ ...chart, marks: [bars] }).high, 1.5);
  const line = { kind: "Series", x: [0, 10], y: [1, { kind: "float", value: "nan" }] };
  const given = { ...chart, marks: [line], x_range: [2, 3], y_range: [0, 5] };
  assert.deepEqual([scaleX(given).low, scaleX(given).high, scaleY(given).high], [2, 3, 5]);
});

test("a part of a scene is put where its number stands, the same object everywhere", () => {
  const [one, two] = putTogether({ parts: [[1, 2], { inner: { $: 0 } }], scenes: [{ a: { $: 1 } }, { a: { $: 1 } }] });
  assert.deepEqual(one, { a: { inner: [1, 2] } });
  assert.equal(one.a, two.a);
});

test("a value is one of the stops, the nearest number, or told by a click's index", () => {
  const control = { values: [1, 4, 8], indices: [1, 4, 8] };
  assert.equal(stopOf(control, 4), 1);
  assert.equal(stopOf(control, 7), 2);
  assert.equal(stopOf(control, "word"), -1);
  const choice = { values: ["0 cup", "3 person"], indices: [0, 3] };
  assert.equal(stopOf(choice, "3 person"), 1);
  assert.equal(stopOf(choice, [3]), 1);
  assert.equal(stopOf(choice, [1]), -1);
});

test("settings, stories and reset lead from scene to scene", async () => {
  const control = (name) => ({ name, values: [1, 2, 3], indices: [1, 2, 3] });
  const scene = (a, b, words) => ({ words, values: { a, b } });
  const grid = [1, 2, 3].flatMap((a) => [1, 2, 3].map((b) => scene(a, b, `${a} ${b}`)));
  const stories = [{ label: "odd", look_for: "it" }];
  const data = { controls: [control("a"), control("b")], start: [1, 1], stories, pictures: { key: "AAE=" } };
  const model = frozenModel({}, data, [...grid, scene(3, 1, "story")]);
  const heard = [];
  model.on("change", () => heard.push(model.get("words")));
  const moved = (number, values) => model.set("moved", { page: "p", number, values });
  assert.equal(model.get("words"), "2 2");
  moved(1, { a: 3 });
  await null;
  moved(2, { b: 1.2 });
  await null;
  model.send({ kind: "story", label: "odd", page: "p", number: 3 });
  await null;
  moved(4, { b: 2 });
  await null;
  model.send({ kind: "action", method: "reset", page: "p", number: 5 });
  await null;
  assert.deepEqual(heard, ["3 2", "3 1", "story", "3 2", "2 2"]);
  assert.deepEqual(model.get("seen"), { page: "p", number: 5 });
  let got = null;
  model.on("msg:custom", (message, buffers) => (got = [message.keys, [...buffers[0]]]));
  model.send({ kind: "need", keys: ["key", "other"] });
  assert.deepEqual(got, [["key"], [0, 1]]);
});
