// Where the ticks of an axis stand, and what is written at them.

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
