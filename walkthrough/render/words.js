// Numbers and words as they are written on the page.

/**
 * A number as it is written: at most six significant digits, no noise of binary fractions.
 * @param {any} value
 */
export function written(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value ?? "");
}

/**
 * plotly.js reads some HTML in words: these are not HTML.
 * @param {string} text
 */
export function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export const NOT_FINITE = { nan: NaN, inf: Infinity, "-inf": -Infinity };

/**
 * @param {any} value
 * @returns {number}
 */
export function number(value) {
  return value?.kind === "float" ? NOT_FINITE[value.value] : value;
}

/**
 * @param {any} value
 * @returns {number | null}
 */
export function finite(value) {
  const plainNumber = number(value);
  return Number.isFinite(plainNumber) ? plainNumber : null;
}

/** @param {any} value */
export function significant(value) {
  const plainNumber = number(value);
  return Number.isFinite(plainNumber) ? String(Number(plainNumber.toPrecision(3))) : String(plainNumber).toLowerCase();
}

/** @param {string} word */
export function isNumber(word) {
  const text = word.replaceAll(",", "").replace(/%$/, "");
  return text.trim() !== "" && (Number.isFinite(Number(text)) || /^[+-]?(nan|inf)$/i.test(text));
}
