"use strict";
// Points of what belongs to the subject and of what does not, set on one photo alone. They stay in this browser until
// cutoutd makes the photo anew with them; those that it was made with come with the feed, so that more can be added.

const MOST_POINTS = 50; // as many as `redo` takes (config/fixes.py)
const KINDS = { keep: ["+", "belongs to the subject"], remove: ["−", "does not belong to it"] };
const pointsKey = () => `points ${feed.gallery}`;
let placed = {}, pointing = "";

// "31%,45%" and "1200,800" as shares of the photo's width and height, in hundredths.
function pointFrom(text, [width, height]) {
  const [x, y] = text.split(/[\s,]+/).filter(Boolean).map((one, at) => {
    const number = parseFloat(one);
    return one.endsWith("%") ? number : (number / [width, height][at]) * 100;
  });
  return [x, y].map((one) => Math.round(one * 100) / 100);
}

function toldPoints(photo) {
  const told = photo.before ? photo.fixes ?? {} : {};
  return Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, (told[kind] ?? []).map((one) => pointFrom(one, photo.before.whole))]));
}

const samePoints = (one, other) => Object.keys(KINDS).every((kind) => JSON.stringify(one[kind]) === JSON.stringify(other[kind]));

function readPoints() {
  placed = store.get(pointsKey(), {});
  for (const photo of feed.photos) {
    const mine = placed[photo.id];
    if (mine && (mine.version !== photo.version || samePoints(mine, toldPoints(photo)))) delete placed[photo.id];
  }
}

function pointsOf(photo) {
  const mine = placed[photo.id];
  return mine && mine.version === photo.version ? mine : toldPoints(photo);
}

function setPoints(photo, points) {
  if (samePoints(points, toldPoints(photo))) delete placed[photo.id];
  else placed[photo.id] = { version: photo.version, keep: points.keep, remove: points.remove };
  store.set(pointsKey(), placed);
  hear();
}

function addPoint(photo, kind, at) {
  const points = pointsOf(photo);
  if (points.keep.length + points.remove.length < MOST_POINTS) setPoints(photo, { ...points, [kind]: [...points[kind], at] });
}

function dropPoint(photo, kind, index) {
  const points = pointsOf(photo);
  setPoints(photo, { ...points, [kind]: points[kind].filter((_, at) => at !== index) });
}

function writtenPoints() {
  const told = {};
  for (const [id, points] of Object.entries(placed)) {
    told[id] = { version: points.version };
    for (const kind of Object.keys(KINDS)) told[id][kind] = points[kind].map(([x, y]) => `${x}%,${y}%`);
  }
  return told;
}

const canPoint = (photo) => Boolean(!feed.client && photo.before && photo.state !== "working");

// Points count on the photo. A cutout that lies exactly on it is shown over it; any other gives way to it.
const liesExactly = (photo, made) => Boolean(photo.before && made && photo.before.whole.join() === made.picture.whole.join());

function dotsOf(photo) {
  const points = pointsOf(photo), layer = make("div", { class: "points" });
  for (const [kind, [sign, words]] of Object.entries(KINDS)) {
    points[kind].forEach(([x, y], index) => {
      const label = `${x} %, ${y} %: ${words}; click to take it back`;
      const dot = make("button", { type: "button", class: `point ${kind}`, text: sign, title: label, "aria-label": label });
      dot.style.left = `${x}%`;
      dot.style.top = `${y}%`;
      dot.addEventListener("click", (event) => { event.stopPropagation(); dropPoint(photo, kind, index); });
      layer.append(dot);
    });
  }
  return layer;
}

function pointWords(photo) {
  const points = pointsOf(photo), said = [];
  if (points.keep.length) said.push(`${points.keep.length} to keep`);
  if (points.remove.length) said.push(`${points.remove.length} to remove`);
  const what = pointing === "keep" ? "Click what belongs to the subject and is missing." : "Click what does not belong to it.";
  return `${what} ${said.length ? `${said.join(", ")}; a click on a point takes it back.` : ""}`.trim();
}

hearers.push(readPoints);
