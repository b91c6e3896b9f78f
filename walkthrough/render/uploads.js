// A picture of the reader's own: made smaller here, where it is too large to be sent, and what is said meanwhile.

import { element } from "./dom.js";

const LONGEST = 1600; // pixels of a side: more than any explorer shows
const HEAVIEST = 8e6; // bytes of a file that is sent as it is: a server closes the connection from 10 MB on
const QUALITY = 0.92;
const READABLE = 8000; // milliseconds that what was done stays

/**
 * @param {number} width
 * @param {number} height
 * @returns {[number, number]}
 */
export function fittingSize(width, height) {
  const factor = Math.min(1, LONGEST / Math.max(width, height));
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

/**
 * The bytes to send, and what was done to the picture. Turned as its EXIF says, here or by the kernel.
 * @param {File} file
 * @returns {Promise<{ bytes: ArrayBuffer, said: string }>}
 */
async function prepared(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  const megabytes = `${(file.size / 1e6).toFixed(0)} MB`;
  if (!bitmap && file.size > HEAVIEST) {
    const reason = "this browser cannot read it to make it smaller";
    throw new Error(`${file.name} is not sent: ${reason}, and ${megabytes} are too much. Save it as JPEG or PNG`);
  }
  if (!bitmap) return { bytes: await file.arrayBuffer(), said: file.name }; // the kernel says what is wrong with it
  const size = `${bitmap.width} x ${bitmap.height} px`;
  const [width, height] = fittingSize(bitmap.width, bitmap.height);
  const isSmaller = width < bitmap.width || height < bitmap.height;
  if (!isSmaller && file.size <= HEAVIEST) return { bytes: await file.arrayBuffer(), said: `${file.name}: ${size}` };
  const canvas = element("canvas", { width, height });
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = "#FFFFFF"; // behind what is transparent
  ctx.fillRect(0, 0, width, height);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  const done = isSmaller ? `scaled to ${width} x ${height} px` : `${megabytes}, made smaller as JPEG`;
  return { bytes: await blob.arrayBuffer(), said: `${file.name}: ${size}, ${done}` };
}

/** @param {Page} page */
export function uploadButton(page) {
  const input = element("input", { type: "file", accept: "image/*" });
  input.addEventListener("change", async () => {
    const file = input.files[0];
    input.value = "";
    if (!file) return;
    page.status.working(`reading ${file.name}`);
    try {
      const { bytes, said } = await prepared(file);
      page.status.working(`${said}: sent, waiting for the answer`);
      page.upload(file.name, bytes);
      page.whenAnswered = () => page.status.done(said);
    } catch (problem) {
      page.status.done("");
      page.tell(/** @type {Error} */ (problem).message);
    }
  });
  const title = "a photograph of your own; draw boxes on it with the mouse";
  return element("label", { class: "wt-upload", title }, input, "upload a picture");
}

/** What is being done for the reader, with a bar as long as it takes, and then what was done. */
export function statusView() {
  const [bar, words] = [element("progress", {}), element("span", {})];
  const node = element("div", { class: "wt-status", role: "status", hidden: true }, bar, words);
  let timer = 0;
  let isBusy = false;
  const show = (text, isWorking) => {
    isBusy = false;
    clearTimeout(timer);
    words.textContent = text;
    bar.hidden = !isWorking;
    node.hidden = !text;
  };
  const done = (text) => {
    show(text, false);
    timer = setTimeout(() => (node.hidden = true), READABLE);
  };
  /** Whether the kernel computes longer than a reader takes for an answer; what else is said here comes first. */
  const busy = (isLong) => {
    if (isLong ? !node.hidden : !isBusy) return;
    show(isLong ? "computing ..." : "", true);
    isBusy = isLong;
  };
  return { node, working: (text) => show(text, true), done, busy };
}
