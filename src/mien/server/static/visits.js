// Visits: a list with faces, newest first, as they happen; a day as one strip; what they add up to.

import * as api from "./api.js";
import { chart } from "./charts.js";
import { locale, t, word } from "./lang.js";
import { $, about, announce, ask, clock, complain, el, hue, iconButton, nameField, refill, toast, told } from "./ui.js";

const PAGE = 50;
const GROUP_SHOWN = 6; // faces of an unknown person who is named
const COUNT_MS = 2000; // visits that change are counted anew at most so often

let canChange = false;
let keepDays = null;
let keepPictures = "none";
let identified = true;
let visits = new Map(); // id -> visit
let strip = new Map(); // of the day that is shown
let next = null; // the page behind
let following = null;
let counting = null;
const faces = new Map(); // visit id and number of the picture -> promise of an address

export function allow(server) {
  canChange = server.role === "admin";
  identified = server.parts.includes("identity");
  $("visits-person").closest("label").hidden = !identified;
}

export async function open() {
  if (following) return;
  follow();
  await list();
}

export function close() {
  following?.abort();
  following = null;
}

// -- which ones

const iso = (day) => `${day.getFullYear()}-${String(day.getMonth() + 1).padStart(2, "0")}-${String(day.getDate()).padStart(2, "0")}`;
const chosenDay = () => $("visits-day").value || iso(new Date());
const dayFrom = () => new Date(`${chosenDay()}T00:00`);
function dayTo() {
  const end = dayFrom();
  end.setDate(end.getDate() + 1); // 23 to 25 hours later
  return end;
}

function filters({ day = $("visits-day").value } = {}) {
  const said = new URLSearchParams();
  const [camera, person] = ["camera", "person"].map((name) => $(`visits-${name}`).value.trim());
  if (camera) said.set("camera", camera);
  if (person) said.set("person", person);
  if (day) {
    said.set("since", dayFrom().toISOString());
    said.set("until", dayTo().toISOString());
  }
  return said;
}

function fits(visit, said) {
  const between = !said.has("since") || (visit.begin <= said.get("until") && (!visit.end || visit.end >= said.get("since")));
  return between && [["camera", visit.camera], ["person", visit.person]].every(([name, value]) => !said.has(name) || said.get(name) === value);
}

async function list(more = false) {
  const said = filters();
  said.set("limit", PAGE);
  if (more) said.set("before", next);
  const found = await api.visits(said);
  keepDays = found.keep_days;
  keepPictures = found.keep_pictures;
  next = found.next;
  if (!more) visits = new Map();
  for (const visit of found.events) visits.set(visit.id, visit);
  draw();
  if (!more) await Promise.all([dayStrip(), countAll()]);
}

// -- the list

function draw() {
  const shown = [...visits.values()].sort((a, b) => b.begin.localeCompare(a.begin));
  refill($("visits-list"), shown.map(row));
  $("visits-more").hidden = next === null;
  $("visits-lead").textContent = [shown.length ? "" : t`Nobody yet.`, kept(), pictured()].filter(Boolean).join(" ");
}

// What is not kept is not shown, and how to keep it.
function kept() {
  if (!keepDays) return t`Visits are not kept: “keep_days = 30” under [watch] in mien.toml keeps them for a month.`;
  const days = keepDays === 1 ? t`one day` : t`${keepDays} days`;
  return t`Visits are kept for ${days}.`;
}

function pictured() {
  if (keepDays === null || keepPictures !== "none") return "";
  return t`No pictures of them are kept: “keep_pictures = "face"” there keeps their best looks.`;
}

const called = (visit) => visit.person ?? ({ unsure: t`Somebody`, unknown: t`Somebody unknown` }[visit.who] ?? t`Somebody`);
const time = (moment) => new Date(moment).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = (moment) => new Date(moment).toLocaleDateString(locale, { day: "numeric", month: "short" });
const stay = (visit) => (visit.end ? clock((new Date(visit.end) - new Date(visit.begin)) / 1000) : t`is here now`);

function row(visit) {
  const name = called(visit);
  const where = [visit.camera, visit.zone].filter(Boolean).join(", ");
  const who = el("div", { css: { "--hue": hue(visit.person ?? "") } },
    el("h3", { class: visit.person ? "" : "unknown" }, name),
    el("p", {}, `${date(visit.begin)}, ${time(visit.begin)} · ${stay(visit)} · ${where}`),
    el("p", { class: "about" }, about(visit, { long: true })));
  const bin = canChange ? iconButton("bin", t`Forget ${name} at ${time(visit.begin)}`, () => forget(visit).catch(complain), "danger") : null;
  const tools = el("div", { class: "row" }, clip(visit), canChange ? naming(visit) : null, bin);
  return el("li", { class: visit.end ? "visit" : "visit here", id: `visit-${visit.id}` }, el("div", { class: "heap" }, ...mugs(visit)), who, tools);
}

// Both need pictures, of the visit or of the unknown person it was: they are what is enrolled, or denied.
function naming(visit) {
  if (!identified || !(visit.pictures.length || visit.group)) return null;
  if (visit.person && !visit.pictures.length) return null;
  if (visit.person) return el("button", { class: "button quiet small", type: "button", "aria-label": t`This is not ${visit.person}, at ${time(visit.begin)}`, on: { click: () => notThem(visit).catch(complain) } }, t`Not ${visit.person}`);
  return el("button", { class: "button quiet small", type: "button", "aria-label": t`Who is this? Seen at ${time(visit.begin)}`, on: { click: () => nameVisit(visit).catch(complain) } }, t`Who is this?`);
}

function clip(visit) {
  if (!visit.clip) return null;
  return el("button", { class: "button quiet small", type: "button", "aria-label": t`The clip of ${called(visit)} at ${time(visit.begin)}`, on: { click: () => play(visit).catch(complain) } }, t`Clip`);
}

async function play(visit) {
  const title = t`The clip of ${called(visit)} at ${time(visit.begin)}`;
  const url = URL.createObjectURL(await api.blob(visit.clip));
  const film = el("video", { src: url, controls: true, playsInline: true, "aria-label": title });
  await ask({ title, body: film, ok: t`Close`, submit: () => null, closed: () => URL.revokeObjectURL(url) });
}

const mugs = (visit) => visit.pictures.map((taken, i) => mug(`/v1/events/${visit.id}/pictures/${i}`, taken));

// A picture; a better look, taken at another moment, takes its place.
function mug(place, taken) {
  const img = el("img", { class: "mug", alt: "", width: 56, height: 56, decoding: "async" });
  const one = `${place} ${taken}`;
  if (!faces.has(one)) faces.set(one, api.blob(place).then((b) => URL.createObjectURL(b)));
  faces.get(one).then((url) => { img.src = url; }, () => faces.delete(one));
  return img;
}

async function mugsOfGroup(group) {
  const { faces: kept } = await api.unknownGroup(group);
  return kept.filter((face) => face.picture).slice(0, GROUP_SHOWN).map((face) => mug(`/v1/unknown/faces/${face.id}`, face.seen));
}

async function nameVisit(visit) {
  const { input, field } = nameField(await api.people());
  const shown = visit.group ? await mugsOfGroup(visit.group) : mugs(visit);
  const hints = [t`Type a name. Somebody mien already knows gets these as more photos.`, visit.group ? t`All visits of this unknown person bear it then.` : ""];
  const body = el("div", {}, el("div", { class: "mugs" }, ...shown), el("p", { class: "hint" }, hints.join(" ").trim()), field);
  const done = await ask({ title: t`Who is this?`, body, submit: () => api.nameVisit(visit.id, input.value.trim()) });
  if (!done) return;
  put(done);
  const text = t`${done.person} will be recognised from now on.`;
  toast(text);
  announce(text);
}

async function notThem(visit) {
  const body = el("div", {}, el("div", { class: "mugs" }, ...mugs(visit)), el("p", { class: "hint" }, t`These faces never get the name ${visit.person} again, and faces like them must be nearer to get it. It can be taken back at the photos of ${visit.person}.`));
  const done = await ask({ title: t`This is not ${visit.person}`, body, ok: t`That is not them`, submit: () => api.denyVisit(visit.id) });
  if (!done) return;
  put(await api.visit(visit.id));
  announce(t`This was not ${visit.person}: noted.`);
}

async function forget(visit) {
  const body = el("p", {}, t`The visit and its pictures are deleted for good.`);
  const done = await ask({ title: t`Forget this visit of ${called(visit)}?`, body, ok: t`Forget`, submit: async () => { await api.forgetVisit(visit.id); return true; } });
  if (!done) return;
  visits.delete(visit.id);
  strip.delete(visit.id);
  draw();
  drawStrip();
  recount();
  announce(t`The visit is forgotten.`);
}

function put(visit) {
  for (const [map, said] of [[visits, filters()], [strip, filters({ day: chosenDay() })]]) {
    if (fits(visit, said)) map.set(visit.id, visit);
    else map.delete(visit.id);
  }
  draw();
  drawStrip();
  recount();
}

// -- a day as one strip

async function dayStrip() {
  const said = filters({ day: chosenDay() });
  said.set("limit", 1000);
  strip = new Map();
  let page;
  do {
    page = await api.visits(said);
    for (const visit of page.events) strip.set(visit.id, visit);
    said.set("before", page.next ?? 0);
  } while (page.next !== null);
  drawStrip();
}

function drawStrip() {
  const lanes = new Map();
  for (const visit of [...strip.values()].sort((a, b) => a.begin.localeCompare(b.begin))) {
    const whose = visit.person ?? (identified ? t`Unknown` : visit.camera);
    if (!lanes.has(whose)) lanes.set(whose, []);
    lanes.get(whose).push(visit);
  }
  $("day").hidden = lanes.size === 0;
  $("day-title").textContent = dayFrom().toLocaleDateString(locale, { weekday: "long", day: "numeric", month: "long" });
  refill($("day-lanes"), [...lanes].map(([whose, theirs]) => lane(whose, theirs)));
}

function lane(whose, theirs) {
  const [from, whole] = [dayFrom().getTime(), dayTo() - dayFrom()];
  const part = (moment) => Math.min(1, Math.max(0, (moment - from) / whole));
  const bars = theirs.map((visit) => {
    const [begin, end] = [new Date(visit.begin), visit.end ? new Date(visit.end) : new Date()];
    const text = `${whose}, ${visit.camera}, ${time(visit.begin)}, ${stay(visit)}`;
    return el("button", { type: "button", "aria-label": text, title: text, css: { left: `${100 * part(begin)}%`, width: `${100 * (part(end) - part(begin))}%` }, on: { click: () => show(visit) } });
  });
  const named = theirs.some((visit) => visit.person);
  return el("div", { class: named ? "line" : "line unknown", css: { "--hue": hue(whose) } },
    el("div", { class: "whom" }, el("span", { title: whose }, whose)), el("div", { class: "track" }, ...bars), el("span", {}, `${theirs.length}×`));
}

function show(visit) {
  if (!visits.has(visit.id)) { visits.set(visit.id, visit); draw(); }
  const node = $(`visit-${visit.id}`);
  node.scrollIntoView({ block: "center" });
  node.classList.add("shown");
  setTimeout(() => node.classList.remove("shown"), 2000);
  node.querySelector("button")?.focus({ preventScroll: true });
}

// -- what they add up to

function recount() {
  if (counting) return;
  counting = setTimeout(() => { counting = null; if (following) countAll().catch(complain); }, COUNT_MS);
}

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

async function countAll() {
  const said = filters();
  said.set("zone", Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");
  const counts = await api.counts(said);
  const colours = Object.assign({}, ...told().map((one) => one.colours));
  const charts = [
    chart(counts.by_hour, t`Visits per hour of the day`),
    counts.by_day.rows.length > 1 ? chart(counts.by_day, t`Visits per day`) : null,
    counts.by_camera.rows.length > 1 ? chart(counts.by_camera, t`Visits per camera`) : null,
    ...told().map((one) => chart(counts.attributes[one.plural] ?? { rows: [], counts: [] }, capital(word(one.plural)), { colours })),
  ].filter(Boolean);
  $("counts").hidden = charts.length === 0;
  const crossed = counts.crossed ? t` ${counts.crossed} of them were seen by several cameras.` : "";
  const times = counts.stays === 1 ? t`Somebody came once` : t`Somebody came ${counts.stays} times`;
  const anonymous = identified ? "" : t` Nobody is described or compared: this service only counts.`;
  $("counts-lead").textContent = `${times}.${crossed}${anonymous}`;
  const open = new Set([...$("counts-charts").querySelectorAll("details[open]")].map((d) => d.closest("section").firstChild.textContent));
  for (const one of charts) one.querySelector("details").open = open.has(one.firstChild.textContent);
  $("counts-charts").replaceChildren(...charts);
}

// -- as they happen

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
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

// The day before or after the one that is shown.
function turn(days) {
  const day = dayFrom();
  day.setDate(day.getDate() + days);
  $("visits-day").value = iso(day);
  return list();
}

export function start() {
  $("visits-more").addEventListener("click", () => list(true).catch(complain));
  for (const name of ["camera", "person", "day"]) $(`visits-${name}`).addEventListener("change", () => list().catch(complain));
  $("day-before").addEventListener("click", () => turn(-1).catch(complain));
  $("day-after").addEventListener("click", () => turn(1).catch(complain));
}
