// Small parts of the page: elements, icons, toasts, the dialog, faces on pictures.

import { t, word } from "./lang.js";

export const $ = (id) => document.getElementById(id);

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (name === "css") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (name in node && !name.startsWith("aria") && name !== "list" && name !== "role") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export function iconButton(name, label, run, more = "") {
  return el("button", { class: `icon ${more}`, type: "button", "aria-label": label, title: label, on: { click: run } }, icon(name));
}

export function hue(text) {
  let hash = 2166136261;
  for (const c of text) hash = Math.imul(hash ^ c.codePointAt(0), 16777619);
  return (hash >>> 0) % 360;
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((w) => [...w][0] ?? "").join("").toUpperCase();
}

export function announce(text) {
  $("announce").textContent = text;
}

// Shows other rows in a list; who was at a row with the keyboard is at that place again, also if there were none meanwhile.
export function refill(list, rows) {
  let at = [...list.children].findIndex((row) => row.contains(document.activeElement));
  if (at < 0 && document.activeElement === document.body) at = Number(list.dataset.at ?? -1);
  delete list.dataset.at;
  list.replaceChildren(...rows);
  if (at < 0) return;
  const row = list.children[Math.min(at, rows.length - 1)];
  const button = row?.matches("button") ? row : row?.querySelector("button");
  if (button) button.focus();
  else list.dataset.at = at;
}

export function toast(text, { bad = false, action, run, seconds = 5 } = {}) {
  const node = el("div", { class: bad ? "toast bad" : "toast" }, el("span", {}, text));
  const close = () => { clearTimeout(timer); node.remove(); };
  if (action) node.append(el("button", { type: "button", on: { click: () => { close(); run(); } } }, action));
  else node.append(el("button", { type: "button", "aria-label": t`Close`, on: { click: close } }, "✕"));
  $("toasts").append(node);
  const timer = setTimeout(close, seconds * 1000);
  return close;
}

export const complain = (error) => error.name !== "AbortError" && toast(error.message, { bad: true, seconds: 8 });

// Opens the dialog; `submit` may throw to keep it open with the reason. Resolves with what `submit` gave, or undefined.
export function ask({ title, body, ok = t`Save`, submit, closed = () => {} }) {
  const dialog = $("dialog");
  const error = $("dialog-error");
  const accept = $("dialog-ok");
  $("dialog-title").textContent = title;
  $("dialog-body").replaceChildren(body);
  accept.textContent = ok;
  $("dialog-cancel").hidden = ok === t`Close`; // there is nothing to give up
  accept.disabled = false;
  error.hidden = true;
  return new Promise((resolve) => {
    let value;
    const finish = () => { dialog.onclose = null; closed(); resolve(value); };
    $("dialog-cancel").onclick = () => dialog.close();
    dialog.onclose = finish;
    $("dialog-form").onsubmit = async (event) => {
      event.preventDefault();
      accept.disabled = true;
      error.hidden = true;
      try {
        value = await submit();
        dialog.close();
      } catch (problem) {
        error.textContent = problem.message;
        error.hidden = false;
      } finally {
        accept.disabled = false;
      }
    };
    dialog.showModal();
    dialog.querySelector("input:not([type=file]), select")?.focus();
  });
}

export function nameField(people, { label = t`Name`, value = "" } = {}) {
  const options = el("datalist", { id: "known-names" }, ...people.map((p) => el("option", { value: p.name })));
  const input = el("input", { type: "text", value, required: true, maxLength: 200, autocomplete: "off", list: "known-names", name: "name" });
  return { input, field: el("label", { class: "field" }, el("span", {}, label), input, options) };
}

// What is wrong with photos that were just enrolled, as a sentence; nothing where all are good.
export function advice({ verdicts = [] }) {
  const poor = verdicts.filter((one) => one.verdict !== "good");
  return poor.map((one) => t` ${one.source} is ${word(one.verdict)}.`).join("");
}

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

export const nameOf = (face) => face.name ?? (face.distance === undefined ? t`Face` : t`Unknown`);

let attributes = []; // what the service tells of faces, in the order in which it is said

export function tell(all) { attributes = all; }

export const told = () => attributes;

// Those that change from one moment to the next: shown as shares of their labels.
export const changing = () => attributes.filter((one) => one.momentary && one.labels.length);

function said(attribute, face, long) {
  const value = face[attribute.name] ?? face[attribute.groups] ?? null;
  if (value === null) return "";
  const shown = typeof value === "number" ? `${long ? t`about ` : ""}${Math.round(value)}` : word(value);
  const words = attribute.show.replace("{name}", word(attribute.name)).replace("{value}", shown);
  return face[`${attribute.name}_sure`] === false ? `${words}?` : words;
}

export function about(face, { long = false, without = [] } = {}) {
  const parts = attributes.filter((one) => !without.includes(one)).map((one) => said(one, face, long)).filter(Boolean);
  if (long && parts.length) parts[0] = capital(parts[0]);
  return parts.join(long ? "\u00a0· " : ", ");
}

// A button over a face, placed in per cent of its picture so that it follows every size.
export function faceButton(face, size, { mirror = false, run } = {}) {
  const [x1, y1, x2, y2] = face.box;
  const left = mirror ? size.width - x2 : x1;
  const percent = (value, of) => `${((100 * value) / of).toFixed(3)}%`;
  const known = face.name !== null && face.name !== undefined;
  const said = [nameOf(face), about(face)].filter(Boolean).join(" "); // as it is seen: who speaks to the page says what they see
  const tag = el("span", { class: `tag${y1 < size.height * 0.14 ? " below" : ""}${left > size.width * 0.72 ? " right" : ""}` }, el("b", {}, nameOf(face)), " ", el("small", {}, about(face)));
  return el("button", {
    class: known ? "face" : "face unknown", type: "button", "aria-label": known ? said : t`${said}. Give this face a name.`, title: known ? "" : t`Give this face a name`,
    css: { left: percent(left, size.width), top: percent(y1, size.height), width: percent(x2 - x1, size.width), height: percent(y2 - y1, size.height), "--hue": hue(face.name ?? "") },
    on: { click: run },
  }, tag);
}

const PLACES = ["tag", "tag below", "tag right", "tag below right"];

// Moves the labels of faces so that they cover neither each other nor other faces; where there is no room they get shorter.
export function arrange(buttons) {
  const boxes = buttons.map((b) => b.getBoundingClientRect());
  const taken = [];
  const cover = (a, b) => Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
  const order = buttons.map((_, i) => i).sort((a, b) => buttons[a].classList.contains("unknown") - buttons[b].classList.contains("unknown") || boxes[a].top - boxes[b].top);
  for (const i of order) {
    const tag = buttons[i].querySelector(".tag");
    const first = tag.className;
    const cost = (name) => {
      tag.className = name;
      const at = tag.getBoundingClientRect();
      const frame = buttons[i].parentElement.getBoundingClientRect();
      const outside = at.left < frame.left || at.top < frame.top || at.right > frame.right || at.bottom > frame.bottom;
      return taken.reduce((sum, t) => sum + 2 * cover(at, t), 0) + boxes.reduce((sum, b, j) => sum + (j === i ? 0 : cover(at, b)), 0) + (outside ? 1e5 : 0);
    };
    let tries = [first, ...PLACES].map((name) => [cost(name), name]);
    if (Math.min(...tries.map(([c]) => c)) > 0) {
      buttons[i].classList.add("brief");
      tries = [first, ...PLACES].map((name) => [cost(name), name]);
    }
    tag.className = tries.reduce((best, one) => (one[0] < best[0] ? one : best))[1];
    taken.push(tag.getBoundingClientRect());
  }
}

export function crop(source, box, size = 112) {
  const [x1, y1, x2, y2] = box;
  const side = Math.max(x2 - x1, y2 - y1) * 1.35;
  const canvas = el("canvas", { class: "thumb", width: size, height: size, "aria-hidden": "true" });
  const at = [(x1 + x2) / 2 - side / 2, (y1 + y2) / 2 - side / 2];
  try { canvas.getContext("2d").drawImage(source, ...at, side, side, 0, 0, size, size); } catch { /* a picture the browser cannot show */ }
  return canvas;
}

export function bars(probs, count = 3) {
  const best = Object.entries(probs).sort((a, b) => b[1] - a[1]).slice(0, count).filter(([, p], i) => i === 0 || p >= 0.03);
  return el("div", { class: "bars" }, ...best.map(([label, p]) => el("div", {}, el("span", {}, capital(word(label))), el("progress", { max: 1, value: p, "aria-label": word(label) }), el("span", {}, `${Math.round(p * 100)} %`))));
}

export function clock(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const two = (n) => String(n).padStart(2, "0");
  return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}
