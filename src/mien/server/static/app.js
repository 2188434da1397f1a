// The frame of the page: views, theme, keys, and where dropped and pasted files go.

import * as api from "./api.js";
import * as cameras from "./cameras.js";
import { choosing, t, translate } from "./lang.js";
import * as live from "./live.js";
import * as models from "./models.js";
import * as people from "./people.js";
import * as photos from "./photos.js";
import { $, ask, complain, el, tell, toast } from "./ui.js";
import * as unknown from "./unknown.js";
import * as videos from "./videos.js";

const VIEWS = ["photos", "live", "cameras", "people", "videos"];
const VIDEO = /\.(mp4|mov|m4v|mkv|webm|avi|ts|m2ts|mpg|mpeg|wmv|flv|ogv|3gp)$/i;

function route() {
  const wanted = location.hash.replace("#/", "");
  const view = VIEWS.includes(wanted) ? wanted : "photos";
  for (const name of VIEWS) $(name).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${$(`${view}-title`).textContent} · mien`;
  if (view === "people") { people.refresh(); unknown.refresh(); }
  if (view === "videos") videos.refresh();
  if (view === "cameras") cameras.open(); else cameras.close();
  if (view !== "live" && live.running()) live.stop();
}

function choose(files) {
  const clips = files.filter((f) => f.type.startsWith("video/") || VIDEO.test(f.name));
  const pictures = files.filter((f) => !clips.includes(f));
  if (clips.length) { location.hash = "#/videos"; videos.add(clips); }
  if (pictures.length) { if (!clips.length) location.hash = "#/photos"; photos.add(pictures); }
}

function dropping() {
  let depth = 0;
  const over = (on) => document.body.classList.toggle("dragging", on);
  const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (e) => { if (files(e)) { depth += 1; over(true); } });
  addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
  addEventListener("dragover", (e) => e.preventDefault());
  addEventListener("drop", (e) => { e.preventDefault(); depth = 0; over(false); if (e.dataTransfer.files.length) choose([...e.dataTransfer.files]); });
  addEventListener("paste", (e) => { const pasted = [...(e.clipboardData?.files ?? [])]; if (pasted.length) { e.preventDefault(); choose(pasted); } });
}

function theming() {
  $("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("mien.theme", theme);
    document.documentElement.dataset.theme = theme;
  });
}

function status(good, text) {
  $("status").className = `status ${good ? "good" : "bad"}`;
  $("status").lastElementChild.textContent = text;
}

async function connect() {
  try {
    const server = await api.server();
    status(true, `mien ${server.version}`);
    tell(server.attributes);
    people.allow(server.role);
    cameras.allow(server);
    live.allow(server);
    unknown.allow(server);
    videos.allow(server);
    models.allow(server);
    route();
    photos.retry();
  } catch (error) {
    status(false, error.status === 401 ? t`Key needed` : t`Not connected`);
    if (error.status !== 401) complain(error);
  }
}

// The dot tells whether the service is there now, not whether it once was.
async function watch() {
  const there = await fetch("/healthz").then((answer) => answer.ok, () => false);
  const good = $("status").classList.contains("good");
  if (!there) status(false, t`Not connected`);
  else if (!good && $("status").lastElementChild.textContent === t`Not connected`) connect();
}

let asking = false;

async function askKey() {
  if (asking) return;
  asking = true;
  $("key-button").hidden = false;
  const input = el("input", { type: "password", name: "key", required: true, autocomplete: "off", placeholder: "mien_…" });
  const body = el("div", {}, el("p", { class: "hint" }, t`This service can be reached by other machines, so it asks who you are. Keys are made with “mien serve key add”.`), el("label", { class: "field" }, el("span", {}, t`Key`), input));
  const done = await ask({ title: t`Access key`, body, ok: t`Continue`, submit: async () => {
    const before = api.key.get();
    api.key.set(input.value.trim());
    try { return await api.server(); } catch (error) { api.key.set(before); throw error; }
  } });
  asking = false;
  if (done) { toast(t`Welcome.`); connect(); }
}

translate(document.body);
choosing($("language"));
theming();
dropping();
photos.start(choose);
live.start();
people.start();
cameras.start();
unknown.start();
videos.start(choose);
addEventListener("hashchange", () => {
  if (!asking) $("dialog").close(); // it belongs to the view that was left
  route();
});
addEventListener("mien:key", askKey);
$("key-button").addEventListener("click", askKey);
route();
connect();
setInterval(watch, 5000);
