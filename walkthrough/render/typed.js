// Numbers as readers type them: with a decimal comma, too.

/**
 * What is typed or pasted with a point for its decimal comma; null where a comma may be one of thousands.
 * @param {string} text
 * @returns {string | null}
 */
export function withPoint(text) {
  if (!text.includes(",")) return text;
  const isUnclear = text.split(",").length > 2 || text.includes(".") || /(^|\D)[1-9]\d{0,2},\d{3}\b/.test(text);
  return isUnclear ? null : text.replace(",", ".");
}

/**
 * A field for numbers drops the comma in silence, and 1,5 becomes 15: it becomes a point before.
 * @param {InputEvent} event
 * @param {(sentence: string) => void} refuse
 */
export function decimalComma(event, refuse) {
  const text = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
  if (!text.includes(",")) return;
  event.preventDefault();
  const number = withPoint(text);
  if (number === null) refuse(`${text} can be read in two ways: write it without commas, with a point for decimals`);
  else document.execCommand("insertText", false, number); // the only way that keeps what is selected in such a field
}
