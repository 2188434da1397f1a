// What was found, to take away: the picture with boxes and names, JSON, CSV.

import * as api from "./api.js";
import { t } from "./lang.js";
import { announce, ask, complain, el } from "./ui.js";

const COLUMNS = ["picture", "face", "x1", "y1", "x2", "y2", "score", "name", "distance"];
const plain = (value) => (value === null || value === undefined ? "" : String(value));

// A field that a spreadsheet takes as text: quoted where it must be, never as a formula.
function field(value) {
  const text = plain(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const told = (face) => Object.keys(face).filter((name) => !["box", "landmarks", "score", "name", "distance"].includes(name) && typeof face[name] !== "object");

export function table(items) {
  const found = items.filter((item) => item.result);
  const more = [...new Set(found.flatMap((item) => item.result.faces.flatMap(told)))];
  const rows = found.flatMap((item) => item.result.faces.map((face, i) => [item.file.name, i + 1, ...face.box.map((v) => Math.round(v)), face.score, face.name, face.distance, ...more.map((name) => face[name])]));
  return [[...COLUMNS, ...more], ...rows].map((row) => row.map(field).join(",")).join("\r\n");
}

function save(content, name) {
  const url = URL.createObjectURL(content);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  announce(t`${name} was saved.`);
}

const stem = (item) => item.file.name.replace(/\.[^.]*$/, "");

// Asks in which form; `all` are the photos that are looked at, `item` the one that is shown.
export async function take(item, all) {
  const forms = {
    picture: [t`The picture, with boxes and names (JPEG)`, async () => save(await api.analyze(item.file, { draw: true }), `${stem(item)}-faces.jpg`)],
    json: [t`What was found in it (JSON)`, () => save(new Blob([JSON.stringify(item.result, null, 1)], { type: "application/json" }), `${stem(item)}.json`)],
    csv: [all.length > 1 ? t`A table of all ${all.length} photos (CSV)` : t`A table (CSV)`, () => save(new Blob([table(all)], { type: "text/csv" }), "faces.csv")],
  };
  const choices = Object.entries(forms).map(([value, [text]], i) => el("label", {}, el("input", { type: "radio", name: "form", value, checked: i === 0 }), text));
  const body = el("div", { class: "others", role: "radiogroup", "aria-label": t`Form` }, ...choices);
  await ask({ title: t`Take away`, body, ok: t`Save`, submit: () => forms[body.querySelector(":checked").value][1]() }).catch(complain);
}
