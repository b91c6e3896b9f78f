// The next morning: what is saved of an explorer. A live view is nothing without its kernel: JupyterLab would show
// "model not found" in its place, although the picture is in the same output, because it takes the view where it can.
// So the view stays out of the file: while a notebook is saved, its outputs hold the picture alone, and the metadata of
// the picture say which view it was (base.py). What is on the page stays as it is. A page that is opened again while
// the kernel lives puts its views back. Where the page says nothing of its document, all is saved as it came.

import { shared } from "./page.js";

const VIEW = "application/vnd.jupyter.widget-view+json";

/** Called for each explorer that the page learns of, before it is shown. */
export function initialize({ model }) {
  const manager = model.widget_manager;
  const context = manager?.context; // JupyterLab's and Notebook's: the document and what happens to it
  if (!context?.saveState?.connect || !context.model?.cells) return;
  revive(manager);
  shared.kept ??= new WeakSet(); // the documents that are looked after
  if (shared.kept.has(context)) return;
  shared.kept.add(context);
  let put = () => {};
  context.saveState.connect((_, state) => {
    if (state === "started") put = savePictures(context.model);
    else put();
  });
  context.model.cells.changed.connect(() => setTimeout(() => revive(manager), 0)); // read again from the file
}

/** All outputs of explorers: {cell, index, output}. Their metadata name the view. */
function* outputsOf(notebook) {
  for (const cell of notebook.cells) {
    for (let index = 0; index < (cell.outputs?.length ?? 0); index++) {
      const output = cell.outputs.get(index);
      if (output.metadata?.[VIEW]) yield { cell, index, output };
    }
  }
}

/** Take the views out of what is written to the file, not off the page; returns what puts them back. */
function savePictures(notebook) {
  const live = [...outputsOf(notebook)].filter(({ output }) => VIEW in output.data);
  const write = (isView) => {
    const { dirty } = notebook;
    for (const { cell, index, output } of live) {
      if (cell.outputs?.get(index) !== output) continue; // run again meanwhile
      const { [VIEW]: view, ...data } = output.data;
      const json = { ...output.toJSON(), data: isView ? { ...data, [VIEW]: view } : data };
      cell.sharedModel.updateOutputs(index, index + 1, [json], "silent-change"); // as JupyterLab does itself
    }
    notebook.dirty = dirty;
  };
  write(false);
  return () => write(true);
}

/** Show the views again that are in the metadata alone, where the kernel still knows them. */
async function revive(manager) {
  const notebook = manager.context?.model;
  if (!notebook) return; // closed
  for (const { output } of outputsOf(notebook)) {
    const view = output.metadata[VIEW];
    if (VIEW in output.data || !manager.has_model(view.model_id)) continue;
    const { comm_live: isAlive } = await manager.get_model(view.model_id);
    const { dirty } = notebook;
    if (isAlive) output.setData({ data: { ...output.data, [VIEW]: view } });
    notebook.dirty = dirty; // the file is right as it is
  }
}
