// Cameras: a wall of what they show, and the visits they saw, newest first, as they happen.

import * as api from "./api.js";
import { t } from "./lang.js";
import * as rules from "./rules.js";
import { $, announce, ask, complain, el, iconButton } from "./ui.js";
import * as visits from "./visits.js";

const STATE_MS = 3000;
const LARGE_MS = 200; // a camera that is shown large
const WORDS = { starting: t`Connecting`, up: "", down: t`No picture`, off: t`Off, by its hours`, ended: t`Ended` };

let canChange = false;
let cameras = [];
let timers = [];
const removed = new Set(); // ids that an answer under way may still list
const tiles = new Map(); // camera id -> {node, image, caption, url}

export function allow(server) {
  canChange = server.role === "admin";
  $("nav-cameras").hidden = !server.watching;
  $("cameras-add").hidden = !canChange;
  visits.allow(server);
  rules.allow(server);
}

export function open() {
  if (timers.length) return;
  pace();
  states().then(look).catch(complain);
  visits.open().catch(complain);
  rules.refresh().catch(complain);
}

export function close() {
  visits.close();
  timers.forEach(clearInterval);
  timers = [];
}

// Pictures are asked for at the rate that is chosen here, and no faster than they come.
function pace() {
  timers.forEach(clearInterval);
  timers = [setInterval(look, Number($("cameras-rate").value) || 1000), setInterval(states, STATE_MS), setInterval(lookLarge, LARGE_MS)];
}

async function states() {
  const found = await api.cameras().catch(() => cameras);
  cameras = found.filter((camera) => !removed.has(camera.id));
  const known = new Set(cameras.map((camera) => camera.id));
  for (const [id, tile] of tiles) if (!known.has(id)) { tile.node.remove(); tiles.delete(id); }
  for (const camera of cameras) show(camera);
  $("cameras-blank").hidden = cameras.length > 0;
  choices();
}

function show(camera) {
  let tile = tiles.get(camera.id);
  if (!tile) {
    const image = el("img", { alt: t`What ${camera.name} shows`, decoding: "async" });
    const caption = el("figcaption");
    const bin = canChange && camera.editable ? iconButton("bin", t`Remove ${camera.name}`, () => remove(camera).catch(complain), "danger") : null;
    const large = el("button", { class: "enlarge", type: "button", "aria-label": t`Show ${camera.name} large`, "aria-pressed": "false", on: { click: () => enlarge(camera.id) } });
    tile = { node: el("li", {}, el("figure", {}, image, caption), large, bin), image, caption, large, url: null };
    tiles.set(camera.id, tile);
    $("cameras-wall").append(tile.node);
  }
  const up = camera.state === "up";
  tile.node.classList.add("camera");
  tile.node.classList.toggle("up", up);
  const said = up ? t`${Math.round(camera.fps)} pictures a second` : camera.why || WORDS[camera.state];
  tile.caption.replaceChildren(el("i", { "aria-hidden": "true" }), el("b", {}, camera.name), el("span", {}, said));
}

// One camera over the whole width, or as one of many again.
function enlarge(id) {
  for (const [other, tile] of tiles) {
    const large = other === id && tile.large.getAttribute("aria-pressed") === "false";
    tile.large.setAttribute("aria-pressed", String(large));
    tile.node.classList.toggle("large", large);
  }
}

function look() {
  for (const camera of cameras) picture(camera);
}

function lookLarge() {
  for (const camera of cameras) if (tiles.get(camera.id)?.node.classList.contains("large")) picture(camera);
}

// A picture of a camera that is up, when the last one has come.
function picture(camera) {
  const tile = tiles.get(camera.id);
  if (document.hidden || !tile || tile.asking || !camera.last_picture || !["up", "ended"].includes(camera.state)) return;
  tile.asking = true;
  api.blob(`/v1/cameras/${camera.id}/picture`).then((found) => {
    const before = tile.url;
    tile.url = URL.createObjectURL(found);
    tile.image.src = tile.url;
    if (before) URL.revokeObjectURL(before);
  }, () => { /* none has come yet */ }).finally(() => { tile.asking = false; });
}

// -- cameras that are added

function choices() {
  const chosen = $("visits-camera").value;
  const options = cameras.map((camera) => el("option", { value: camera.name }, camera.name));
  $("visits-camera").replaceChildren(el("option", { value: "" }, t`All cameras`), ...options);
  $("visits-camera").value = chosen;
}

async function add() {
  const name = el("input", { type: "text", name: "name", required: true, maxLength: 100, autocomplete: "off", placeholder: "door" });
  const source = el("input", { type: "text", name: "source", required: true, maxLength: 2000, autocomplete: "off", placeholder: "rtsp://user:password@camera/stream" });
  const flip = el("input", { type: "checkbox", name: "flip" });
  const turn = el("select", { name: "turn" }, ...[0, 90, 180, 270].map((angle) => el("option", { value: angle }, `${angle}°`)));
  const body = el("div", {}, el("p", { class: "hint" }, t`The address of an RTSP or MJPEG camera.`),
    el("label", { class: "field" }, el("span", {}, t`Name`), name), el("label", { class: "field" }, el("span", {}, t`Address`), source),
    el("label", { class: "field" }, el("span", {}, t`Turned clockwise by`), turn), el("label", { class: "check" }, flip, t`Mirrored`));
  const submit = () => api.addCamera({ name: name.value.trim(), source: source.value.trim(), turn: Number(turn.value), flip: flip.checked });
  const done = await ask({ title: t`Add a camera`, body, ok: t`Add`, submit });
  if (!done) return;
  removed.delete(done.id);
  announce(t`${done.name} is watched.`);
  await states();
}

async function remove(camera) {
  const body = el("p", {}, t`It is watched no longer. Its visits stay as long as they are kept.`);
  const done = await ask({ title: t`Remove ${camera.name}?`, body, ok: t`Remove`, submit: async () => {
    removed.add(camera.id); // nobody asks for its picture any more
    cameras = cameras.filter((one) => one.id !== camera.id);
    await api.removeCamera(camera.id);
    return true;
  } });
  if (done) await states();
}

export function start() {
  visits.start();
  rules.start(() => cameras);
  $("cameras-add").addEventListener("click", () => add().catch(complain));
  $("cameras-rate").value = localStorage.getItem("mien.rate") ?? "1000";
  $("cameras-rate").addEventListener("change", () => {
    localStorage.setItem("mien.rate", $("cameras-rate").value);
    pace();
  });
}
