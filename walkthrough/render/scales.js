// The axes of a chart: from where to where, where ticks stand, and what is written at them.

import { MARKED_POINTS, most } from "./charts.js";
import { finite } from "./words.js";

const STEPS = [1, 2, 5, 10];
const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * Round numbers from low to high, about as many as asked for.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {number[]}
 */
export function linearTicks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * STEPS.find((each) => each * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

/**
 * Powers of ten, and 2 and 5 times them where there are few; low and high are above 0.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 * @returns {number[]}
 */
export function logTicks(low, high, count) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  const parts = powers.length > 3 ? [1] : [1, 2, 5];
  const every = Math.max(1, Math.ceil((powers.length * parts.length) / Math.max(count, 2)));
  const all = powers
    .filter((_, k) => parts.length > 1 || k % every === 0)
    .flatMap((k) => parts.map((m) => m * 10 ** k));
  return all.map((value) => Number(value.toPrecision(12))).filter((v) => v >= low * 0.999 && v <= high * 1.001);
}

/**
 * A number at a tick: large and small ones with a power of ten.
 * @param {number} value
 */
export function tickWord(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e6)) return String(Number(value.toPrecision(6))).replace("-", "−");
  const power = Math.floor(Math.log10(size) + 1e-9);
  const lead = Number((value / 10 ** power).toPrecision(3));
  const raised = [...String(Math.abs(power))].map((digit) => RAISED[Number(digit)]).join("");
  return `${lead === 1 ? "" : `${lead}×`}10${power < 0 ? "⁻" : ""}${raised}`.replace("-", "−");
}

/** From which x to which, and the names under bars. */
export function scaleX(chart) {
  const bars = chart.marks.find((mark) => mark.kind === "Bars");
  if (bars) return { ...widened({ low: -0.5, high: bars.names.length - 0.5 }), names: bars.names };
  const xs = chart.marks.flatMap((mark) => (mark.x ?? mark.edges).map(finite)).filter((value) => value !== null);
  const [low, high] = chart.x_range ?? (xs.length ? [most(xs, 0), most(xs, 1)] : [0, 1]);
  const pad = chart.x_range || !isSparse(chart) ? 0 : 0.03 * (high - low);
  return widened({ low: low - pad, high: high + pad });
}

/** From which y to which; bars stand on 0. */
export function scaleY(chart) {
  const heights = chart.marks.flatMap((mark) => (mark.y ?? mark.values ?? mark.counts).map(finite));
  const known = heights.filter((value) => value !== null);
  const isLog = chart.y_scale === "log" && known.some((value) => value > 0);
  const values = isLog ? known.filter((value) => value > 0) : known;
  const stands = chart.marks.some((mark) => mark.kind !== "Series") && !isLog; // on the axis
  if (stands) values.push(0);
  let [low, high] = chart.y_range ?? (values.length ? [most(values, 0), most(values, 1)] : [0, 1]);
  if (isLog) {
    low = low > 0 ? low : most(values, 0);
    const pad = chart.y_range ? 1 : (high / low) ** 0.05;
    return low < high ? { low: low / pad, high: high * pad, isLog } : { low: low / 2, high: high * 2, isLog };
  }
  if (!chart.y_range) {
    const pad = (stands ? 0.09 : 0.05) * (high - low);
    [low, high] = [stands && low === 0 ? 0 : low - pad, high + pad];
  }
  return widened({ low, high });
}

function widened({ low, high }) {
  return low < high ? { low, high, isLog: false } : { low: low - 0.5, high: high + 0.5, isLog: false };
}

/** How far along an axis a value is, from 0 to 1. */
export function share({ low, high, isLog }, value) {
  return isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

export function ticksOf({ low, high, isLog }, count) {
  return isLog ? logTicks(low, high, count) : linearTicks(low, high, count);
}

export function isSparse(chart) {
  return chart.marks.every((mark) => (mark.x?.length ?? 0) <= MARKED_POINTS);
}
