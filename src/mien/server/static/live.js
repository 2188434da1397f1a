// The live camera: frames go out over a WebSocket as fast as answers come back.

import * as api from "./api.js";
import { t } from "./lang.js";
import { nameFace } from "./naming.js";
import { $, about, complain, crop, el, faceButton, nameOf, refill } from "./ui.js";

const SIDE = 640; // pixels: the longer side of the frames sent
const IN_FLIGHT = 2;
const KEPT = 12;

let run = null;

// Whether somebody is alive can only be required where the service tells it.
export function allow(server) {
  $("live-alive-label").hidden = !server.attributes.some((one) => one.name === "live");
}

export const running = () => run !== null;

async function begin(deviceId) {
  if (!navigator.mediaDevices) throw new Error(t`This browser gives cameras to secure pages only: use https, or http://localhost.`);
  const video = deviceId ? { deviceId: { exact: deviceId } } : { width: { ideal: 1280 }, facingMode: "user" };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError" ? t`The camera was not allowed. Allow it in the browser's address bar.` : t`No camera could be opened.`);
  }
  const view = $("live-video");
  view.srcObject = stream;
  await view.play();
  run = { stream, socket: null, sent: 0, answered: 0, frames: new Map(), times: [], canvas: document.createElement("canvas"), nodes: new Map(), waiting: false, last: null };
  connect(run);
  await cameras(stream);
}

function connect(me) {
  me.socket = api.live({ alive: $("live-alive").checked });
  me.socket.onopen = () => { me.sent = 0; me.answered = 0; me.frames.clear(); pump(me); };
  me.socket.onmessage = (event) => answer(me, JSON.parse(event.data));
  me.socket.onclose = (event) => {
    if (run !== me) return;
    if (event.code === 1008) { stop(); complain(new Error(event.reason || t`The live connection was refused.`)); return; }
    $("live-hint").textContent = t`Connecting again…`;
    setTimeout(() => run === me && connect(me), 1500);
  };
}

function pump(me) {
  const view = $("live-video");
  if (run !== me || me.waiting || me.socket.readyState !== WebSocket.OPEN || me.sent - me.answered >= IN_FLIGHT || !view.videoWidth) {
    if (run === me && !view.videoWidth) requestAnimationFrame(() => pump(me));
    return;
  }
  const scale = Math.min(1, SIDE / Math.max(view.videoWidth, view.videoHeight));
  me.canvas.width = Math.round(view.videoWidth * scale);
  me.canvas.height = Math.round(view.videoHeight * scale);
  me.canvas.getContext("2d").drawImage(view, 0, 0, me.canvas.width, me.canvas.height);
  me.waiting = true;
  const taken = performance.now();
  me.canvas.toBlob((blob) => {
    me.waiting = false;
    if (run !== me || !blob || me.socket.readyState !== WebSocket.OPEN) return;
    me.frames.set(me.sent, { blob, taken });
    me.frames.delete(me.sent - KEPT);
    me.sent += 1;
    me.socket.send(blob);
    setTimeout(() => pump(me), 8);
  }, "image/jpeg", 0.82);
}

function answer(me, result) {
  if (run !== me) return;
  me.answered = result.index + 1;
  const now = performance.now();
  const frame = me.frames.get(result.index);
  if (frame && !result.error) {
    me.times = [...me.times.filter((t) => now - t < 2000), now];
    me.last = { result, frame };
    draw(me, result);
    gauges(me, now - frame.taken, result.faces.length);
  }
  pump(me);
}

function gauges(me, delay, faces) {
  const span = me.times.at(-1) - me.times[0];
  $("live-fps").textContent = span > 300 ? ((1000 * (me.times.length - 1)) / span).toFixed(0) : "…";
  $("live-delay").textContent = t`${Math.round(delay)} ms`;
  $("live-count").textContent = String(faces);
}

function draw(me, result) {
  place(result);
  const mirror = $("live-mirror").checked;
  const fresh = new Map();
  for (const face of result.faces) {
    const id = face.track_id ?? `n${fresh.size}`;
    const node = faceButton(face, result, { mirror });
    const old = me.nodes.get(id);
    if (old) {
      old.className = node.className;
      old.style.cssText = node.style.cssText;
      old.setAttribute("aria-label", node.getAttribute("aria-label"));
      if (old.innerHTML !== node.innerHTML) old.replaceChildren(...node.childNodes);
    } else {
      node.addEventListener("click", () => name(me, id));
      $("live-overlay").append(node);
    }
    fresh.set(id, old ?? node);
  }
  for (const [id, node] of me.nodes) if (!fresh.has(id)) node.remove();
  me.nodes = fresh;
  list(result);
}

// The overlay covers the picture itself, not the bars beside it.
function place(size) {
  const box = $("live-canvas").getBoundingClientRect();
  const scale = Math.min(box.width / size.width, box.height / size.height);
  const [width, height] = [size.width * scale, size.height * scale];
  Object.assign($("live-overlay").style, { width: `${width}px`, height: `${height}px`, left: `${(box.width - width) / 2}px`, top: `${(box.height - height) / 2}px` });
}

let listed = "";

function list(result) {
  const rows = result.faces.map((face) => [face.track_id, nameOf(face), about(face, { long: true })]);
  $("live-hint").hidden = rows.length > 0;
  $("live-hint").textContent = t`Nobody in view.`;
  const state = JSON.stringify(rows);
  if (state === listed) return;
  listed = state;
  const called = (i) => (rows.length > 1 ? t`face ${i + 1}` : t`this face`);
  refill($("live-faces"), result.faces.map((face, i) => el("li", {},
    crop(run.canvas, face.box),
    el("div", {}, el("p", { class: face.name ? "who" : "who unknown" }, nameOf(face)), el("p", { class: "about" }, rows[i][2])),
    face.distance === undefined ? el("span") : el("button", { class: "button quiet small", type: "button", "aria-label": face.name ? t`Correct the name ${face.name}` : t`Name ${called(i)}`, on: { click: () => name(run, face.track_id) } }, face.name ? t`Correct` : t`Name`))));
}

async function name(me, id) {
  const { result, frame } = me.last;
  const face = result.faces.find((f) => f.track_id === id) ?? result.faces[0];
  if (!face) return;
  try {
    const picture = await createImageBitmap(frame.blob);
    const file = new File([frame.blob], "camera.jpg", { type: "image/jpeg" });
    await nameFace(face, file, picture);
  } catch (error) { complain(error); }
}

async function cameras(stream) {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput");
  const used = stream.getVideoTracks()[0]?.getSettings().deviceId;
  $("live-camera").replaceChildren(...found.map((d, i) => el("option", { value: d.deviceId, selected: d.deviceId === used }, d.label || t`Camera ${i + 1}`)));
  $("live-camera").hidden = found.length < 2;
}

export function stop() {
  const me = run;
  run = null;
  if (me) {
    me.socket?.close();
    me.stream.getTracks().forEach((track) => track.stop());
    $("live-video").srcObject = null;
    $("live-overlay").replaceChildren();
    $("live-faces").replaceChildren();
    listed = "";
  }
  state();
}

function state(message) {
  const on = running();
  $("live-start").classList.toggle("stop", on);
  $("live-start").querySelector("span").textContent = on ? t`Stop` : t`Start camera`;
  $("live-start").querySelector("use").setAttribute("href", on ? "#i-stop" : "#i-play");
  $("live-empty").hidden = on;
  $("live-gauges").hidden = !on;
  $("live-hint").hidden = on;
  if (message) $("live-message").textContent = message;
}

export function start() {
  const mirror = () => $("live-stage").classList.toggle("mirror", $("live-mirror").checked);
  $("live-mirror").addEventListener("change", mirror);
  mirror();
  $("live-alive").addEventListener("change", () => run?.socket?.close());
  const go = async (deviceId) => {
    $("live-start").disabled = true;
    try { await begin(deviceId); state(); } catch (error) { stop(); state(error.message); complain(error); }
    $("live-start").disabled = false;
  };
  $("live-start").addEventListener("click", () => (running() ? stop() : go()));
  $("live-camera").addEventListener("change", (e) => { stop(); go(e.target.value); });
}
