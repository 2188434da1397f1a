// The way to the service: one function per thing it does, errors as problems with their `detail`.

import { t } from "./lang.js";

const KEY = "mien.key";

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? t`The service answered ${status}.`);
    this.status = status;
    this.type = body.type ?? "";
  }
}

function askKey(status) {
  if (status === 401) window.dispatchEvent(new CustomEvent("mien:key"));
}

function headers(more = {}) {
  return key.get() ? { ...more, authorization: `Bearer ${key.get()}` } : more;
}

export async function send(method, path, { form, json, signal, keepalive, range } = {}) {
  const body = form ?? (json === undefined ? undefined : JSON.stringify(json));
  const type = { ...(json !== undefined && { "content-type": "application/json" }), ...(range && { range }) };
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: headers(type), signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: t`The service cannot be reached.` });
  }
  if (answer.ok) return answer;
  const found = (answer.headers.get("content-type") ?? "").includes("json") ? await answer.json() : {};
  askKey(answer.status);
  throw new Problem(answer.status, found);
}

const json = async (...args) => (await send(...args)).json();

export const server = () => json("GET", "/v1/server");
export const people = async () => (await json("GET", "/v1/people")).people;
export const jobs = async () => (await json("GET", "/v1/jobs")).jobs;
export const timeline = async (id) => (await json("GET", `/v1/jobs/${id}/timeline`)).people;
export const models = () => json("GET", "/v1/models");
export const choose = (attribute, model) => json("PUT", `/v1/models/${attribute}`, { json: { model } });
export const rename = (id, name) => json("PATCH", `/v1/people/${id}`, { json: { name } });
export const merge = (id, into) => json("POST", `/v1/people/${id}/merge`, { json: { into } });
export const removePerson = (id, options = {}) => send("DELETE", `/v1/people/${id}`, options);
export const photos = async (id) => (await json("GET", `/v1/people/${id}/photos`)).photos;
export function find(file, box) {
  const form = new FormData();
  form.append("file", file, file.name ?? "photo.jpg");
  form.append("box", box.join(","));
  return json("POST", "/v1/find", { form }).then((answer) => answer.found);
}
export const denied = async (id) => (await json("GET", `/v1/people/${id}/not`)).faces;
export function deny(id, file, box) {
  const form = new FormData();
  form.append("file", file, file.name ?? "photo.jpg");
  form.append("box", box.join(","));
  return json("POST", `/v1/people/${id}/not`, { form }).then((answer) => answer.faces);
}
export const allow = (id, face) => send("DELETE", `/v1/people/${id}/not/${face}`);
export const removePhoto = (id, sha256) => send("DELETE", `/v1/people/${id}/photos/${sha256}`);
export const unknown = () => json("GET", "/v1/unknown");
export const unknownGroup = (id) => json("GET", `/v1/unknown/${id}`);
export const nameUnknown = (id, name) => json("POST", `/v1/unknown/${id}/name`, { json: { name } });
export const splitUnknown = (id, faces) => json("POST", `/v1/unknown/${id}/split`, { json: { faces } });
export const mergeUnknown = (id, into) => json("POST", `/v1/unknown/${id}/merge`, { json: { into } });
export const undoUnknown = () => json("POST", "/v1/unknown/undo");
export const removeUnknown = (id, options = {}) => send("DELETE", `/v1/unknown/${id}`, options);
export const cameras = async () => (await json("GET", "/v1/cameras")).cameras;
export const addCamera = (camera) => json("POST", "/v1/cameras", { json: camera });
export const removeCamera = (id) => send("DELETE", `/v1/cameras/${id}`);
export const visits = (filters) => json("GET", `/v1/events?${filters}`);
export const nameVisit = (id, name) => json("POST", `/v1/events/${id}/name`, { json: { name } });
export const rules = async () => (await json("GET", "/v1/rules")).rules;
export const addRule = (rule) => json("POST", "/v1/rules", { json: rule });
export const changeRule = (id, changes) => json("PATCH", `/v1/rules/${id}`, { json: changes });
export const removeRule = (id) => send("DELETE", `/v1/rules/${id}`);
export const testRule = async (id) => (await json("POST", `/v1/rules/${id}/test`)).told;
export const visit = (id) => json("GET", `/v1/events/${id}`);
export const counts = (filters) => json("GET", `/v1/events/counts?${filters}`);
export const denyVisit = (id) => json("POST", `/v1/events/${id}/not`);
export const forgetVisit = (id) => send("DELETE", `/v1/events/${id}`);
export const removeJob = (id) => send("DELETE", `/v1/jobs/${id}`);
export const blob = async (path) => (await send("GET", path)).blob();

// Whether a file is still there: asks for its first byte.
export async function there(path) {
  try {
    await send("GET", path, { range: "bytes=0-0" });
    return true;
  } catch (error) {
    if (error.status === 410) return false;
    throw error;
  }
}

export function analyze(file, { draw = false, signal } = {}) {
  const form = new FormData();
  form.append("file", file, file.name ?? "photo.jpg");
  return draw ? send("POST", "/v1/analyze?draw=true", { form, signal }).then((a) => a.blob()) : json("POST", "/v1/analyze", { form, signal });
}

export function blur(file) {
  const form = new FormData();
  form.append("file", file, file.name ?? "photo.jpg");
  return send("POST", "/v1/blur", { form }).then((a) => a.blob());
}

export function enrol({ id, name, files, box, largest }) {
  const form = new FormData();
  if (name !== undefined) form.append("name", name);
  if (box) form.append("box", box.join(","));
  if (largest) form.append("largest", "true");
  for (const file of files) form.append("file", file, file.name ?? "photo.jpg");
  return json("POST", id ? `/v1/people/${id}/photos` : "/v1/people", { form });
}

export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/videos?draw=true");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => e.lengthComputable && onProgress(e.loaded / e.total);
    request.onerror = () => reject(new Problem(0, { detail: t`The upload broke off.` }));
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* not JSON: the status says enough */ }
      askKey(request.status);
      return request.status === 202 ? resolve(body) : reject(new Problem(request.status, body));
    };
    request.send(form);
  });
}

export async function url(address) {
  const answer = await send("POST", "/v1/urls", { json: { url: address, draw: true } });
  return answer.status === 202 ? { job: await answer.json() } : { picture: await answer.blob() };
}

// Server-sent events are read by hand: EventSource cannot send a key.
export const events = (id, signal) => told(`/v1/jobs/${id}/events`, signal);

// Visits as they change, from a change on.
export async function* follow(after, signal) {
  const from = after === null ? "" : `&after=${after}`;
  for await (const { event, data } of told(`/v1/events?follow=true${from}`, signal)) if (event === "visit") yield data;
}

async function* told(path, signal) {
  const answer = await send("GET", path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (event) yield { event, data: JSON.parse(data ?? "{}") };
    }
  }
}

export function live({ alive = false } = {}) {
  const place = new URL(`/v1/live${alive ? "?require_live=true" : ""}`, location.href);
  place.protocol = place.protocol.replace("http", "ws");
  return new WebSocket(place, key.get() ? ["mien.v1", `mien.key.${key.get()}`] : ["mien.v1"]);
}
