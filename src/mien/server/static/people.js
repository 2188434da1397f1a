// People: everybody in the gallery; enrol, rename, merge, delete with undo.

import * as api from "./api.js";
import { $, announce, ask, complain, el, hue, icon, iconButton, initials, nameField, refill, toast } from "./ui.js";

const UNDO_SECONDS = 6;

let everybody = [];
let canChange = true;
const leaving = new Map(); // id -> what really deletes

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
  $("people-lead").textContent = n > 0 ? `${n === 1 ? "One person" : `${n} people`} mien recognises by name.` : "Everybody mien recognises by name.";
}

function card(person) {
  const tools = canChange ? el("div", { class: "row" },
    el("button", { class: "button quiet small", type: "button", "aria-label": `Add photos of ${person.name}`, on: { click: () => addPhotos(person) } }, "Add photos"),
    iconButton("pen", `Rename ${person.name}`, () => rename(person)),
    everybody.length > 1 ? iconButton("merge", `Merge ${person.name} into somebody else`, () => merge(person)) : null,
    iconButton("bin", `Delete ${person.name}`, () => remove(person), "danger")) : null;
  return el("li", { class: "card", css: { "--hue": hue(person.name) } },
    el("span", { class: "avatar", "aria-hidden": "true" }, initials(person.name)),
    el("div", {}, el("h2", {}, person.name), el("p", {}, person.photos === 1 ? "1 photo" : `${person.photos} photos`)),
    tools);
}

function changed(text) {
  toast(text);
  announce(text);
  window.dispatchEvent(new CustomEvent("mien:people"));
}

async function rename(person) {
  const { input, field } = nameField([], { label: "New name", value: person.name });
  const done = await ask({ title: `Rename ${person.name}`, body: field, submit: () => api.rename(person.id, input.value.trim()) });
  if (done) changed(`${person.name} is now ${done.name}.`);
}

async function merge(person) {
  const others = everybody.filter((p) => p.id !== person.id && !leaving.has(p.id));
  const select = el("select", { name: "into" }, ...others.map((p) => el("option", { value: p.id }, p.name)));
  const body = el("div", {}, el("label", { class: "field" }, el("span", {}, "Who are they really?"), select), el("p", { class: "hint" }, `All photos of ${person.name} become theirs, and ${person.name} disappears.`));
  const done = await ask({ title: `Merge ${person.name}`, body, ok: "Merge", submit: () => api.merge(person.id, select.value) });
  if (done) changed(`${person.name} was merged into ${done.name}.`);
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
  announce(`${person.name} is being deleted. Undo is possible for ${UNDO_SECONDS} seconds.`);
  toast(`Deleting ${person.name} and all that is known of them…`, {
    action: "Undo", seconds: UNDO_SECONDS,
    run: () => { clearTimeout(timer); leaving.delete(person.id); draw(); announce(`${person.name} stays.`); },
  });
  ($("people-list").querySelector("button") ?? $("people-add")).focus();
}

async function addPhotos(person) {
  const picker = photoPicker();
  const done = await ask({ title: `Photos of ${person.name}`, body: picker.body, ok: "Add", closed: picker.stop, submit: () => api.enrol({ id: person.id, files: picker.files(), largest: picker.largest() }) });
  if (done) changed(`${done.name} has ${done.photos === 1 ? "1 photo" : `${done.photos} photos`} now.`);
}

async function addPerson() {
  const picker = photoPicker();
  const { input, field } = nameField([]);
  const done = await ask({ title: "Add a person", body: el("div", {}, field, picker.body), ok: "Add", closed: picker.stop, submit: () => api.enrol({ name: input.value.trim(), files: picker.files(), largest: picker.largest() }) });
  if (done) changed(`${done.name} will be recognised from now on.`);
}

// Photos from files or from the camera.
function photoPicker() {
  let files = [];
  let stream = null;
  const picked = el("div", { class: "picked" });
  const show = () => picked.replaceChildren(...files.map((f) => el("img", { src: URL.createObjectURL(f), alt: f.name })));
  const input = el("input", { class: "hidden", type: "file", accept: "image/*,.heic,.heif", multiple: true, tabIndex: -1, "aria-label": "Photos", name: "photos", on: { change: (e) => { files = [...files, ...e.target.files]; show(); } } });
  const video = el("video", { class: "viewfinder", autoplay: true, muted: true, playsInline: true, hidden: true, "aria-label": "Camera" });
  const largest = el("input", { type: "checkbox" });
  const camera = el("button", { class: "button quiet", type: "button", on: { click: () => (stream ? take() : open()) } }, icon("camera"), el("span", {}, "Use the camera"));
  const label = camera.lastChild;

  async function open() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
    } catch { label.textContent = "No camera"; return; }
    video.srcObject = stream;
    video.hidden = false;
    label.textContent = "Take the photo";
  }

  async function take() {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    files = [...files, new File([blob], "camera.jpg", { type: "image/jpeg" })];
    show();
    stop();
    label.textContent = "Take another";
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.hidden = true;
  }

  const choose = el("button", { class: "button quiet", type: "button", on: { click: () => input.click() } }, icon("photo"), "Choose photos");
  const body = el("div", {}, video, el("div", { class: "sources" }, choose, camera), input, picked, el("label", { class: "check" }, largest, "If there are several people, take the largest face"));
  return {
    body, stop, largest: () => largest.checked,
    files: () => { if (!files.length) throw new Error("Choose a photo, or take one with the camera."); return files; },
  };
}

export function start() {
  $("people-add").addEventListener("click", () => addPerson().catch(complain));
  $("people-search").addEventListener("input", draw);
  window.addEventListener("mien:people", refresh);
  window.addEventListener("pagehide", () => leaving.forEach((finish) => finish({ keepalive: true })));
}
