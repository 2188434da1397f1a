// Unknown people: faces seen several times that nobody has named; name, split, merge, delete, undo.

import * as api from "./api.js";
import { locale, t } from "./lang.js";
import { $, announce, ask, complain, el, iconButton, nameField, refill, toast } from "./ui.js";

const UNDO_SECONDS = 6;
const SHOWN = 6;

let groups = [];
let waiting = 0;
let days = null;
let canChange = true;
let closeUndo = () => {};
const leaving = new Map(); // id -> what really deletes
const pictures = new Map(); // face id -> promise of an address

export async function refresh() {
  try {
    ({ groups, waiting, days } = await api.unknown());
    draw();
  } catch (error) { complain(error); }
}

export function allow(server) {
  canChange = server.role === "admin";
  days = server.keep_unknown_days;
  if (days === null) return;
  const text = t`Faces nobody has named are kept for ${inDays(days)}.`;
  for (const note of document.querySelectorAll("[data-kept]")) note.textContent = `${note.dataset.kept} ${text}`;
}

const inDays = (n) => (n === 1 ? t`one day` : t`${n} days`);
const faces = (n) => (n === 1 ? t`1 face` : t`${n} faces`);
const day = (time) => new Date(time).toLocaleDateString(locale, { day: "numeric", month: "short" });
const called = (group) => t`unknown person ${groups.indexOf(group) + 1}`;

function draw() {
  const shown = groups.filter((g) => !leaving.has(g.id));
  $("unknown").hidden = days === null && !groups.length;
  refill($("unknown-list"), shown.map(card));
  const kept = days === null ? t`Faces are no longer kept.` : t`Faces are kept for ${inDays(days)}.`;
  const more = waiting ? t` ${faces(waiting)} more ${waiting === 1 ? "was" : "were"} not seen often enough yet.` : "";
  const lead = shown.length ? t`Seen at least three times, and not named yet.` : t`Somebody seen at least three times will appear here.`;
  $("unknown-lead").textContent = `${lead} ${kept}${more}`;
}

function card(group) {
  const name = called(group);
  const when = day(group.first_seen) === day(group.last_seen) ? day(group.last_seen) : t`${day(group.first_seen)} to ${day(group.last_seen)}`;
  const tools = canChange ? el("div", { class: "row" },
    el("button", { class: "button quiet small", type: "button", "aria-label": t`Name ${name}`, on: { click: () => nameGroup(group).catch(complain) } }, t`Who is this?`),
    group.faces.length > 1 ? iconButton("split", t`Split ${name}`, () => split(group).catch(complain)) : null,
    groups.length > 1 ? iconButton("merge", t`Merge ${name} into another`, () => merge(group).catch(complain)) : null,
    iconButton("bin", t`Delete ${name}`, () => remove(group), "danger")) : null;
  return el("li", { class: "card unknown-card" }, heap(group),
    el("div", {}, el("h3", {}, name.charAt(0).toUpperCase() + name.slice(1)), el("p", {}, `${faces(group.faces.length)}, ${when}`)), tools);
}

// The newest faces side by side.
function heap(group) {
  const rest = group.faces.length - SHOWN;
  return el("div", { class: "heap", role: "img", "aria-label": t`${faces(group.faces.length)} of ${called(group)}` },
    ...group.faces.slice(0, SHOWN).map((face) => picture(face)), rest > 0 ? el("span", { class: "rest" }, `+${rest}`) : null);
}

function picture(face, alt = "") {
  const img = el("img", { class: "mug", alt, width: 56, height: 56, decoding: "async" });
  if (face.picture) address(face).then((url) => { img.src = url; }, () => { /* gone since: the next list tells */ });
  return img;
}

function address(face) {
  if (!pictures.has(face.id)) pictures.set(face.id, api.blob(`/v1/unknown/faces/${face.id}`).then((b) => URL.createObjectURL(b)));
  return pictures.get(face.id);
}

// Only the last change can be taken back, so only its message offers that.
function changed(text) {
  announce(text);
  closeUndo();
  closeUndo = toast(text, { action: t`Undo`, seconds: 2 * UNDO_SECONDS, run: () => undo().catch(complain) });
  window.dispatchEvent(new CustomEvent("mien:people"));
}

async function undo() {
  closeUndo();
  const done = await api.undoUnknown();
  const text = { name: t`${done.name} is unknown again.`, merge: t`They are two people again.`, split: t`They are one person again.` }[done.kind];
  toast(text);
  announce(text);
  window.dispatchEvent(new CustomEvent("mien:people"));
}

async function nameGroup(group) {
  const { input, field } = nameField(await api.people());
  const body = el("div", {}, el("div", { class: "mugs" }, ...group.faces.slice(0, 12).map((face) => picture(face))), el("p", { class: "hint" }, t`Type a name. Somebody mien already knows gets these as more photos.`), field);
  const done = await ask({ title: t`Who is this?`, body, submit: () => api.nameUnknown(group.id, input.value.trim()) });
  if (done) changed(t`${done.name} will be recognised from now on.`);
}

async function split(group) {
  const boxes = group.faces.map((face, i) => el("input", { type: "checkbox", value: face.id, name: "face", "aria-label": t`Face ${i + 1}, seen ${day(face.seen)} in ${face.source}` }));
  const body = el("div", {}, el("p", { class: "hint" }, t`Choose the faces that are somebody else.`), el("div", { class: "mugs choose", role: "group", "aria-label": t`Faces` }, ...group.faces.map((face, i) => el("label", { title: face.source }, boxes[i], picture(face)))));
  const done = await ask({ title: t`Split ${called(group)}`, body, ok: t`Split`, submit: () => {
    const chosen = boxes.filter((box) => box.checked).map((box) => Number(box.value));
    if (!chosen.length || chosen.length === boxes.length) throw new Error(t`Choose some of the faces, not all of them.`);
    return api.splitUnknown(group.id, chosen);
  } });
  if (done) changed(t`${faces(done.faces.length)} became another unknown person.`);
}

async function merge(group) {
  const others = groups.filter((g) => g.id !== group.id && !leaving.has(g.id));
  const radios = others.map((g, i) => el("input", { type: "radio", name: "into", value: g.id, checked: i === 0, "aria-label": `${called(g)}, ${faces(g.faces.length)}` }));
  const body = el("div", {}, el("p", { class: "hint" }, t`Which of these is the same person?`), el("div", { class: "others", role: "radiogroup", "aria-label": t`Unknown people` }, ...others.map((g, i) => el("label", {}, radios[i], heap(g)))));
  const done = await ask({ title: t`Merge ${called(group)}`, body, ok: t`Merge`, submit: () => api.mergeUnknown(group.id, radios.find((r) => r.checked).value) });
  if (done) changed(t`They are one unknown person with ${faces(done.faces.length)} now.`);
}

function remove(group) {
  const name = called(group);
  const finish = async (options) => {
    if (!leaving.delete(group.id)) return;
    clearTimeout(timer);
    try {
      await api.removeUnknown(group.id, options);
      refresh();
    } catch (error) { complain(error); refresh(); }
  };
  const timer = setTimeout(finish, UNDO_SECONDS * 1000);
  leaving.set(group.id, finish);
  draw();
  announce(t`The ${name} is being deleted. Undo is possible for ${UNDO_SECONDS} seconds.`);
  toast(t`Deleting these faces for good…`, {
    action: t`Undo`, seconds: UNDO_SECONDS,
    run: () => { clearTimeout(timer); leaving.delete(group.id); draw(); announce(t`The ${name} stays.`); },
  });
  ($("unknown-list").querySelector("button") ?? $("people-add")).focus();
}

export function start() {
  window.addEventListener("mien:people", () => { if (!$("people").hidden) refresh(); });
  window.addEventListener("pagehide", () => leaving.forEach((finish) => finish({ keepalive: true })));
}
