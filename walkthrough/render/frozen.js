// A frozen explorer: the live page with a model that has every scene and asks no kernel (walkthrough/frozen).

import { element } from "./dom.js";
import { render } from "./live.js";
import { shared } from "./page.js";
import { plotView } from "./plots.js";
import { stopOf } from "./stops.js";

const OLD = "This browser is too old to unpack the pictures of this explorer: any of 2023 or later shows them.";
const FROZEN =
  "Computed beforehand, for these values. In a notebook all settings move: the code above is where to start.";
const BROKEN = "This explorer cannot be shown: what it is made of is not whole.";
const FETCHED = "800px"; // of a page: explorers further away than this are not fetched yet

/** The scenes in JSON: each part is put where {"$": its number} stands for it, and is the same object everywhere. */
export function putTogether({ parts, scenes }) {
  const whole = [];
  const put = (value) => {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(put);
    if ("$" in value) return whole[value.$];
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, put(part)]));
  };
  for (const part of parts) whole.push(put(part));
  return scenes.map(put);
}

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function unpacked(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return putTogether(JSON.parse(await new Response(stream).text()));
}

/** What the page takes for the kernel's side of an explorer. */
export function frozenModel(look, data, scenes) {
  const { controls, stories } = data;
  const heard = new Map();
  const own = { look, controls, actions: [], uploads: false, opened: [], seen: {}, moved: {} };
  const inGrid = scenes.length - stories.length;
  const sceneAt = (places) => places.reduce((flat, place, k) => flat * controls[k].values.length + place, 0);
  let places = [...data.start];
  let now = controls.length ? sceneAt(places) : 0;
  const tell = (event, ...given) => heard.get(event)?.forEach((hear) => hear(...given));
  const show = (scene, { page, number }) => {
    now = scene;
    own.seen = { page, number };
    queueMicrotask(() => tell("change"));
  };
  const move = ({ values, page, number }) => {
    places = places.map((place, k) => {
      const stop = controls[k].name in values ? stopOf(controls[k], values[controls[k].name]) : place;
      return stop < 0 ? place : stop;
    });
    show(sceneAt(places), { page, number });
  };
  const story = (label, asked) => {
    const found = stories.findIndex((other) => other.label === label);
    if (found < 0) return;
    const { values } = scenes[inGrid + found];
    places = controls.map((control) => Math.max(stopOf(control, values[control.name]), 0));
    show(inGrid + found, asked);
  };
  const ASKED = {
    action: (message) => {
      places = [...data.start];
      show(controls.length ? sceneAt(places) : 0, message);
    },
    story: (message) => story(message.label, message),
    need: ({ keys }) => {
      const found = keys.filter((key) => key in data.pictures);
      tell(
        "msg:custom",
        { kind: "pictures", keys: found },
        found.map((key) => bytesOf(data.pictures[key])),
      );
    },
  };
  return {
    painters: { Chart: plotView },
    get: (name) => (name in own ? own[name] : scenes[now][name]),
    set: (name, value) => {
      own[name] = value;
      if (name === "moved") move(value);
      else queueMicrotask(() => tell("change"));
    },
    save_changes: () => {},
    send: (message) => ASKED[message.kind]?.(message),
    on: (event, hear) => heard.set(event, [...(heard.get(event) ?? []), hear]),
    off: (event, hear) =>
      heard.set(
        event,
        (heard.get(event) ?? []).filter((other) => other !== hear),
      ),
  };
}

/** What an explorer is made of: in its place on the page, or in a file of its own, fetched when it comes near. */
function dataOf(host) {
  const held = host.querySelector("script[type='application/json']");
  if (held) return Promise.resolve(JSON.parse(held.textContent));
  return new Promise((resolve, reject) => {
    const fetched = element("script", { src: host.dataset.src });
    fetched.addEventListener("load", () => (fetched.frozen ? resolve(fetched.frozen) : reject(new Error(BROKEN))));
    fetched.addEventListener("error", () => reject(new Error(`${host.dataset.src} is not there`)));
    const eye = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        eye.disconnect();
        document.head.append(fetched);
      },
      { rootMargin: FETCHED },
    );
    eye.observe(host);
  });
}

async function wake(host, look) {
  host.dataset.awake = "";
  const tellWhy = (sentence) => host.append(element("p", { class: "wt-frozen-why", role: "alert" }, sentence));
  if (!globalThis.DecompressionStream) return tellWhy(OLD);
  try {
    const data = await dataOf(host);
    const scenes = await unpacked(data.scenes);
    host.replaceChildren();
    render({ model: frozenModel(look, data, scenes), el: host });
    host.querySelector(".wt").append(element("p", { class: "wt-hint" }, FROZEN));
  } catch (problem) {
    tellWhy(problem instanceof Error ? problem.message : BROKEN);
  }
}

/** Wake all that sleep on this page: now, and when the rest of it has come. */
export function wakeAll({ look, styles }) {
  if (!shared.styled) document.head.append((shared.styled = element("style", {}, styles)));
  const all = () => {
    for (const host of document.querySelectorAll(".wt-frozen:not([data-awake])")) wake(host, look);
  };
  all();
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
}
