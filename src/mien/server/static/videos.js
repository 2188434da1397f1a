// Videos: uploaded as jobs, followed while they run, shown with who appears when.

import * as api from "./api.js";
import { t, word } from "./lang.js";
import { $, about, announce, changing, clock, complain, el, hue, icon, iconButton, toast } from "./ui.js";

const rows = new Map(); // id -> {job, node, watching}
const WORDS = { queued: t`Waiting`, running: t`Analysing`, done: t`Done`, failed: t`Failed`, uploading: t`Uploading` };

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
  if (row) sight.unobserve(row.node);
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
  const parts = { title: el("h2", {}, job.source || t`Stream`), chip: el("span"), about: el("p", { class: "about" }), bar: el("progress", { max: 1, "aria-label": t`Progress of ${job.source}` }), detail: el("div"), tools: el("div", { class: "tools" }) };
  const node = el("li", { class: "job" }, el("header", {}, el("div", {}, parts.title, parts.about), parts.chip, parts.tools), parts.bar, parts.detail);
  return { job, node, parts, watching: null, url: null, player: null, people: [], lines: null };
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
  if (job.state === "failed") return job.problem?.detail ?? t`It failed.`;
  if (job.state === "uploading") return t`${Math.round(job.progress * 100)} % sent`;
  if (job.state === "queued") return t`Waiting for its turn`;
  const frames = job.total ? t`${job.frames} of ${job.total} frames` : t`${job.frames} frames`;
  const took = job.finished && job.started ? t` in ${((new Date(job.finished) - new Date(job.started)) / 1000).toFixed(1)} s` : "";
  return job.state === "done" ? t`${job.frames} frames analysed${took}` : `${frames}, ${Math.round((job.progress ?? 0) * 100)} %`;
}

function tools(row) {
  const { job } = row;
  if (job.state === "uploading") return [];
  const ended = job.state === "done" || job.state === "failed";
  const list = [iconButton("bin", `${ended ? t`Delete` : t`Cancel`} ${job.source}`, () => remove(row), "danger")];
  if (job.state === "done") list.unshift(iconButton("down", t`Download the results of ${job.source}`, () => download(job)));
  return list;
}

async function remove(row) {
  try {
    await api.removeJob(row.job.id);
    drop(row.job.id);
    toast(t`${row.job.source} and its results were deleted.`);
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

// Annotated videos are large: each is fetched when it comes into sight, not all at once.
const sight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const row = isIntersecting && [...rows.values()].find((r) => r.node === target);
    if (row) { sight.unobserve(target); play(row).catch(complain); }
  }
}, { rootMargin: "200px" });

async function play(row) {
  let film = null;
  try { film = await api.blob(`/v1/jobs/${row.job.id}/video`); } catch (error) { if (error.status !== 410) throw error; }
  if (!rows.has(row.job.id)) return;
  if (!film) return unplayed(row); // it showed a name that was deleted: the timeline stands alone
  row.url = URL.createObjectURL(film);
  row.player = el("video", { src: row.url, controls: true, playsInline: true, preload: "metadata", "aria-label": t`${row.job.source} with boxes and labels` });
  row.player.addEventListener("loadedmetadata", () => Number.isFinite(row.player?.duration) && draw(row));
  row.parts.film.replaceChildren(row.player);
}

function unplayed(row) {
  if (row.url) URL.revokeObjectURL(row.url);
  row.url = row.player = null;
  row.parts.film?.remove();
  row.parts.detail.className = "detail plain";
}

async function finish(row) {
  row.people = await api.timeline(row.job.id);
  row.lines = el("div", { class: "timeline" });
  row.parts.film = row.job.draw ? el("div", { class: "film" }, icon("film")) : null;
  row.parts.detail.className = row.job.draw ? "detail" : "detail plain";
  row.parts.detail.replaceChildren(...(row.job.draw ? [row.parts.film] : []), row.lines);
  draw(row);
  if (row.job.draw) sight.observe(row.node);
}

// After a change of names: the lines anew, and away with a video that shows somebody who was deleted.
async function again(row) {
  row.people = await api.timeline(row.job.id);
  draw(row);
  if (row.player && !(await api.there(`/v1/jobs/${row.job.id}/video`))) unplayed(row);
}

function draw(row) {
  const last = Math.max(0.1, row.player?.duration || 0, ...row.people.flatMap((p) => p.spans.map(([, end]) => end)));
  const some = row.people.length > 0;
  row.lines.replaceChildren(el("h3", {}, some ? t`Who appears when` : t`Nobody appears in this video.`), ...row.people.map((p, i) => line(p, i, last, row)));
  if (some) row.lines.append(el("div", { class: "axis", "aria-hidden": "true" }, el("span", {}, "0:00"), el("span", {}, clock(last))));
}

function line(person, i, length, row) {
  const label = person.name ?? t`Unknown ${person.tracks.join(", ") || i + 1}`;
  const total = person.spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const spans = person.spans.map(([from, to]) => el("button", {
    type: "button", "aria-label": t`${label} from ${clock(from)} to ${clock(to)}`, title: `${clock(from)} – ${clock(to)}`,
    css: { left: `${(100 * from) / length}%`, width: `${(100 * (to - from)) / length}%` },
    on: { click: () => { if (row.player) { row.player.currentTime = from; row.player.play(); } } },
  }));
  return el("div", { class: person.name ? "line" : "line unknown", css: { "--hue": hue(person.name ?? "") } },
    el("div", { class: "whom" }, el("span", { title: label }, label), el("small", {}, about(person))),
    el("div", {}, el("div", { class: "track" }, ...spans), ...changing().map((one) => moods(person[one.plural] ?? {}, one.colours))),
    el("span", {}, `${total.toFixed(1)} s`));
}

// How somebody felt, as one bar of shares; the two strongest in words.
function moods(shares, colours) {
  const all = Object.entries(shares).filter(([, share]) => share >= 0.02);
  if (!all.length) return null;
  const words = all.slice(0, 2).map(([label, share]) => `${word(label)} ${Math.round(100 * share)}\u00a0%`).join(", ");
  return el("div", { class: "moods" },
    el("div", { class: "shares", "aria-hidden": "true" }, ...all.map(([label, share]) => el("i", { class: "mood", title: `${word(label)} ${Math.round(100 * share)} %`, css: { "flex-grow": share, ...(colours[label] && { background: colours[label] }) } }))),
    el("small", {}, words));
}

export function allow(server) {
  $("videos-url").hidden = !server.urls;
  const hours = Math.round(server.jobs_kept_s / 3600);
  const kept = hours >= 1 ? `${hours} h` : t`a short time`;
  $("videos-lead").textContent = t`Every face followed through a video: who appears, and when. Results are kept for ${kept}.`;
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
  window.addEventListener("mien:people", () => rows.size && [...rows.values()].forEach((row) => row.lines && again(row).catch(complain)));
}
