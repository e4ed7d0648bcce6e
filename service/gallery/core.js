"use strict";
// What the page knows: the feed, the choices of whoever looks, and how a picture is put together. Nothing is fetched
// but the feed's two files and the pictures, all of which lie beside this page.

const $ = (id) => document.getElementById(id);
const STEM = document.documentElement.dataset.stem;
const FORMAT = 1;
// How often the small file is looked at that says whether the feed has changed, in ms: while a photo is in hand, while
// one may come, and when nothing does any more.
const LOOK_BUSY = 150, LOOK_LIVE = 500, LOOK_STILL = 2500;

const store = {
  get(key, or) { try { return JSON.parse(localStorage.getItem(`cutoutd ${STEM} ${key}`)) ?? or; } catch { return or; } },
  set(key, value) { try { localStorage.setItem(`cutoutd ${STEM} ${key}`, JSON.stringify(value)); } catch { /* a private window */ } },
};

function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") one.textContent = value;
    else if (name === "class") one.className = value;
    else if (value !== false && value !== null) one.setAttribute(name, value === true ? "" : value);
  }
  one.append(...children);
  return one;
}

// --- what can be chosen ----------------------------------------------------------------------------------------------

const GROUNDS = ["checker", "white", "grey", "black", "colour"];
const choice = {
  view: store.get("view", "after"), ground: store.get("ground", "checker"), colour: store.get("colour", "#2d6a8e"),
  label: store.get("label", ""), filter: "all", size: store.get("size", 240), large: store.get("large", true),
};

function choose(name, value) {
  choice[name] = value;
  if (name !== "filter") store.set(name, value);
  dress();
}

function dress() {
  const root = document.documentElement.classList;
  for (const view of ["before", "both", "after"]) root.toggle(`as-${view}`, choice.view === view);
  for (const ground of GROUNDS) root.toggle(`on-${ground}`, choice.ground === ground);
  document.documentElement.style.setProperty("--colour", choice.colour);
  document.documentElement.style.setProperty("--tile", `${choice.size}px`);
  for (const one of $("view").children) one.setAttribute("aria-pressed", one.dataset.view === choice.view);
  for (const one of $("ground").querySelectorAll("button")) one.setAttribute("aria-pressed", one.dataset.ground === choice.ground);
  $("colour").parentElement.classList.toggle("on", choice.ground === "colour");
  $("colour").value = choice.colour;
  $("size").value = choice.size;
  $("large").setAttribute("aria-pressed", choice.large);
}

// --- the feed --------------------------------------------------------------------------------------------------------

let feed = { format: FORMAT, photos: [], live: false, gallery: "", client: false };
let seen = "", times = 0, hearers = [];

// A page from a disk may fetch nothing, but it may show pictures and load scripts, and the mark behind ? makes the
// browser read the file anew. Whether there is anything new is told by a picture's size: of all that is the cheapest.
function pulse() {
  return new Promise((done) => {
    const one = new Image();
    one.onload = () => done(`${one.naturalWidth} ${one.naturalHeight}`);
    one.onerror = () => done(null);
    one.src = `${STEM}-pulse.gif?${Date.now()}`;
  });
}

function load() {
  return new Promise((done) => {
    const one = document.createElement("script");
    one.src = `${STEM}-feed.js?${Date.now()}-${++times}`;
    one.onload = one.onerror = () => { one.remove(); done(); };
    document.head.append(one);
  });
}

let next = null;
globalThis.cutoutd = { feed(told) { next = told; } };

async function look() {
  const now = await pulse();
  if (now !== seen) {
    next = null;
    if (now) await load();
    if (next && next.format !== FORMAT) { location.reload(); return; } // the page beside the feed is of another version
    if (next || !now) {
      seen = now;
      feed = next ?? { ...feed, photos: [], live: false, gone: true };
      hear();
    }
  }
  setTimeout(look, feed.live ? (feed.busy ? LOOK_BUSY : LOOK_LIVE) : LOOK_STILL);
}

function hear() { for (const one of hearers) one(); }

// --- marks -----------------------------------------------------------------------------------------------------------
// Those that cutoutd has read come with the feed; those made here stay in this browser until it has.

const marksKey = () => `marks ${feed.gallery}`;
let own = {};

function readMarks() {
  own = store.get(marksKey(), {});
  for (const photo of feed.photos) {
    const mine = own[photo.id];
    if (mine && (mine[1] !== photo.version || mine[0] === (photo.mark ?? ""))) delete own[photo.id];
  }
}

function markOf(photo) {
  const mine = own[photo.id];
  return mine && mine[1] === photo.version ? mine[0] : photo.mark ?? "";
}

function mark(photo, verdict) {
  if (!photo.made.length) return;
  const wanted = markOf(photo) === verdict ? "" : verdict;
  if (wanted === (photo.mark ?? "")) delete own[photo.id];
  else own[photo.id] = [wanted, photo.version];
  store.set(marksKey(), own);
  hear();
}

function review() {
  const marks = {};
  for (const [id, [verdict, version]] of Object.entries(own)) marks[id] = { verdict: verdict || "none", version };
  return JSON.stringify({ cutoutd_review: FORMAT, gallery: feed.gallery, marks, fixes: writtenPoints() }, null, 1);
}

const unsaved = () => new Set([...Object.keys(own), ...Object.keys(placed)]).size;

// --- a photo's pictures ----------------------------------------------------------------------------------------------

const ratio = (picture) => picture.whole[0] / picture.whole[1];
const alike = (one, other) => Math.abs(ratio(one) / ratio(other) - 1) < 0.012;

// Which finished file is shown: that of the chosen label, else one that lies exactly on the photo, else the first.
function shownOf(photo, label = choice.label) {
  const made = photo.made.filter((one) => one.picture);
  return made.find((one) => one.label === label)
    ?? made.find((one) => photo.before && alike(photo.before, one.picture)) ?? made[0] ?? null;
}

function titleOf(photo) { return photo.name ?? `No. ${photo.id}`; }

// Both pictures of a photo as one box; `whole` takes the files themselves where the page may show them.
function pairOf(photo, made, { whole = false, lazy = true, slider = false } = {}) {
  const before = photo.before, after = made?.picture ?? null, first = after ?? before;
  const box = make("div", { class: "pair" });
  const same = Boolean(before && after && alike(before, after));
  box.classList.toggle("has-both", Boolean(before && after));
  box.classList.toggle("same", same);
  box.classList.toggle("apart", Boolean(before && after) && !same);
  box.style.setProperty("--r", ratio(first));
  if (before && after && !same) box.style.setProperty("--r2", (ratio(before) + ratio(after)) * 1.02);
  for (const [kind, picture] of [["before", before], ["after", after]]) {
    if (!picture) continue;
    const image = make("img", {
      src: whole && picture.full ? picture.full : picture.file, alt: `${titleOf(photo)}, ${kind}`, decoding: "async", draggable: "false",
      width: picture.size[0], height: picture.size[1], loading: lazy ? "lazy" : false,
    });
    if (whole && picture.full) image.addEventListener("error", () => { picture.full = null; image.src = picture.file; hear(); }, { once: true });
    const layer = make("div", { class: kind }, image);
    layer.style.setProperty("--f", ratio(picture));
    box.append(layer);
  }
  if (slider && same) {
    const line = make("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "Line between before and after" });
    line.addEventListener("input", () => box.style.setProperty("--at", `${line.value}%`));
    line.addEventListener("pointerup", () => line.blur()); // the arrow keys turn pages again
    box.append(line);
  }
  return box;
}

// A stage shows one photo; what follows is put in its place once it can be drawn, so that nothing flashes.
class Stage {
  constructor(place) {
    this.element = make("div", { class: "stage" });
    place.append(this.element);
    this.wanted = null;
  }

  async show(photo, made, whole = false) {
    const key = JSON.stringify([photo.id, photo.before, made, whole, photo.state === "failed" && photo.said]);
    if (key === this.wanted) return;
    this.wanted = key;
    if (!photo.before && !made) {
      this.element.replaceChildren(make("p", { class: "hollow", text: (photo.said ?? []).join("\n") || "There is nothing to show." }));
      return;
    }
    const pair = pairOf(photo, made, { whole, lazy: false, slider: true });
    const at = this.pair?.style.getPropertyValue("--at");
    await Promise.all([...pair.querySelectorAll("img")].map((one) => one.decode().catch(() => null)));
    if (key !== this.wanted) return; // somebody has turned the page meanwhile
    if (at && pair.querySelector("input")) { pair.style.setProperty("--at", at); pair.querySelector("input").value = parseFloat(at); }
    this.pair = pair;
    this.element.replaceChildren(pair);
  }

  // Moves the line between before and after by so many hundredths.
  shift(by) {
    const line = this.pair?.querySelector("input");
    if (line) { line.value = Number(line.value) + by; line.dispatchEvent(new Event("input")); }
  }
}
