// Videos: uploaded as jobs, followed while they run, shown with who appears when.

import * as api from "./api.js";
import { $, announce, clock, complain, el, hue, iconButton, toast } from "./ui.js";

const rows = new Map(); // id -> {job, node, watching}
const WORDS = { queued: "Waiting", running: "Analysing", done: "Done", failed: "Failed", uploading: "Uploading" };

export async function refresh() {
  try {
    const jobs = await api.jobs();
    for (const id of [...rows.keys()]) if (!id.startsWith("up") && !jobs.some((j) => j.id === id)) drop(id);
    for (const job of jobs.toReversed()) put(job);
  } catch (error) { complain(error); }
}

export async function add(files) {
  for (const file of files) {
    const id = `up${crypto.randomUUID?.() ?? Math.random()}`;
    put({ id, source: file.name, state: "uploading", progress: 0, frames: 0, faces: 0 });
    try {
      const job = await api.upload(file, (progress) => update(rows.get(id), { ...rows.get(id).job, progress }));
      drop(id);
      put(job);
    } catch (error) {
      drop(id);
      complain(new Error(`${file.name}: ${error.message}`));
    }
  }
}

function drop(id) {
  const row = rows.get(id);
  row?.watching?.abort();
  if (row?.url) URL.revokeObjectURL(row.url);
  row?.node.remove();
  rows.delete(id);
  $("videos-drop").classList.toggle("small", rows.size > 0);
}

function put(job) {
  let row = rows.get(job.id);
  if (!row) {
    row = make(job);
    rows.set(job.id, row);
    $("videos-list").prepend(row.node);
    $("videos-drop").classList.add("small");
  }
  update(row, job);
  if ((job.state === "queued" || job.state === "running") && !row.watching) watch(row);
}

function make(job) {
  const parts = { title: el("h2", {}, job.source || "Stream"), chip: el("span"), about: el("p", { class: "about" }), bar: el("progress", { max: 1, "aria-label": `Progress of ${job.source}` }), detail: el("div"), tools: el("div", { class: "tools" }) };
  const node = el("li", { class: "job" }, el("header", {}, el("div", {}, parts.title, parts.about), parts.chip, parts.tools), parts.bar, parts.detail);
  return { job, node, parts, watching: null, url: null };
}

function update(row, job) {
  const before = row.job.state;
  row.job = job;
  row.parts.chip.className = `chip ${job.state}`;
  row.parts.chip.textContent = WORDS[job.state];
  row.parts.about.textContent = describe(job);
  row.parts.bar.hidden = job.state === "done" || job.state === "failed";
  if (job.progress === null || job.progress === undefined) row.parts.bar.removeAttribute("value");
  else row.parts.bar.value = job.progress;
  if (row.drawn === job.state) return;
  row.drawn = job.state;
  row.parts.tools.replaceChildren(...tools(row));
  if (job.state === "done") finish(row).catch(complain);
  if (before !== job.state) announce(`${job.source}: ${WORDS[job.state]}`);
}

function describe(job) {
  if (job.state === "failed") return job.problem?.detail ?? "It failed.";
  if (job.state === "uploading") return `${Math.round(job.progress * 100)} % sent`;
  if (job.state === "queued") return "Waiting for its turn";
  const frames = job.total ? `${job.frames} of ${job.total} frames` : `${job.frames} frames`;
  const took = job.finished && job.started ? ` in ${((new Date(job.finished) - new Date(job.started)) / 1000).toFixed(1)} s` : "";
  return job.state === "done" ? `${job.frames} frames analysed${took}` : `${frames}, ${Math.round((job.progress ?? 0) * 100)} %`;
}

function tools(row) {
  const { job } = row;
  if (job.state === "uploading") return [];
  const ended = job.state === "done" || job.state === "failed";
  const list = [iconButton("bin", `${ended ? "Delete" : "Cancel"} ${job.source}`, () => remove(row), "danger")];
  if (job.state === "done") list.unshift(iconButton("down", `Download the results of ${job.source}`, () => download(job)));
  return list;
}

async function remove(row) {
  try {
    await api.removeJob(row.job.id);
    drop(row.job.id);
    toast(`${row.job.source} and its results were deleted.`);
  } catch (error) { complain(error); }
}

async function download(job) {
  try {
    const url = URL.createObjectURL(await api.blob(`/v1/jobs/${job.id}/result`));
    el("a", { href: url, download: `${job.source}.jsonl` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) { complain(error); }
}

async function watch(row) {
  row.watching = new AbortController();
  try {
    for await (const { event, data } of api.events(row.job.id, row.watching.signal)) {
      if (event === "deleted") { drop(row.job.id); return; }
      update(row, data);
    }
  } catch (error) {
    if (error.name !== "AbortError" && rows.has(row.job.id)) setTimeout(refresh, 3000);
  } finally { row.watching = null; }
}

async function finish(row) {
  const people = await api.timeline(row.job.id);
  let player = null;
  try {
    row.url = URL.createObjectURL(await api.blob(`/v1/jobs/${row.job.id}/video`));
    player = el("video", { src: row.url, controls: true, playsInline: true, preload: "metadata", "aria-label": `${row.job.source} with boxes and labels` });
  } catch { /* no annotated video: the timeline stands alone */ }
  const last = Math.max(0.1, ...people.flatMap((p) => p.spans.map(([, end]) => end)));
  const lines = el("div", { class: "timeline" });
  const draw = (length) => lines.replaceChildren(el("h3", {}, people.length ? "Who appears when" : "Nobody appears in this video."), ...people.map((p, i) => line(p, i, length, player)), people.length ? el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, "0:00"), el("span", {}, clock(length))) : "");
  draw(last);
  player?.addEventListener("loadedmetadata", () => Number.isFinite(player.duration) && draw(Math.max(last, player.duration)));
  row.parts.detail.className = player ? "detail" : "detail plain";
  row.parts.detail.replaceChildren(...(player ? [player] : []), lines);
}

function line(person, i, length, player) {
  const label = person.name ?? `Unknown ${person.tracks.join(", ") || i + 1}`;
  const total = person.spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const spans = person.spans.map(([from, to]) => el("button", {
    type: "button", "aria-label": `${label} from ${clock(from)} to ${clock(to)}`, title: `${clock(from)} – ${clock(to)}`,
    css: { left: `${(100 * from) / length}%`, width: `${(100 * (to - from)) / length}%` },
    on: { click: () => { if (player) { player.currentTime = from; player.play(); } } },
  }));
  return el("div", { class: person.name ? "line" : "line unknown", css: { "--hue": hue(person.name ?? "") } }, el("span", { title: label }, label), el("div", { class: "track" }, ...spans), el("span", {}, `${total.toFixed(1)} s`));
}

export function allow(server) {
  $("videos-url").hidden = !server.urls;
  const hours = Math.round(server.jobs_kept_s / 3600);
  $("videos-lead").textContent = `Every face followed through a video: who appears, and when. Results are kept for ${hours >= 1 ? `${hours} h` : "a short time"}.`;
}

export function start(choose) {
  for (const id of ["videos-add", "videos-drop"]) $(id).addEventListener("click", () => $("videos-input").click());
  $("videos-input").addEventListener("change", (e) => { choose([...e.target.files]); e.target.value = ""; });
  $("videos-url").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const found = await api.url($("videos-url-input").value);
      if (found.job) put(found.job);
      else choose([new File([found.picture], "address.jpg", { type: "image/jpeg" })]);
      $("videos-url-input").value = "";
    } catch (error) { complain(error); }
  });
  window.addEventListener("mien:people", () => rows.size && [...rows.values()].forEach((row) => row.job.state === "done" && finish(row).catch(() => {})));
}
