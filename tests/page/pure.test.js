// Unit tests of what the page computes without a browser. Run by make lint-page: node --test.

import assert from "node:assert/strict";
import test from "node:test";
import { colourOf, readableOn } from "../../walkthrough/render/colours.js";
import {
  grown,
  partAt,
  placeLabel,
  rectOf,
  resized,
  shifted,
  snapped,
  within,
} from "../../walkthrough/render/geometry.js";
import { aspectOf, rowHeights, rowSizes } from "../../walkthrough/render/places.js";
import { withPoint } from "../../walkthrough/render/typed.js";
import { fittingSize } from "../../walkthrough/render/uploads.js";
import { finite, isNumber, number, plain, significant, written } from "../../walkthrough/render/words.js";

const panel = { kind: "Panel", left: 10, top: 20, width: 100, height: 50 };
const view = { panel, scale: 2 };

test("numbers are written without the noise of binary fractions", () => {
  assert.equal(written(0.1 + 0.2), "0.3");
  assert.equal(written(1234567), "1234570");
  assert.equal(written(undefined), "");
  assert.equal(written("word"), "word");
});

test("what JSON has no number for comes back as one", () => {
  assert.equal(number({ kind: "float", value: "-inf" }), -Infinity);
  assert.equal(finite({ kind: "float", value: "nan" }), null);
  assert.equal(finite(2), 2);
  assert.equal(significant({ kind: "float", value: "inf" }), "infinity");
  assert.equal(significant(0.123456), "0.123");
});

test("columns of numbers are told from columns of words", () => {
  for (const word of ["1", "-2.5", "1,000", "45%", "nan", "-inf", "1e-5"]) assert.ok(isNumber(word), word);
  for (const word of ["", " ", "a", "1 x", "%", "12 px"]) assert.ok(!isNumber(word), word);
});

test("no word is HTML", () => assert.equal(plain("a < b & c > d"), "a &lt; b &amp; c &gt; d"));

test("a colour is a meaning, a class or itself", () => {
  const look = { classes: ["#111111", "#222222"], meaning: { own: "#56B4E9" } };
  assert.equal(colourOf(look, "own"), "#56B4E9");
  assert.equal(colourOf(look, 3), "#222222");
  assert.equal(colourOf(look, "#D55E00"), "#D55E00");
});

test("words on a colour can be read", () => {
  assert.equal(readableOn("#F0E442"), "#000000");
  assert.equal(readableOn("#0072B2"), "#FFFFFF");
});

test("a box in the panel's pixels has its place on the page", () => {
  assert.deepEqual(rectOf(view, [10, 20, 60, 45]), [0, 0, 100, 50]);
});

test("a label goes over its box, or where there is room", () => {
  const room = [0, 0, 200, 100];
  assert.deepEqual(placeLabel([20, 40, 50, 50], [30, 16], room, []), [20, 24, 30, 16]);
  assert.deepEqual(placeLabel([20, 5, 50, 50], [30, 16], room, []), [20, 5, 30, 16]); // not above the picture
  assert.deepEqual(placeLabel([190, 40, 50, 50], [30, 16], room, []), [170, 24, 30, 16]); // not beside it
  assert.deepEqual(placeLabel([20, 40, 50, 50], [30, 16], room, [[20, 24, 30, 16]]), [20, 40, 30, 16]);
});

test("the pointer takes corners, edges and the body of a box", () => {
  const box = { xyxy: [30, 30, 80, 60] };
  assert.equal(partAt(view, box, [30, 30], 6), "x1 y1");
  assert.equal(partAt(view, box, [80, 45], 6), "x2");
  assert.equal(partAt(view, box, [55, 45], 6), "");
  assert.equal(partAt(view, box, [20, 45], 6), null);
});

test("a box stays in the window when it is moved, and keeps its class", () => {
  assert.deepEqual(shifted(view, [30, 30, 80, 60, 7], 5, -4), [35, 26, 85, 56, 7]);
  assert.deepEqual(shifted(view, [30, 30, 80, 60, 7], 500, 500), [60, 40, 110, 70, 7]);
  assert.deepEqual(shifted(view, [30, 30, 80, 60, 7], -500, -500), [10, 20, 60, 50, 7]);
});

test("a box is resized by the side that is held", () => {
  assert.deepEqual(resized(view, [30, 30, 80, 60], "x2 y1", [90.4, 24.6]), [30, 25, 90, 60]);
  assert.deepEqual(resized(view, [30, 30, 80, 60], "x1", [-50, 0]), [10, 30, 80, 60]);
});

test("a box gets no smaller than a step", () => {
  assert.deepEqual(grown(view, [30, 30, 80, 60], [1, 1, -1, -1]), [31, 31, 79, 59]);
  assert.deepEqual(grown(view, [30, 30, 31, 31], [1, 1, -1, -1]), [30, 30, 31, 31]);
});

test("places are whole pixels, or parts of one where pixels are large", () => {
  assert.equal(snapped(view, 3.4), 3);
  assert.equal(snapped({ panel, scale: 10 }, 3.44), 3.4);
  assert.deepEqual(within(view, -5, 1000), [10, 70]);
});

const chart = { kind: "Chart", legend: "inside", marks: [{ names: ["a", "b"] }] };
const table = { kind: "Table" };

test("charts are wide where bars are many, pictures as they are", () => {
  assert.equal(aspectOf(chart), 1.6);
  assert.equal(aspectOf({ ...chart, marks: [{ names: Array(6) }, { names: Array(6) }] }), 2.9);
  assert.equal(aspectOf({ ...chart, legend: "beside" }), 2.1);
  assert.equal(aspectOf(panel), 2);
  assert.equal(aspectOf(table), 0);
});

test("a row fills the width but for limits", () => {
  const square = { kind: "Panel", width: 10, height: 10 };
  assert.deepEqual(rowHeights([[square, square]], [[null, null]], 416), [200]);
  assert.deepEqual(rowHeights([[square]], [[null]], 872), [380]);
  assert.deepEqual(rowHeights([[square], [square]], [[null], [null]], 872), [300, 300]); // one scale for both
  assert.deepEqual(rowHeights([[chart, table]], [[null, 600]], 872), [300]); // the table goes below
});

test("charts alone in a row are stretched, source takes what is left", () => {
  assert.deepEqual(rowSizes([chart, chart], [null, null], 200, 872), [
    { width: 428, height: 200 },
    { width: 428, height: 200 },
  ]);
  const code = { kind: "Code", lines: ["a", "b"] };
  assert.deepEqual(rowSizes([code, table], [300, 200], 0, 872)[0], { width: 656, height: 52, free: 656 });
  assert.equal(rowSizes([code, table], [300, 700], 0, 872)[0].width, 872); // below the table
  assert.equal(rowSizes([code, table], [300, 200], 0, 872, 500)[0].width, 500); // as wide as it was
  const rows = (line) => (rowSizes([{ ...code, lines: [line] }], [300], 0, 872)[0].height - 14) / 19;
  const letters = ["x", "ｱ", "日", "あ", "한", "。", "Ａ", "🚲"].map((letter) => rows(letter.repeat(100)));
  assert.deepEqual(letters, [1, 1, 2, 2, 2, 2, 2, 2]); // 113 columns: wide letters fill two
});

test("a decimal comma is a point; a comma of thousands is not guessed at", () => {
  assert.deepEqual(["1,5", ",", "-0,25", "0,125"].map(withPoint), ["1.5", ".", "-0.25", "0.125"]);
  assert.deepEqual(["1,000", "1,000.5", "1,0,0", "12,345,678"].map(withPoint), [null, null, null, null]);
});

test("pictures are made smaller, never larger", () => {
  assert.deepEqual(fittingSize(6000, 4000), [1600, 1067]);
  assert.deepEqual(fittingSize(800, 20000), [64, 1600]);
  assert.deepEqual(fittingSize(1600, 900), [1600, 900]);
  assert.deepEqual(fittingSize(1, 100000), [1, 1600]);
});
