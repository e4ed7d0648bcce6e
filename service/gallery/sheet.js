"use strict";
// All photos on one sheet, the newest first. What comes while somebody looks further down waits until they come back up,
// so that nothing moves under their eyes.

const cells = new Map();
let order = [], held = false;
const hero = new Stage($("hero"));

const FILTERS = {
  all: ["all", () => true], look: ["worth a look", (p) => p.state === "done" && (p.said ?? []).length > 0],
  failed: ["failed", (p) => p.state === "failed"], accepted: ["accepted", (p) => markOf(p) === "accepted"],
  rejected: ["rejected", (p) => markOf(p) === "rejected"], open: ["undecided", (p) => p.made.length > 0 && !markOf(p)],
};

const isHigh = () => scrollY < 8 && !$("viewer").open;

function cellOf(photo) {
  let cell = cells.get(photo.id);
  if (!cell) {
    const open = make("button", { type: "button", class: "open" });
    open.addEventListener("click", () => openViewer(photo.id));
    cell = { element: make("figure", { class: "cell", "data-photo": photo.id }, make("span", { class: "mark", "aria-hidden": true }), open, make("figcaption")), key: "" };
    cells.set(photo.id, cell);
  }
  return cell;
}

function fill(cell, photo) {
  const verdict = markOf(photo), made = shownOf(photo), pointed = Boolean(placed[photo.id]);
  const key = JSON.stringify([photo, verdict, made, pointed]);
  if (key === cell.key) return;
  cell.key = key;
  const [dot, open, caption] = cell.element.children, said = photo.said ?? [];
  cell.element.className = `cell ${photo.state} ${verdict}`;
  cell.element.classList.toggle("look", photo.state === "done" && said.length > 0);
  cell.element.classList.toggle("pointed", pointed);
  dot.textContent = { accepted: "✓", rejected: "✕" }[verdict] ?? "±";
  const pictures = photo.before || made ? [pairOf(photo, made)] : [];
  if (photo.state === "failed") pictures.push(make("span", { class: "why" }, make("span", { text: said.join(" ") })));
  open.replaceChildren(...pictures);
  open.setAttribute("aria-label", [titleOf(photo), photo.state, verdict, ...said].filter(Boolean).join(", "));
  caption.replaceChildren(make("b", { text: titleOf(photo), title: [titleOf(photo), ...said].join("\n") }), make("i", { text: timeOf(photo) }));
}

// The first screens are filled at once, the others in slices of some milliseconds, so that a thousand hold up nothing.
const AT_ONCE = 60, SLICE = 8;
const later = new Map();

function fillSome() {
  const until = performance.now() + SLICE;
  for (const [id, photo] of later) {
    later.delete(id);
    if (cells.has(id)) fill(cells.get(id), photo);
    if (performance.now() > until) break;
  }
  if (later.size) setTimeout(fillSome);
}

const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });

function timeOf(photo) {
  if (photo.state === "working") return "in hand";
  if (!photo.when) return "";
  const when = new Date(photo.when * 1000);
  return (when.toDateString() === new Date().toDateString() ? CLOCK : DAY).format(when);
}

const wanted = () => feed.photos.filter(FILTERS[choice.filter][1]);

function drawSheet({ all = false } = {}) {
  const photos = wanted(), ids = photos.map((one) => one.id), before = new Set(order);
  const fresh = ids.filter((id) => !before.has(id));
  held = !all && order.length > 0 && fresh.length > 0 && !isHigh();
  const shown = held ? photos.filter((one) => before.has(one.id)) : photos;
  order = shown.map((one) => one.id);
  const grid = $("grid"), keep = new Set(order);
  for (const [id, cell] of cells) if (!keep.has(id)) { cell.element.remove(); cells.delete(id); }
  // Cells that are there already stay where they are; only what is new is put between them.
  let place = grid.firstElementChild;
  const idle = later.size === 0;
  shown.forEach((photo, index) => {
    const cell = cellOf(photo);
    if (cell.element === place) place = place.nextElementSibling;
    else grid.insertBefore(cell.element, place);
    if (index < AT_ONCE || cell.key) fill(cell, photo);
    else later.set(photo.id, photo);
  });
  if (idle && later.size) setTimeout(fillSome);
  $("news").hidden = !held;
  $("news").textContent = `${fresh.length} new ↑`;
  drawHero();
  drawWords();
}

function drawHero() {
  const newest = feed.photos.find((one) => one.made.some((made) => made.picture));
  $("hero").hidden = !(choice.large && newest && choice.filter === "all");
  if (!$("hero").hidden) {
    hero.show(newest, shownOf(newest), false);
    $("hero").dataset.photo = newest.id;
  }
}

function drawWords() {
  const count = feed.photos.filter((one) => one.made.length).length;
  $("count").textContent = `${count} ${count === 1 ? "picture" : "pictures"}`;
  document.title = `${$("count").textContent} – gallery`;
  document.documentElement.classList.toggle("live", Boolean(feed.live));
  $("standing").textContent = [
    feed.in_hand ? `${feed.in_hand} in hand` : "", feed.waiting ? `${feed.waiting} waiting` : "", feed.failed ? `${feed.failed} failed` : "",
    feed.making ? `${feed.making} small pictures to make` : "", feed.absent ? `${feed.absent} not there any more` : "",
  ].filter(Boolean).join(" · ") || (feed.live ? "live" : "");
  $("empty").hidden = order.length > 0 || held;
  $("empty").textContent = feed.gone ? "This gallery was cleared.\n`cutoutd gallery` fills it anew."
    : feed.photos.length ? "None of these." : feed.live ? "The first picture appears here as soon as it is cut out." : "No finished photo yet.";
  const labels = [...new Set(feed.photos.flatMap((one) => one.made.map((made) => made.label)))];
  $("labels").hidden = labels.length < 2;
  offer($("label"), [["", "the best fit"], ...labels.map((one) => [one, one])], choice.label);
  const filters = Object.entries(FILTERS).filter(([name]) => !feed.client || !["look", "failed"].includes(name));
  offer($("filter"), filters.map(([name, [word, test]]) => [name, `${word} (${feed.photos.filter(test).length})`]), choice.filter);
  const open = unsaved();
  for (const id of ["save", "save-here"]) $(id).textContent = open ? `Save ${open} ${open === 1 ? "choice" : "choices"}` : "Save choices";
  $("save").disabled = open === 0;
  $("save-here").hidden = open === 0; // beside the photo alone there is no room for what cannot be done
}

function offer(select, options, value) {
  const key = JSON.stringify(options);
  if (select.dataset.key !== key) {
    select.dataset.key = key;
    select.replaceChildren(...options.map(([name, text]) => make("option", { value: name, text })));
  }
  select.value = value;
}

function release() { if (held && isHigh()) drawSheet({ all: true }); }

addEventListener("scroll", release, { passive: true });
$("news").addEventListener("click", () => { scrollTo({ top: 0, behavior: "instant" }); drawSheet({ all: true }); });
$("hero").addEventListener("click", (event) => { if (event.target.type !== "range") openViewer(Number($("hero").dataset.photo)); });
for (const one of $("view").children) one.addEventListener("click", () => choose("view", one.dataset.view));
for (const one of $("ground").querySelectorAll("button")) one.addEventListener("click", () => choose("ground", one.dataset.ground));
$("colour").addEventListener("input", () => { choose("colour", $("colour").value); choose("ground", "colour"); });
$("colour").addEventListener("click", () => choose("ground", "colour"));
$("size").addEventListener("input", () => choose("size", Number($("size").value)));
$("label").addEventListener("change", () => { choose("label", $("label").value); hear(); });
$("filter").addEventListener("change", () => { choose("filter", $("filter").value); scrollTo(0, 0); drawSheet({ all: true }); });
$("large").addEventListener("click", () => { choose("large", !choice.large); drawHero(); });

// On the sheet the line between before and after follows the pointer.
$("grid").addEventListener("pointermove", (event) => {
  const pair = choice.view === "both" && event.target.closest(".pair.same");
  if (!pair) return;
  const box = pair.getBoundingClientRect();
  pair.style.setProperty("--at", `${Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100))}%`);
}, { passive: true });

$("grid").addEventListener("keydown", (event) => {
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const cell = event.target.closest(".cell");
  if (!by || !cell) return;
  event.preventDefault();
  const next = cells.get(order[order.indexOf(Number(cell.dataset.photo)) + by]);
  next?.element.querySelector(".open").focus();
});

// Whoever has just opened the page has pointed at nothing yet.
addEventListener("keydown", (event) => {
  if (event.target !== document.body || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const first = cells.get(order[0]);
  if (!first || !["Enter", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  if (event.key === "Enter") openViewer(order[0]);
  else first.element.querySelector(".open").focus();
});

hearers.push(readMarks, () => drawSheet());
