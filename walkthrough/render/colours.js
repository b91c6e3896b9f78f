// Colours by meaning, and what can be read on them.

/**
 * Black or white, whichever stands out more on a colour (relative luminance, WCAG 2.1).
 * @param {string} paint
 */
export function readableOn(paint) {
  const channels = [1, 3, 5].map((start) => parseInt(paint.slice(start, start + 2), 16) / 255);
  const [red, green, blue] = channels.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#FFFFFF";
}

/**
 * A meaning ("own"), a class index or "#RRGGBB" as "#RRGGBB": colour of walkthrough.style.
 * @param {Look} look
 * @param {string | number} value
 */
export function colourOf(look, value) {
  return typeof value === "number" ? look.classes[value % look.classes.length] : (look.meaning[value] ?? value);
}
