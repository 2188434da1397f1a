// Cameras: a wall of what they show, and the visits they saw, newest first, as they happen.

import * as api from "./api.js";
import { $, about, announce, ask, clock, complain, el, hue, iconButton, nameField, refill, toast } from "./ui.js";

const PICTURE_MS = 1000;
const STATE_MS = 3000;
const PAGE = 50;
const WORDS = { starting: "Connecting", up: "", down: "No picture", off: "Off, by its hours", ended: "Ended" };

let canChange = false;
let keepDays = null;
let cameras = [];
let visits = new Map(); // id -> visit
let next = null; // the page behind
let following = null;
let timers = [];
const tiles = new Map(); // camera id -> {node, image, caption, url}
const faces = new Map(); // visit id and number of the picture -> promise of an address

export function allow(server) {
  canChange = server.role === "admin";
  $("nav-cameras").hidden = !server.watching;
  $("cameras-add").hidden = !canChange;
}

export function open() {
  if (following) return;
  refresh();
  follow();
  timers = [setInterval(look, PICTURE_MS), setInterval(states, STATE_MS)];
}

export function close() {
  following?.abort();
  following = null;
  timers.forEach(clearInterval);
  timers = [];
}

async function refresh() {
  try {
    await states();
    await list();
    look();
  } catch (error) { complain(error); }
}

async function states() {
  cameras = await api.cameras().catch(() => cameras);
  const known = new Set(cameras.map((camera) => camera.id));
  for (const [id, tile] of tiles) if (!known.has(id)) { tile.node.remove(); tiles.delete(id); }
  for (const camera of cameras) show(camera);
  $("cameras-blank").hidden = cameras.length > 0;
  choices();
}

function show(camera) {
  let tile = tiles.get(camera.id);
  if (!tile) {
    const image = el("img", { alt: `What ${camera.name} shows`, decoding: "async" });
    const caption = el("figcaption");
    const bin = canChange && camera.editable ? iconButton("bin", `Remove ${camera.name}`, () => remove(camera).catch(complain), "danger") : null;
    tile = { node: el("li", {}, el("figure", {}, image, caption), bin), image, caption, url: null };
    tiles.set(camera.id, tile);
    $("cameras-wall").append(tile.node);
  }
  const up = camera.state === "up";
  tile.node.className = up ? "camera up" : "camera";
  const said = up ? `${Math.round(camera.fps)} pictures a second` : camera.why || WORDS[camera.state];
  tile.caption.replaceChildren(el("i", { "aria-hidden": "true" }), el("b", {}, camera.name), el("span", {}, said));
}

// One picture of each camera that is up, when the last one has come.
function look() {
  if (document.hidden) return;
  for (const camera of cameras) {
    const tile = tiles.get(camera.id);
    if (!tile || tile.asking || !camera.last_picture || !["up", "ended"].includes(camera.state)) continue;
    tile.asking = true;
    api.blob(`/v1/cameras/${camera.id}/picture`).then((picture) => {
      const before = tile.url;
      tile.url = URL.createObjectURL(picture);
      tile.image.src = tile.url;
      if (before) URL.revokeObjectURL(before);
    }, () => { /* none has come yet */ }).finally(() => { tile.asking = false; });
  }
}

// -- visits

function filters() {
  const said = new URLSearchParams({ limit: PAGE });
  const [camera, person, day] = ["camera", "person", "day"].map((name) => $(`visits-${name}`).value);
  if (camera) said.set("camera", camera);
  if (person.trim()) said.set("person", person.trim());
  if (day) {
    const start = new Date(`${day}T00:00`);
    said.set("since", start.toISOString());
    said.set("until", new Date(start.getTime() + 86400000).toISOString());
  }
  return said;
}

const fits = (visit) => {
  const said = filters();
  const between = !said.has("since") || (visit.begin <= said.get("until") && (!visit.end || visit.end >= said.get("since")));
  return between && [["camera", visit.camera], ["person", visit.person]].every(([name, value]) => !said.has(name) || said.get(name) === value);
};

async function list(more = false) {
  const said = filters();
  if (more) said.set("before", next);
  const found = await api.visits(said);
  keepDays = found.keep_days;
  next = found.next;
  if (!more) visits = new Map();
  for (const visit of found.events) visits.set(visit.id, visit);
  draw();
}

function draw() {
  const shown = [...visits.values()].sort((a, b) => b.begin.localeCompare(a.begin));
  refill($("visits-list"), shown.map(row));
  $("visits-more").hidden = next === null;
  const kept = keepDays === null ? "Visits are not kept: keep_days in mien.toml says for how long they are." : `Visits are kept for ${keepDays === 1 ? "one day" : `${keepDays} days`}.`;
  $("visits-lead").textContent = shown.length ? kept : `Nobody yet. ${kept}`;
}

const called = (visit) => visit.person ?? ({ unsure: "Somebody", unknown: "Somebody unknown" }[visit.who] ?? "Somebody");
const time = (moment) => new Date(moment).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = (moment) => new Date(moment).toLocaleDateString(undefined, { day: "numeric", month: "short" });

function row(visit) {
  const name = called(visit);
  const stayed = visit.end ? clock((new Date(visit.end) - new Date(visit.begin)) / 1000) : "is here now";
  const where = [visit.camera, visit.zone].filter(Boolean).join(", ");
  const who = el("div", { css: { "--hue": hue(visit.person ?? "") } },
    el("h3", { class: visit.person ? "" : "unknown" }, name),
    el("p", {}, `${date(visit.begin)}, ${time(visit.begin)} · ${stayed} · ${where}`),
    el("p", { class: "about" }, about(visit, { long: true })));
  const tools = canChange ? el("div", { class: "row" },
    visit.person || !visit.pictures.length ? null : el("button", { class: "button quiet small", type: "button", "aria-label": `Say who it was at ${time(visit.begin)}`, on: { click: () => nameVisit(visit).catch(complain) } }, "Who is this?"),
    iconButton("bin", `Forget ${name} at ${time(visit.begin)}`, () => forget(visit).catch(complain), "danger")) : null;
  return el("li", { class: visit.end ? "visit" : "visit here" }, el("div", { class: "heap" }, ...mugs(visit)), who, tools);
}

function mugs(visit) {
  return visit.pictures.map((taken, i) => {
    const img = el("img", { class: "mug", alt: "", width: 56, height: 56, decoding: "async" });
    const place = `/v1/events/${visit.id}/pictures/${i}`;
    const kept = `${place} ${taken}`; // a better look takes its place
    if (!faces.has(kept)) faces.set(kept, api.blob(place).then((b) => URL.createObjectURL(b)));
    faces.get(kept).then((url) => { img.src = url; }, () => faces.delete(kept));
    return img;
  });
}

async function nameVisit(visit) {
  const { input, field } = nameField(await api.people());
  const body = el("div", {}, el("div", { class: "mugs" }, ...mugs(visit)), el("p", { class: "hint" }, "Type a name. Somebody mien already knows gets these as more photos."), field);
  const done = await ask({ title: "Who is this?", body, submit: () => api.nameVisit(visit.id, input.value.trim()) });
  if (!done) return;
  put(done);
  const text = `${done.person} will be recognised from now on.`;
  toast(text);
  announce(text);
}

async function forget(visit) {
  const body = el("p", {}, "The visit and its pictures are deleted for good.");
  const done = await ask({ title: `Forget this visit of ${called(visit)}?`, body, ok: "Forget", submit: async () => { await api.forgetVisit(visit.id); return true; } });
  if (!done) return;
  visits.delete(visit.id);
  draw();
  announce("The visit is forgotten.");
}

function put(visit) {
  if (fits(visit)) visits.set(visit.id, visit);
  else visits.delete(visit.id);
  draw();
}

// What happens from now on; when the connection is lost it is made again, from the last change on.
async function follow() {
  const mine = new AbortController();
  following = mine;
  let after = null;
  while (!mine.signal.aborted) {
    try {
      for await (const visit of api.follow(after, mine.signal)) { after = visit.number; put(visit); }
    } catch (error) {
      if (error.status === 401 || error.status === 409) return;
    }
    await new Promise((resolve) => setTimeout(resolve, STATE_MS));
  }
}

// -- cameras that are added

function choices() {
  const chosen = $("visits-camera").value;
  const options = cameras.map((camera) => el("option", { value: camera.name }, camera.name));
  $("visits-camera").replaceChildren(el("option", { value: "" }, "All cameras"), ...options);
  $("visits-camera").value = chosen;
}

async function add() {
  const name = el("input", { type: "text", name: "name", required: true, maxLength: 100, autocomplete: "off", placeholder: "door" });
  const source = el("input", { type: "text", name: "source", required: true, maxLength: 2000, autocomplete: "off", placeholder: "rtsp://user:password@camera/stream" });
  const flip = el("input", { type: "checkbox", name: "flip" });
  const turn = el("select", { name: "turn" }, ...[0, 90, 180, 270].map((angle) => el("option", { value: angle }, `${angle}°`)));
  const body = el("div", {}, el("p", { class: "hint" }, "The address of an RTSP or MJPEG camera."),
    el("label", { class: "field" }, el("span", {}, "Name"), name), el("label", { class: "field" }, el("span", {}, "Address"), source),
    el("label", { class: "field" }, el("span", {}, "Turned clockwise by"), turn), el("label", { class: "check" }, flip, "Mirrored"));
  const submit = () => api.addCamera({ name: name.value.trim(), source: source.value.trim(), turn: Number(turn.value), flip: flip.checked });
  const done = await ask({ title: "Add a camera", body, ok: "Add", submit });
  if (!done) return;
  announce(`${done.name} is watched.`);
  await states();
}

async function remove(camera) {
  const body = el("p", {}, "It is watched no longer. Its visits stay as long as they are kept.");
  const done = await ask({ title: `Remove ${camera.name}?`, body, ok: "Remove", submit: async () => {
    cameras = cameras.filter((one) => one.id !== camera.id); // nobody asks for its picture any more
    await api.removeCamera(camera.id);
    return true;
  } });
  if (done) await states();
}

export function start() {
  $("cameras-add").addEventListener("click", () => add().catch(complain));
  $("visits-more").addEventListener("click", () => list(true).catch(complain));
  for (const name of ["camera", "person", "day"]) $(`visits-${name}`).addEventListener("change", () => list().catch(complain));
}
