// People: everybody in the gallery; enrol, rename, merge, look at photos, delete with undo.

import * as api from "./api.js";
import { locale, t, word } from "./lang.js";
import { $, advice, announce, ask, complain, el, hue, icon, iconButton, initials, nameField, refill, toast } from "./ui.js";

const UNDO_SECONDS = 6;
const FILM_MS = 5000;

let everybody = [];
let canChange = true;
const leaving = new Map(); // id -> what really deletes
const portraits = new Map(); // id -> promise of an address, "" where there is no picture
const inSight = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((e) => portray(e.target)));

export async function refresh() {
  try {
    everybody = await api.people();
    draw();
  } catch (error) { complain(error); }
}

export function allow(role) {
  canChange = role === "admin";
  $("people-add").hidden = !canChange;
}

function draw() {
  const wanted = $("people-search").value.trim().toLowerCase();
  const shown = everybody.filter((p) => !leaving.has(p.id) && p.name.toLowerCase().includes(wanted));
  refill($("people-list"), shown.map(card));
  $("people-blank").hidden = everybody.some((p) => !leaving.has(p.id));
  const n = everybody.length - leaving.size;
  const [one, many] = [t`One person`, t`${n} people`];
  $("people-lead").textContent = n > 0 ? t`${n === 1 ? one : many} mien recognises by name.` : t`Everybody mien recognises by name.`;
}

function card(person) {
  const look = iconButton("photo", t`Photos of ${person.name}`, () => showPhotos(person).catch(complain));
  const tools = canChange ? el("div", { class: "row" },
    el("button", { class: "button quiet small", type: "button", "aria-label": t`Add photos of ${person.name}`, on: { click: () => addPhotos(person) } }, t`Add photos`),
    look,
    iconButton("pen", t`Rename ${person.name}`, () => rename(person)),
    everybody.length > 1 ? iconButton("merge", t`Merge ${person.name} into somebody else`, () => merge(person)) : null,
    iconButton("bin", t`Delete ${person.name}`, () => remove(person), "danger")) : el("div", { class: "row" }, look);
  return el("li", { class: "card", css: { "--hue": hue(person.name) } },
    avatar(person),
    el("div", {}, el("h2", {}, person.name), el("p", {}, counted(person.photos))),
    tools);
}

// The initials, until the face is there; it is asked for when the card comes in sight.
function avatar(person) {
  const node = el("span", { class: "avatar", "aria-hidden": "true" }, initials(person.name));
  node.dataset.person = person.id;
  inSight.observe(node);
  return node;
}

async function portray(node) {
  inSight.unobserve(node);
  const id = node.dataset.person;
  if (!portraits.has(id)) portraits.set(id, api.blob(`/v1/people/${id}/thumbnail`).then((b) => (b.size ? URL.createObjectURL(b) : "")));
  try {
    const src = await portraits.get(id);
    if (src) node.replaceChildren(el("img", { src, alt: "", width: 54, height: 54, decoding: "async" }));
  } catch { portraits.delete(id); /* gone since: the next list tells */ }
}

function changed(text) {
  toast(text);
  announce(text);
  window.dispatchEvent(new CustomEvent("mien:people"));
}

async function rename(person) {
  const { input, field } = nameField([], { label: t`New name`, value: person.name });
  const done = await ask({ title: t`Rename ${person.name}`, body: field, submit: () => api.rename(person.id, input.value.trim()) });
  if (done) changed(t`${person.name} is now ${done.name}.`);
}

async function merge(person) {
  const others = everybody.filter((p) => p.id !== person.id && !leaving.has(p.id));
  const select = el("select", { name: "into" }, ...others.map((p) => el("option", { value: p.id }, p.name)));
  const body = el("div", {}, el("label", { class: "field" }, el("span", {}, t`Who are they really?`), select), el("p", { class: "hint" }, t`All photos of ${person.name} become theirs, and ${person.name} disappears.`));
  const done = await ask({ title: t`Merge ${person.name}`, body, ok: t`Merge`, submit: () => api.merge(person.id, select.value) });
  if (done) changed(t`${person.name} was merged into ${done.name}.`);
}

function remove(person) {
  const finish = async (options) => {
    if (!leaving.delete(person.id)) return;
    clearTimeout(timer);
    try {
      await api.removePerson(person.id, options);
      window.dispatchEvent(new CustomEvent("mien:people"));
    } catch (error) { complain(error); refresh(); }
  };
  const timer = setTimeout(finish, UNDO_SECONDS * 1000);
  leaving.set(person.id, finish);
  draw();
  announce(t`${person.name} is being deleted. Undo is possible for ${UNDO_SECONDS} seconds.`);
  toast(t`Deleting ${person.name} and all that is known of them…`, {
    action: t`Undo`, seconds: UNDO_SECONDS,
    run: () => { clearTimeout(timer); leaving.delete(person.id); draw(); announce(t`${person.name} stays.`); },
  });
  ($("people-list").querySelector("button") ?? $("people-add")).focus();
}

// Each photo with its face, when it came and how good it is; chosen ones are removed.
async function showPhotos(person) {
  const [photos, denied] = await Promise.all([api.photos(person.id), api.denied(person.id)]);
  const boxes = photos.map((photo) => el("input", { type: "checkbox", name: "photo", value: photo.sha256, "aria-label": described(photo), hidden: !canChange }));
  const tiles = photos.map((photo, i) => el("label", { title: photo.source }, boxes[i], tile(photo), el("small", {}, when(photo)), el("small", {}, worth(photo))));
  const hint = canChange ? t`Choose the photos that should go. Without any ${person.name} is forgotten.` : t`Faces that mien compares with.`;
  const others = denied.map((face) => el("input", { type: "checkbox", name: "not", value: face.id, "aria-label": `${face.source}, ${when(face)}`, hidden: !canChange }));
  const again = canChange ? t` Chosen ones may get the name again.` : "";
  const body = el("div", {}, el("p", { class: "hint" }, hint), el("div", { class: "mugs choose told", role: "group", "aria-label": t`Photos` }, ...tiles),
    denied.length > 0 && el("p", { class: "hint" }, t`Faces that were said not to be ${person.name}.${again}`),
    denied.length > 0 && el("div", { class: "mugs choose told", role: "group", "aria-label": t`Not ${person.name}` }, ...denied.map((face, i) => el("label", { title: face.source }, others[i], tile(face), el("small", {}, when(face))))));
  const done = await ask({ title: t`Photos of ${person.name}`, body, ok: canChange ? t`Remove` : t`Close`, submit: () => (canChange ? removeChosen(person, boxes, others) : null) });
  if (done === "allowed") return changed(t`Taken back: these may be ${person.name}.`);
  if (done) changed(done === photos.length ? t`${person.name} is forgotten.` : t`${counted(done)} of ${person.name} removed.`);
}

async function removeChosen(person, boxes, others) {
  const chosen = boxes.filter((box) => box.checked);
  const allowed = others.filter((box) => box.checked);
  if (!chosen.length && !allowed.length) throw new Error(t`Choose the photos to remove.`);
  for (const box of allowed) await api.allow(person.id, box.value);
  if (!chosen.length) return "allowed";
  for (const box of chosen) await api.removePhoto(person.id, box.value);
  return chosen.length;
}

function tile(photo) {
  if (!photo.thumbnail) return el("span", { class: "mug none" }, t`no picture kept`);
  const img = el("img", { class: "mug", alt: "", decoding: "async" });
  api.blob(photo.thumbnail).then((b) => { img.src = URL.createObjectURL(b); }, () => { /* gone since */ });
  return img;
}

const counted = (n) => (n === 1 ? t`1 photo` : t`${n} photos`);
const when = (photo) => new Date(photo.added).toLocaleDateString(locale, { day: "numeric", month: "short", year: "numeric" });
const verdict = (photo) => word(photo.wrong) || (photo.weight === 0 ? t`unlike the others` : photo.weight < 1 ? t`poor` : t`good`);
const worth = (photo) => (photo.quality === null ? verdict(photo) : t`${verdict(photo)}, quality ${Math.round(100 * photo.quality)} %`);
const described = (photo) => `${photo.source}, ${when(photo)}, ${worth(photo)}`;

async function addPhotos(person) {
  const picker = photoPicker();
  const done = await ask({ title: t`Photos of ${person.name}`, body: picker.body, ok: t`Add`, closed: picker.stop, submit: () => api.enrol({ id: person.id, files: picker.files(), largest: picker.largest() }) });
  if (done) changed(t`${done.name} has ${counted(done.photos)} now.${advice(done)}`);
}

async function addPerson() {
  const picker = photoPicker();
  const { input, field } = nameField([]);
  const done = await ask({ title: t`Add a person`, body: el("div", {}, field, picker.body), ok: t`Add`, closed: picker.stop, submit: () => api.enrol({ name: input.value.trim(), files: picker.files(), largest: picker.largest() }) });
  if (done) changed(t`${done.name} will be recognised from now on.${advice(done)}`);
}

// Photos from files or from the camera.
function photoPicker() {
  let files = [];
  let stream = null;
  const picked = el("div", { class: "picked" });
  const show = () => picked.replaceChildren(...files.map((f) => (f.type.startsWith("video/") ? el("video", { src: URL.createObjectURL(f), muted: true, "aria-label": f.name }) : el("img", { src: URL.createObjectURL(f), alt: f.name }))));
  const input = el("input", { class: "hidden", type: "file", accept: "image/*,.heic,.heif,video/*", multiple: true, tabIndex: -1, "aria-label": t`Photos and films`, name: "photos", on: { change: (e) => { files = [...files, ...e.target.files]; show(); } } });
  const video = el("video", { class: "viewfinder", autoplay: true, muted: true, playsInline: true, hidden: true, "aria-label": t`Camera` });
  const largest = el("input", { type: "checkbox" });
  const camera = el("button", { class: "button quiet", type: "button", on: { click: () => (stream ? take() : open()) } }, icon("camera"), el("span", {}, t`Use the camera`));
  const label = camera.lastChild;
  const filming = el("button", { class: "button quiet", type: "button", hidden: !window.MediaRecorder, on: { click: () => record().catch(complain) } }, icon("film"), el("span", {}, t`Film some seconds`));

  async function open() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
    } catch { label.textContent = t`No camera`; return; }
    video.srcObject = stream;
    video.hidden = false;
    label.textContent = t`Take the photo`;
  }

  async function take() {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    files = [...files, new File([blob], "camera.jpg", { type: "image/jpeg" })];
    show();
    stop();
    label.textContent = t`Take another`;
  }

  // Some seconds of film: the frames that are worth it choose themselves at the service.
  async function record() {
    if (!stream) await open();
    if (!stream) return;
    const parts = [];
    const recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      files = [...files, new File(parts, "camera.webm", { type: "video/webm" })];
      show();
      stop();
      filming.disabled = false;
      filming.lastChild.textContent = t`Film again`;
    };
    filming.disabled = true;
    filming.lastChild.textContent = t`Turn your head slowly…`;
    recorder.start();
    setTimeout(() => recorder.state === "recording" && recorder.stop(), FILM_MS);
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = true;
  }

  const choose = el("button", { class: "button quiet", type: "button", on: { click: () => input.click() } }, icon("photo"), t`Choose photos or films`);
  const body = el("div", {}, video, el("div", { class: "sources" }, choose, camera, filming), input, picked, el("label", { class: "check" }, largest, t`If there are several people, take the largest face`));
  return {
    body, stop, largest: () => largest.checked,
    files: () => { if (!files.length) throw new Error(t`Choose a photo, or take one with the camera.`); return files; },
  };
}

export function start() {
  $("people-add").addEventListener("click", () => addPerson().catch(complain));
  $("people-search").addEventListener("input", draw);
  window.addEventListener("mien:people", () => { portraits.clear(); refresh(); });
  window.addEventListener("pagehide", () => leaving.forEach((finish) => finish({ keepalive: true })));
}
