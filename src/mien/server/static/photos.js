// Photos: dropped, pasted or chosen; each shown with its faces.

import * as api from "./api.js";
import { t } from "./lang.js";
import { nameFace } from "./naming.js";
import { take } from "./taking.js";
import { $, about, announce, arrange, ask, bars, changing, complain, crop, el, faceButton, nameOf, refill, toast } from "./ui.js";

const LATER = [0, 401, 429, 503]; // the service's answers that are not about the picture
const items = [];
let current = null;

export function add(files) {
  const fresh = files.map((file) => ({ file, url: URL.createObjectURL(file), result: null, error: null, picture: null }));
  items.push(...fresh);
  show(fresh[0] ?? current);
  return work(fresh);
}

async function work(list) {
  for (const item of list) {
    if (!items.includes(item)) continue; // cleared meanwhile
    try {
      item.error = null;
      item.later = false;
      item.result = await api.analyze(item.file);
      announce(`${item.file.name}: ${count(item.result.faces.length)}`);
    } catch (error) {
      item.error = error.message;
      item.later = LATER.includes(error.status);
    }
    if (item === current) draw();
    strip();
  }
}

export function again() {
  return work(items.filter((item) => !item.error));
}

// What could not be looked at because there was no key or no service.
export function retry() {
  const waiting = items.filter((item) => item.later);
  for (const item of waiting) {
    item.error = null;
    item.later = false; // whoever asks again meanwhile sends none of them twice
  }
  return work(waiting);
}

const count = (n) => (n === 0 ? t`no faces` : n === 1 ? t`1 face` : t`${n} faces`);

function show(item) {
  current = item;
  $("photos-drop").hidden = items.length > 0;
  $("photos-work").hidden = items.length === 0;
  $("photos-clear").hidden = items.length === 0;
  $("photos-blur").hidden = true;
  $("photos-take").hidden = true;
  strip();
  if (item) draw();
}

function clear() {
  for (const item of items.splice(0)) URL.revokeObjectURL(item.url);
  $("photos-canvas").replaceChildren();
  show(null);
  $("photos-drop").focus();
}

function strip() {
  const tiles = items.map((item) => {
    const selected = item === current;
    const faces = item.result?.faces.length;
    return el("button", { type: "button", role: "option", "aria-selected": String(selected), tabIndex: selected ? 0 : -1, class: item.result || item.error ? "" : "working", "aria-label": `${item.file.name}${faces === undefined ? "" : `, ${count(faces)}`}`, on: { click: () => show(item) } },
      el("img", { src: item.url, alt: "" }), faces === undefined ? null : el("span", { class: "count", "aria-hidden": "true" }, String(faces)));
  });
  $("photos-strip").replaceChildren(...tiles);
  $("photos-strip").hidden = items.length < 2;
}

async function draw() {
  const item = current;
  const picture = item.picture ?? (await load(item));
  if (item !== current) return;
  const canvas = $("photos-canvas");
  const faces = item.result?.faces ?? [];
  canvas.classList.toggle("working", !item.result && !item.error);
  const size = item.result ?? { width: 1, height: 1 };
  const buttons = item.drawn ? [] : faces.map((face, i) => mark(faceButton(face, size, { run: () => name(item, face) }), i));
  refill(canvas, [picture, ...buttons]);
  const pixels = picture.clientWidth / size.width;
  const narrow = faces.filter((f) => (f.box[2] - f.box[0]) * pixels < 64).length;
  canvas.classList.toggle("small-faces", faces.length > 1 && narrow > faces.length / 2);
  arrange(buttons);
  $("photos-caption").textContent = item.error ? "" : item.file.name;
  $("photos-blur").hidden = !item.result;
  $("photos-take").hidden = !item.result;
  panel(item, faces, picture);
}

function mark(node, i) {
  node.dataset.face = i;
  for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focus", true], ["blur", false]]) {
    node.addEventListener(event, () => document.querySelectorAll(`#photos [data-face="${i}"]`).forEach((n) => n.classList.toggle("active", on)));
  }
  return node;
}

async function load(item) {
  const image = el("img", { alt: item.file.name, src: item.url });
  try {
    await image.decode();
  } catch { // a format this browser cannot show (HEIC): the service draws it
    try {
      image.src = URL.createObjectURL(await api.analyze(item.file, { draw: true }));
      await image.decode();
      item.drawn = true;
    } catch { image.alt = t`This picture cannot be shown.`; }
  }
  item.picture = image;
  return image;
}

function panel(item, faces, picture) {
  const head = item.error ? t`Cannot be analysed` : item.result ? count(faces.length).replace(/^./, (c) => c.toUpperCase()) : t`Looking…`;
  $("photos-count").replaceChildren(head, el("small", {}, item.result ? `${item.result.width} × ${item.result.height}` : ""));
  const rows = faces.map((face, i) => mark(row(item, face, picture, faces.length > 1 ? t`face ${i + 1}` : t`this face`), i));
  if (item.error) rows.push(el("li", {}, el("p", { class: "hint" }, item.error)));
  else if (item.result && !faces.length) rows.push(el("li", {}, el("p", { class: "hint" }, t`Nobody was found in this picture.`)));
  refill($("photos-faces"), rows);
}

function row(item, face, picture, called) {
  const known = Boolean(face.name);
  const charted = changing().filter((one) => face[`${one.name}_probs`]);
  return el("li", {},
    crop(picture, face.box),
    el("div", {}, el("p", { class: known ? "who" : "who unknown" }, nameOf(face)), el("p", { class: "about" }, about(face, { long: true, without: charted }) || t`score ${face.score.toFixed(2)}`), distance(face)),
    face.distance === undefined ? el("span") : el("div", { class: "acts" },
      el("button", { class: "button quiet small", type: "button", "aria-label": known ? t`Correct the name ${face.name}` : t`Name ${called}`, on: { click: () => name(item, face) } }, known ? t`Correct` : t`Name`),
      known && el("button", { class: "button quiet small", type: "button", "aria-label": t`This is not ${face.name}`, on: { click: () => notThem(item, face).catch(complain) } }, t`Not ${face.name}`),
      el("button", { class: "button quiet small", type: "button", "aria-label": t`Where else is ${known ? face.name : called}?`, on: { click: () => whereElse(item, face).catch(complain) } }, t`Where else?`)),
    ...charted.map((one) => bars(face[`${one.name}_probs`])));
}

// How far the face is from the nearest that is enrolled, and how likely the name is.
function distance(face) {
  if (typeof face.distance !== "number") return null;
  const likely = typeof face.name_probability === "number" && face.name ? t`, ${Math.floor(100 * face.name_probability)} % likely` : "";
  return el("p", { class: "about" }, t`distance ${face.distance.toFixed(2)}${likely}`);
}

async function name(item, face) {
  try {
    if (await nameFace(face, item.file, item.picture)) await again();
  } catch (error) { complain(error); }
}

// The face never gets this name again, until that is taken back.
async function notThem(item, face) {
  const person = (await api.people()).find((one) => one.name === face.name);
  if (!person) throw new Error(t`${face.name} is not in the gallery any more.`);
  const said = await api.deny(person.id, item.file, face.box);
  const take = async () => {
    for (const one of said) await api.allow(person.id, one.id);
    window.dispatchEvent(new CustomEvent("mien:people"));
  };
  const text = t`This is not ${face.name}: noted. Faces like it must be nearer to get the name.`;
  toast(text, { action: t`Undo`, seconds: 8, run: () => take().catch(complain) });
  announce(text);
  window.dispatchEvent(new CustomEvent("mien:people"));
}

// The faces nearest to one, of those enrolled and those kept as unknown.
async function whereElse(item, face) {
  const found = await api.find(item.file, face.box);
  const same = found.filter((one) => one.same).length;
  const rest = same < found.length ? t` The rest is less alike.` : "";
  const lead = !found.length ? t`No face is kept that it could be compared with.` : same ? t`Probably the same person: ${count(same)}.${rest}` : t`Nobody like this was seen before. The nearest are:`;
  const tiles = found.map((one) => el("li", { class: one.same ? "same" : "", title: one.source }, pictureOf(one), el("small", {}, one.name ?? t`Unknown`), el("small", {}, t`distance ${one.distance.toFixed(2)}`), one.probability === null ? null : el("small", {}, t`${Math.floor(100 * one.probability)} % likely`)));
  const body = el("div", {}, el("div", { class: "snapshot" }, crop(item.picture, face.box, 192), el("p", {}, lead)), el("ul", { class: "mugs told found" }, ...tiles));
  announce(lead);
  await ask({ title: t`Where else is this face?`, body, ok: t`Close`, submit: () => null });
}

function pictureOf(one) {
  if (!one.thumbnail) return el("span", { class: "mug none" }, t`no picture kept`);
  const img = el("img", { class: "mug", alt: "", decoding: "async" });
  api.blob(one.thumbnail).then((b) => { img.src = URL.createObjectURL(b); }, () => { /* gone since */ });
  return img;
}

// The picture with unrecognisable faces, to be kept.
async function takeBlurred(item) {
  const copy = await api.blur(item.file);
  const url = URL.createObjectURL(copy);
  el("a", { href: url, download: `${item.file.name.replace(/\.[^.]*$/, "")}-blurred.jpg` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  announce(t`A blurred copy of ${item.file.name} was saved. Look at it before you publish it.`);
}

export function start(choose) {
  for (const id of ["photos-add", "photos-drop"]) $(id).addEventListener("click", () => $("photos-input").click());
  $("photos-input").addEventListener("change", (e) => { choose([...e.target.files]); e.target.value = ""; });
  $("photos-clear").addEventListener("click", clear);
  $("photos-take").addEventListener("click", () => take(current, items));
  $("photos-blur").addEventListener("click", () => takeBlurred(current).catch(complain));
  $("photos-strip").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    show(items[(items.indexOf(current) + step + items.length) % items.length]);
    $("photos-strip").querySelector("[aria-selected=true]").focus();
  });
  window.addEventListener("mien:people", () => again());
}
