// How large the panels of a scene are, in the numbers and the order of walkthrough/render/layout.py: the PNG and the page
// put them at the same places. Only what words fill, tables and heat maps, is as large as the browser makes it.

export const WIDEST = 960;
export const NARROW = 560; // below it panels stand one under the other, but for pairs of pictures
export const ROOMY = 720; // below it charts that would get too low stand one under the other, and tables are folded
const GAP = 16;
const LINE = 19; // pixels of a line of source
export const LEAST_CODE = 300; // width of source beside something else
const LEAST_CHART = 320; // width of a chart beside tables
const TALLEST = { picture: 380, several: 300, chart: 300, code: 394 };
const BETWEEN = 59; // of two rows: caption, gap and title
const LEAST_PICTURE = 100; // height of pictures in rows that share a height
const LEAST_PLOT = 160; // height of charts: lower ones have room for their axes alone
const PAIRED = { aspect: 1.5, width: 400 }; // pictures that are side by side on a narrow page, and from which width on
const STRETCH = 2.1; // how much wider than it is wont to be a chart gets, to fill a row
const CODE_EDGES = 14; // above and below the lines
const MANY_BARS = 10;
// Of source, as in walkthrough/render/code.py: beside the text, a character, and what is left of it in the next row.
const [GUTTER, CHARACTER, HANGING] = [26, 0.602 * 12, 4];

/** @param {ScenePanel} panel */
export function isWords(panel) {
  return ["Table", "HeatMap", "Guess"].includes(panel.kind);
}

/** @param {ScenePanel} panel */
export function aspectOf(panel) {
  if (panel.kind !== "Panel" && panel.kind !== "Chart") return 0;
  if (panel.kind === "Panel") return panel.width / panel.height;
  if (panel.legend === "beside") return 2.1;
  const bars = panel.marks.reduce((sum, mark) => sum + (mark.names?.length ?? 0), 0);
  return bars <= MANY_BARS ? 1.6 : 2.9;
}

/**
 * The rows of a page that is too narrow for those that are given.
 * @param {ScenePanel[][]} rows
 * @param {number} width
 * @returns {ScenePanel[][]}
 */
export function narrowRows(rows, width) {
  if (width >= ROOMY) return rows;
  return rows.flatMap((row) => {
    if (width < NARROW) return inPairs(row, width);
    if (!isLow(row, width)) return [row];
    const [charts, others] = [row.filter(isChart), row.filter((panel) => !isChart(panel))];
    return others.length ? [others, charts] : inPairs(row, width);
  });
}

/** @param {ScenePanel} panel */
function isChart(panel) {
  return panel.kind === "Chart";
}

/** Whether it is a row of charts, or of pictures and charts, in which the charts would get too low. */
function isLow(row, width) {
  const aspects = row.reduce((sum, panel) => sum + aspectOf(panel), 0);
  return row.some(isChart) && !row.some(isWords) && (width - GAP * (row.length - 1)) / aspects < LEAST_PLOT;
}

function inPairs(row, width) {
  const isHalf = (panel) => panel?.kind === "Panel" && aspectOf(panel) <= PAIRED.aspect && width >= PAIRED.width;
  const rows = [];
  for (const panel of row) {
    const before = rows.at(-1);
    if (before?.length === 1 && isHalf(before[0]) && isHalf(panel)) before.push(panel);
    else rows.push([panel]);
  }
  return rows;
}

/**
 * Rows fill the width, but for limits; rows of pictures of one size share one scale.
 * @param {ScenePanel[][]} rows
 * @param {any} own
 * @param {number} width
 * @returns {number[]}
 */
export function rowHeights(rows, own, width) {
  const heights = rows.map((row, r) => {
    const taken = own[r].reduce((sum, part) => sum + (part ?? 0), 0);
    const free = width - GAP * (row.length - 1) - taken;
    const drawn = row.filter((_, c) => own[r][c] === null);
    const aspects = drawn.reduce((sum, panel) => sum + aspectOf(panel), 0);
    const charts = drawn.filter((panel) => panel.kind === "Chart").length;
    const isTight = free < Math.max(0.3 * width, charts * LEAST_CHART);
    const room = isTight ? width - GAP * (drawn.length - 1) : free; // too little: tables go below
    const tallest = row.some((panel) => panel.kind === "Panel") ? TALLEST.picture : TALLEST.chart;
    return aspects ? Math.min(room / aspects, tallest) : 0;
  });
  const sizes = rows.map((row) => {
    const all = new Set(row.map((panel) => (panel.kind === "Panel" ? `${panel.width} ${panel.height}` : "")));
    return all.size === 1 ? [...all][0] : "";
  });
  return heights.map((height, r) => {
    const together = heights.filter((_, other) => sizes[other] === sizes[r]);
    return sizes[r] && together.length > 1 ? Math.min(...together, TALLEST.several) : height;
  });
}

/**
 * How many rows source takes at a width: long lines go on below, folded ones are one row.
 * @param {ScenePanel} panel
 * @param {number} width
 */
export function rowsOfCode(panel, width) {
  const digits = String(panel.first + panel.lines.length).length;
  const longest = Math.max(Math.floor((width - GUTTER - digits * CHARACTER) / CHARACTER - 2.5), 1);
  const folded = (panel.folded ?? []).filter(([first, last]) => !(first <= panel.lit && panel.lit <= last));
  const hidden = (line) => folded.some(([first, last]) => first <= line && line <= last);
  const rows = panel.lines.map((text, index) => (hidden(panel.first + index) ? 0 : rowsOfLine(text, longest)));
  return rows.reduce((sum, count) => sum + count, folded.length);
}

/** As walkthrough/render/code.py breaks it: at spaces, where there are any. */
function rowsOfLine(text, longest) {
  let rest = text.replaceAll("\t", "    ").trimEnd();
  const indentOf = (line) => line.length - line.trimStart().length;
  const indent = indentOf(rest) + HANGING <= longest / 2 ? indentOf(rest) + HANGING : 0;
  let rows = 1;
  for (let fits = fitting(rest, longest); fits < rest.length; fits = fitting(rest, longest)) {
    rows++;
    const start = indentOf(rest);
    const space = rest.lastIndexOf(" ", fits);
    const end = space > start ? space : Math.max(fits, start + 1);
    rest = " ".repeat(indent) + rest.slice(end).trimStart();
  }
  return rows;
}

const EAST_ASIAN = "\\p{scx=Han}\\p{scx=Hiragana}\\p{scx=Katakana}\\p{scx=Hangul}\\u3000\\uFF01-\\uFF60";
const WIDE = new RegExp(`(?![\\uFF61-\\uFFDC])[${EAST_ASIAN}\\p{Emoji_Presentation}]`, "u"); // FF61: half-width forms

/** How much of a text fits into so many columns: letters of East Asia and emoji fill two. */
function fitting(text, columns) {
  let [taken, fits] = [0, 0];
  for (const letter of text) {
    taken += WIDE.test(letter) ? 2 : 1;
    if (taken > Math.max(columns, 2)) break; // 2: room for any letter
    fits += letter.length;
  }
  return fits;
}

/**
 * Rows of the stage together are as high as one row may be, whatever the settings make of them.
 * @param {ScenePanel[][]} rows
 * @param {number[]} heights
 * @param {number} [hold]
 * @returns {number[]}
 */
export function sharedHeights(rows, heights, hold = 0) {
  const drawn = heights.filter((height) => height > 0).length;
  const each = ((hold || TALLEST.picture) - (drawn - 1) * BETWEEN) / Math.max(drawn, 1);
  const least = rows.map((row) => (row.some((panel) => panel.kind === "Chart") ? LEAST_PLOT : LEAST_PICTURE));
  return heights.map((height, r) => Math.min(height, Math.max(each, least[r])));
}

/**
 * Width and height of each panel of a row; no height where words decide.
 *
 * own: the widths of what words fill, null for the others; mostCode: source gets no wider than this.
 * @param {ScenePanel[]} row
 * @param {any} own
 * @param {number} height
 * @param {number} width
 * @param {number} [mostCode]
 */
export function rowSizes(row, own, height, width, mostCode = width) {
  const gaps = GAP * (row.length - 1);
  const aspects = row.reduce((sum, panel) => sum + aspectOf(panel), 0);
  const stretched = row.every((panel) => panel.kind === "Chart") ? (width - gaps) / aspects : 0;
  const widths = row.map((panel, c) => (panel.kind === "Code" ? 0 : (own[c] ?? aspectOf(panel) * height)));
  const free = Math.min(width - widths.reduce((sum, part) => sum + part, gaps), mostCode);
  return row.map((panel, c) => {
    if (isWords(panel)) return { width: own[c], height: null };
    if (panel.kind !== "Code") {
      const wide = aspectOf(panel) * Math.max(height, Math.min(stretched, STRETCH * height));
      return { width: Math.floor(wide), height: Math.round(height) };
    }
    const wide = Math.floor(free >= LEAST_CODE ? free : width);
    const high = Math.min(TALLEST.code, LINE * Math.max(rowsOfCode(panel, wide), 1) + CODE_EDGES);
    return { width: wide, height: high, free };
  });
}
