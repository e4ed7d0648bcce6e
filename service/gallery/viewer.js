"use strict";
// One photo alone: keys, the line between before and after, every pixel, marks; and the sheets for saving and for keys.

const stage = new Stage($("stage"));
let current = null, label = "", zoomed = false, whole = false, following = false;

const newestOf = (list) => list.find((one) => one.made.some((made) => made.picture))?.id ?? null;
const photoNow = () => feed.photos.find((one) => one.id === current) ?? null;

function openViewer(id) {
  current = id;
  following = id === newestOf(wanted());
  zoomed = false;
  pointing = "";
  if (!$("viewer").open) $("viewer").showModal();
  stage.wanted = null;
  drawViewer();
}

function closeViewer() {
  if (document.fullscreenElement) document.exitFullscreen();
  $("viewer").close();
}

function drawViewer() {
  if (!$("viewer").open) return;
  // Who looks at the newest goes on looking at the newest; who looks at another is left alone.
  const list = wanted();
  if (following && !zoomed && !pointing) current = newestOf(list) ?? current;
  const photo = photoNow();
  if (!photo) { closeViewer(); return; }
  const at = list.findIndex((one) => one.id === current);
  if (!canPoint(photo)) pointing = "";
  const made = shownNow(photo);
  whole = Boolean(photo.before?.full || made?.picture.full);
  stage.show(photo, made, whole).then(() => { drawPoints(); drawZoom(); });
  $("previous").disabled = at <= 0;
  $("next").disabled = at < 0 || at >= list.length - 1;
  $("said-name").replaceChildren(titleOf(photo), make("span", { text: [`${at + 1} of ${list.length}`, timeOf(photo), photo.model ?? ""].filter(Boolean).join(" · ") }));
  $("said").textContent = (photo.said ?? []).join("\n");
  $("said").classList.toggle("bad", photo.state === "failed");
  const choices = photo.made.filter((one) => one.picture);
  $("made").hidden = choices.length < 2;
  $("made").replaceChildren(...choices.map((one) => {
    const button = make("button", { type: "button", text: one.label, "aria-pressed": String(one === made) });
    button.addEventListener("click", () => { label = one.label; drawViewer(); });
    return button;
  }));
  const verdict = markOf(photo);
  for (const [id, name] of [["accept", "accepted"], ["reject", "rejected"]]) {
    $(id).setAttribute("aria-pressed", verdict === name);
    $(id).disabled = !photo.made.length;
  }
  for (const kind of Object.keys(KINDS)) {
    $(kind).hidden = Boolean(feed.client);
    $(kind).disabled = !canPoint(photo);
    $(kind).setAttribute("aria-pressed", pointing === kind);
  }
  $("viewer").classList.toggle("pointing", Boolean(pointing));
  drawPoints();
  drawZoom();
}

// The finished file that is seen; none while points are set on a photo on which it does not lie.
function shownNow(photo) {
  const made = shownOf(photo, label || choice.label);
  return pointing && !liesExactly(photo, made) ? null : made;
}

function drawPoints() {
  const photo = photoNow();
  stage.pair?.querySelector(".points")?.remove();
  if (photo && pointing) stage.pair?.append(dotsOf(photo));
}

function point(kind) {
  if (feed.client || !canPoint(photoNow())) return;
  pointing = pointing === kind ? "" : kind;
  drawViewer();
}

function lastPointBack() {
  const points = pointing && pointsOf(photoNow())[pointing];
  if (points?.length) dropPoint(photoNow(), pointing, points.length - 1);
}

// Every pixel of the picture on one of the screen's; what is not there is not pretended.
function drawZoom() {
  const photo = photoNow();
  if (!photo) return;
  const made = shownNow(photo);
  const seen = choice.view === "before" || !made ? photo.before : made.picture;
  const room = $("stage").firstElementChild;
  $("zoom").setAttribute("aria-pressed", zoomed);
  $("zoom").disabled = !seen;
  if (!seen) { $("honest").textContent = ""; return; }
  const was = room.classList.contains("zoomed");
  room.classList.toggle("zoomed", zoomed);
  room.style.setProperty("--whole", `${seen.whole[0] / devicePixelRatio}px`);
  if (zoomed && !was) { room.scrollLeft = (room.scrollWidth - room.clientWidth) / 2; room.scrollTop = (room.scrollHeight - room.clientHeight) / 2; }
  const size = `${seen.whole[0]} × ${seen.whole[1]}`, small = Math.max(...seen.size);
  const complete = Boolean(seen.full) || small >= Math.max(...seen.whole);
  $("honest").textContent = pointing ? pointWords(photo) : !zoomed ? size : complete ? `100 % of ${size}`
    : `Enlarged from a small picture of ${small} pixels: this is not the edge itself. ` + (feed.client ? "" : "`cutoutd gallery --full` shows every pixel.");
}

function turn(by) {
  const list = wanted(), at = list.findIndex((one) => one.id === current), next = list[at + by];
  if (!next) return;
  current = next.id;
  following = current === newestOf(list);
  zoomed = false;
  pointing = "";
  drawViewer();
  for (const near of [list[at + 2 * by]]) { // the one after it is fetched already
    if (near) for (const one of [near.before, shownOf(near)?.picture]) if (one) new Image().src = one.file;
  }
}

function otherMade() {
  const photo = photoNow(), list = photo.made.filter((one) => one.picture);
  const at = list.indexOf(shownOf(photo, label || choice.label));
  if (list.length > 1) { label = list[(at + 1) % list.length].label; drawViewer(); }
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("alone").requestFullscreen?.().catch(() => null); // a dialog itself may not
}

function zoom(on = !zoomed) { zoomed = on; drawZoom(); }

const KEYS = {
  ArrowLeft: (event) => (event.shiftKey ? stage.shift(-2) : turn(-1)), ArrowRight: (event) => (event.shiftKey ? stage.shift(2) : turn(1)),
  Home: () => turn(-wanted().findIndex((one) => one.id === current)), End: () => turn(wanted().length - 1 - wanted().findIndex((one) => one.id === current)),
  " ": () => choose("view", choice.view === "before" ? "after" : "before"), s: () => choose("view", choice.view === "both" ? "after" : "both"),
  z: () => zoom(), b: () => choose("ground", GROUNDS[(GROUNDS.indexOf(choice.ground) + 1) % GROUNDS.length]), d: otherMade, f: fullscreen,
  a: () => mark(photoNow(), "accepted"), x: () => mark(photoNow(), "rejected"),
  k: () => point("keep"), r: () => point("remove"), Backspace: lastPointBack,
};

// On the whole page: after the line was moved nothing has the focus.
addEventListener("keydown", (event) => {
  if (!$("viewer").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.type === "range" && event.key.startsWith("Arrow") && !event.shiftKey) return;
  const does = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does) return;
  event.preventDefault();
  does(event);
  drawZoom();
});
$("viewer").addEventListener("close", () => { label = ""; release(); cells.get(current)?.element.querySelector(".open").focus({ preventScroll: true }); });
for (const [id, does] of Object.entries({
  close: closeViewer, previous: () => turn(-1), next: () => turn(1), zoom: () => zoom(), fullscreen, help: () => $("keys").showModal(),
  accept: () => mark(photoNow(), "accepted"), reject: () => mark(photoNow(), "rejected"), keep: () => point("keep"), remove: () => point("remove"), "keys-close": () => $("keys").close(), "saving-close": () => $("saving").close(),
})) $(id).addEventListener("click", does);

// In full screen the bars come when the pointer moves, and go again.
let rest = 0;
$("viewer").addEventListener("pointermove", () => {
  $("alone").classList.add("awake");
  clearTimeout(rest);
  rest = setTimeout(() => $("alone").classList.remove("awake"), 2500);
});

// At every pixel the picture is moved by hand; a swipe turns the page otherwise.
let from = null;
const room = $("stage").firstElementChild;
room.addEventListener("dblclick", () => { if (!pointing) zoom(); });
let moved = false; // by hand, since the button went down: then it is no click
room.addEventListener("click", (event) => {
  const box = stage.pair?.getBoundingClientRect(), photo = photoNow();
  if (!pointing || !photo || !box || moved) return;
  const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  if (at.every((one) => one >= 0 && one <= 1)) addPoint(photo, pointing, at.map((one) => Math.round(one * 10000) / 100));
});
// Esc ends pointing first.
$("viewer").addEventListener("cancel", (event) => { if (pointing) { event.preventDefault(); point(pointing); } });
room.addEventListener("pointerdown", (event) => {
  moved = false;
  if (event.target.type !== "range") from = { x: event.clientX, y: event.clientY, left: room.scrollLeft, top: room.scrollTop, touch: event.pointerType === "touch" };
});
addEventListener("pointermove", (event) => {
  if (from && Math.hypot(event.clientX - from.x, event.clientY - from.y) > 4) moved = true;
  if (from && zoomed && !from.touch) { room.scrollLeft = from.left + from.x - event.clientX; room.scrollTop = from.top + from.y - event.clientY; }
});
for (const kind of ["pointerup", "pointercancel"]) {
  addEventListener(kind, (event) => {
    if (from?.touch && !zoomed && Math.abs(event.clientX - from.x) > 50) turn(event.clientX < from.x ? 1 : -1);
    from = null;
  });
}

// --- saving ------------------------------------------------------------------------------------------------------------

$("save-here").addEventListener("click", () => $("save").click());
// A name of its own: a browser calls a second file of one name otherwise, and the first would be read again.
function fileName(at) {
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `cutoutd-review-${day}-${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}.json`;
}
$("save").addEventListener("click", () => {
  const text = review(), name = fileName(new Date()), count = unsaved(), points = Object.keys(placed).length;
  $("saving-count").textContent = `${count} ${count === 1 ? "choice" : "choices"}`;
  $("saving-how").replaceChildren(...(feed.client
    ? ["Save the file and give it to your photographer. It holds the pictures' numbers and what you chose, nothing else."]
    : ["Save the file, then let cutoutd read it: ", make("code", { text: `cutoutd review ~/Downloads/${name}` }), ", or wherever your browser saves. It holds numbers, no names.",
      points ? ` ${points === 1 ? "One photo is" : `${points} photos are`} then made again with your points.` : ""]));
  $("saving-text").value = text;
  $("saving-file").download = name;
  if ($("saving-file").href) URL.revokeObjectURL($("saving-file").href);
  $("saving-file").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  $("saving").showModal();
});
$("saving-copy").addEventListener("click", () => {
  $("saving-text").select();
  document.execCommand("copy"); // the newer way needs a permission that a page from a disk may not have
  $("saving-copy").textContent = "Copied";
});

hearers.push(drawViewer);
dress();
look();
