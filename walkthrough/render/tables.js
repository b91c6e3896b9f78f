// Tables, heat maps and source lines as HTML.

function isNumber(word) {
  const text = word.replaceAll(",", "").replace(/%$/, "");
  return text.trim() !== "" && (Number.isFinite(Number(text)) || /^[+-]?(nan|inf)$/i.test(text));
}

/** Makes a row or a line a thing that is clicked, or reached by Tab and chosen by Enter; arrows go up and down. */
function pickable(node, name, press) {
  node.classList.add("wt-pickable");
  node.tabIndex = 0;
  node.setAttribute("aria-label", name);
  node.addEventListener("click", press);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") press();
    else if (event.key === "ArrowDown") node.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") node.previousElementSibling?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function tableView(page) {
  const head = element("thead", {});
  const body = element("tbody", {});
  const table = element("table", { class: "wt-table" }, head, body);
  const node = element("div", { class: "wt-scroll" }, table);
  let shown = "";
  let widest = 0;
  const show = (panel) => {
    const signature = JSON.stringify([panel.columns, panel.rows, panel.marked, panel.pick, page.value(panel.pick)]);
    if (signature === shown) return;
    shown = signature;
    const right = panel.columns.map((_, column) => panel.rows.length > 0 && panel.rows.every((row) => isNumber(row[column])));
    const cell = (tag) => (word, column) => element(tag, { class: right[column] && "wt-right", scope: tag === "th" && "col" }, word);
    head.replaceChildren(element("tr", {}, ...panel.columns.map(cell("th"))));
    const focused = [...body.children].indexOf(document.activeElement);
    body.replaceChildren(...panel.rows.map((row, index) => tableRow(page, panel, index, row.map(cell("td")))));
    if (focused >= 0) body.children[Math.min(focused, body.children.length - 1)]?.focus({ preventScroll: true });
    const first = body.children[panel.marked[0]];
    if (first && focused < 0) keepInView(node, first);
    widest = Math.max(widest, table.offsetWidth); // numbers that grow by a digit must not move what stands beside
    table.style.minWidth = `${widest}px`;
  };
  return { node, show, width: () => Math.max(widest, table.offsetWidth) + 2 };
}

function tableRow(page, panel, index, cells) {
  const marked = panel.marked.includes(index);
  const chosen = panel.pick && page.value(panel.pick)?.[0] === index;
  const row = element("tr", { class: [marked && "wt-marked", chosen && "wt-chosen"].filter(Boolean).join(" ") }, ...cells);
  if (marked) row.setAttribute("aria-current", "true");
  if (panel.pick) pickable(row, `row ${index + 1}: ${panel.rows[index].join(", ")}`, () => page.change(panel.pick, [index]));
  return row;
}

/** Scroll a box of our own, never the page. */
function keepInView(scroller, node) {
  const [top, bottom] = [node.offsetTop - 40, node.offsetTop + node.offsetHeight + 40];
  if (top < scroller.scrollTop) scroller.scrollTop = Math.max(top, 0);
  else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
}

function heatView(page) {
  const body = element("tbody", {});
  const foot = element("tfoot", {});
  const table = element("table", { class: "wt-heat" }, body, foot);
  const scale = element("div", { class: "wt-scale", "aria-hidden": true });
  const node = element("div", { class: "wt-heat-frame" }, table, scale);
  let shown = "";
  let widest = 0;
  const shade = (value) => page.look.shades[Math.round(Math.min(Math.max(finite(value) ?? 0, 0), 1) * (page.look.shades.length - 1))];
  const show = (panel) => {
    const signature = JSON.stringify(panel);
    if (signature === shown) return;
    shown = signature;
    const side = Math.min(92, Math.max(7, 660 / Math.max(panel.columns.length, panel.rows.length, 1)));
    const [height, size] = [Math.min(side, 36), Math.min(12, Math.max(Math.min(side, 36) * 0.8, 7))];
    const worded = panel.words.flat().every((word) => word.length * size * 0.62 < side - 2);
    const upright = panel.columns.some((name) => name.length * size * 0.62 > side - 4);
    table.style.cssText = `--side: ${side}px; --height: ${height}px; --size: ${size}px`;
    const cell = (value, row, column) => {
      const title = `${panel.rows[row]}, ${panel.columns[column]}: ${panel.words[row][column]}`;
      const paint = shade(value);
      return element("td", { title, style: `background: ${paint}; color: ${readableOn(paint)}` }, worded ? panel.words[row][column] : element("span", { class: "wt-hidden" }, panel.words[row][column]));
    };
    const rows = panel.shades.map((values, row) => element("tr", {}, element("th", { scope: "row" }, panel.rows[row]), ...values.map((value, column) => cell(value, row, column))));
    if (panel.row_label && rows.length) rows[0].prepend(element("th", { class: "wt-axis", rowspan: rows.length }, element("span", {}, panel.row_label)));
    body.replaceChildren(...rows);
    const names = panel.columns.map((name) => element("th", { scope: "col", class: upright && "wt-upright" }, element("span", {}, name)));
    const lead = panel.row_label ? 2 : 1;
    const below = [element("tr", {}, element("td", { colspan: lead }), ...names)];
    if (panel.column_label) below.push(element("tr", {}, element("td", { colspan: lead }), element("th", { colspan: panel.columns.length || 1 }, panel.column_label)));
    foot.replaceChildren(...below);
    const ramp = `linear-gradient(to top, ${page.look.shades.join(", ")})`;
    const bar = element("div", { class: "wt-ramp", style: `height: ${Math.max(panel.rows.length * height, 60)}px; background: ${ramp}` });
    scale.replaceChildren(bar, element("div", { class: "wt-ends" }, element("span", {}, "1"), element("span", { class: "wt-axis" }, panel.scale_label), element("span", {}, "0")));
    widest = Math.max(widest, table.offsetWidth + 60);
  };
  return { node, show, width: () => Math.max(widest, table.offsetWidth + 60) };
}

function codeView(page) {
  const list = element("div", { class: "wt-lines", role: "list" });
  const node = element("div", { class: "wt-scroll wt-source" }, list);
  let shown = "";
  let lines = "";
  const build = (panel) => {
    const digits = String(panel.first + panel.lines.length).length;
    list.style.setProperty("--digits", `${digits}ch`);
    list.replaceChildren(...panel.lines.map((text, index) => {
      const line = panel.first + index;
      const row = element("div", { class: "wt-line", role: "listitem" }, element("span", { class: "wt-mark", "aria-hidden": true }), element("span", { class: "wt-line-number" }, String(line)), element("code", {}, text || " "));
      if (panel.pick) pickable(row, `line ${line}: ${text.trim()}`, () => page.change(panel.pick, [line]));
      return row;
    }));
  };
  const show = (panel, width, height) => {
    if (width) node.style.width = `${width}px`;
    if (height) node.style.height = `${height}px`;
    const source = JSON.stringify([panel.lines, panel.first, panel.pick]);
    if (source !== lines) build(panel);
    const signature = JSON.stringify([source, panel.lit, panel.marked, panel.failed]);
    if (signature === shown) return;
    [lines, shown] = [source, signature];
    for (const [index, row] of [...list.children].entries()) {
      const line = panel.first + index;
      const lit = line === panel.lit;
      row.classList.toggle("wt-lit", lit);
      row.classList.toggle("wt-failed", lit && panel.failed);
      row.classList.toggle("wt-stop", panel.marked.includes(line));
      row.querySelector(".wt-mark").textContent = panel.marked.includes(line) ? "●" : lit ? (panel.failed ? "✕" : "▸") : "";
      if (lit) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      if (lit) keepInView(node, row);
    }
  };
  return { node, show };
}
