// Rules: whom to tell of which visits; added here, tried out by a test.

import * as api from "./api.js";
import { t } from "./lang.js";
import { $, announce, ask, complain, el, iconButton, refill, toast } from "./ui.js";

const WHO = { anybody: t`anybody`, known: t`anybody known`, unknown: t`anybody unknown` };

let canChange = false;
let cameras = () => [];

export function allow(server) {
  canChange = server.role === "admin" && server.watching;
  $("rules").hidden = !canChange;
}

export async function refresh() {
  if (!canChange) return;
  const rules = await api.rules();
  refill($("rules-list"), rules.map(row));
  $("rules-blank").hidden = rules.length > 0;
}

function described(rule) {
  const who = Array.isArray(rule.who) ? rule.who.join(", ") : WHO[rule.who];
  return [
    t`Of ${who}`,
    rule.cameras.length && t`at ${rule.cameras.join(", ")}`,
    rule.hours.length && rule.hours.join(", "),
    rule.every_minutes && t`at most once in ${rule.every_minutes} minutes`,
  ].filter(Boolean).join(" · ");
}

function row(rule) {
  const name = rule.name || t`Rule of mien.toml`;
  return el("li", { class: "rule" },
    el("div", {}, el("h3", {}, name), el("p", {}, described(rule)), el("p", { class: "about" }, t`tells ${rule.tells.join(", ")}`)),
    el("div", { class: "row" },
      el("button", { class: "button quiet small", type: "button", "aria-label": t`Send a test of ${name}`, on: { click: () => test(rule).catch(complain) } }, t`Send a test`),
      rule.editable ? el("button", { class: "button quiet small", type: "button", "aria-label": t`Change ${name}`, on: { click: () => write(rule).catch(complain) } }, t`Change`) : null,
      rule.editable ? iconButton("bin", t`Remove ${name}`, () => remove(rule).catch(complain), "danger") : null));
}

async function test(rule) {
  const told = await api.testRule(rule.id);
  for (const [address, why] of Object.entries(told)) {
    const text = why === null ? t`${address} was told.` : why;
    toast(text, { bad: why !== null, seconds: 8 });
    announce(text);
  }
}

async function remove(rule) {
  const body = el("p", {}, t`It speaks no longer, and what it still had to tell is not told.`);
  const done = await ask({ title: t`Remove ${rule.name}?`, body, ok: t`Remove`, submit: async () => { await api.removeRule(rule.id); return true; } });
  if (done) await refresh();
}

const labelled = (label, input, hint) => el("label", { class: "field" }, el("span", {}, label), input, hint && el("small", { class: "hint" }, hint));
const listed = (input) => input.value.split(",").map((one) => one.trim()).filter(Boolean);

// Asks for a new rule, or how one that was added is to be from now on. Its address is not shown, as it may hold a secret: left empty it stays.
async function write(rule = null) {
  const name = el("input", { type: "text", name: "name", required: true, maxLength: 100, autocomplete: "off" });
  const who = el("select", { name: "who" }, ...Object.entries(WHO).map(([value, text]) => el("option", { value }, text)), el("option", { value: "named" }, t`these people:`));
  const names = el("input", { type: "text", name: "names", autocomplete: "off", placeholder: "Ada, Ben", "aria-label": t`People, with commas` });
  const camera = el("select", { name: "camera" }, el("option", { value: "" }, t`All cameras`), ...cameras().map((one) => el("option", { value: one.name }, one.name)));
  const hours = el("input", { type: "text", name: "hours", autocomplete: "off", placeholder: "mon-fri 22:00-6:00" });
  const every = el("input", { type: "number", name: "every", min: 0, value: 0, step: "any" });
  const url = el("input", { type: "url", name: "url", required: !rule, maxLength: 2000, autocomplete: "off", placeholder: "https://" });
  const format = el("select", { name: "format" }, ...(rule ? [el("option", { value: "" }, t`As before`)] : []), el("option", { value: "json" }, t`JSON, of all that happens`), el("option", { value: "text" }, t`a line for people (ntfy)`), el("option", { value: "picture" }, t`a line and the picture (ntfy)`));
  const body = el("div", {}, labelled(t`Name`, name), labelled(t`Of whom`, who), names, labelled(t`Before`, camera), labelled(t`When`, hours, t`Empty: always.`),
    labelled(t`At most once in so many minutes`, every), labelled(t`Address to tell`, url, rule && t`Empty: as before.`), labelled(t`As`, format));
  if (rule) fill(rule, { name, who, names, camera, hours, every });
  const said = () => ({
    name: name.value.trim(), who: who.value === "named" ? listed(names) : who.value, cameras: rule && camera.value === rule.cameras.join(", ") ? rule.cameras : camera.value ? [camera.value] : [], hours: listed(hours),
    every_minutes: Number(every.value),
    ...(url.value.trim() ? { url: url.value.trim() } : {}),
    ...(format.value ? { format: format.value === "json" ? "json" : "text", picture: format.value === "picture" } : {}),
  });
  const submit = () => (rule ? api.changeRule(rule.id, said()) : api.addRule(said()));
  const done = await ask({ title: rule ? t`Change ${rule.name}` : t`Add a rule`, body, ok: rule ? t`Change` : t`Add`, submit });
  if (!done) return;
  announce(rule ? t`${done.name} was changed.` : t`${done.name} was added.`);
  await refresh();
}

// What a rule says now. One before several cameras stays so unless another choice is made.
function fill(rule, fields) {
  const named = Array.isArray(rule.who);
  fields.name.value = rule.name;
  fields.who.value = named ? "named" : rule.who;
  fields.names.value = named ? rule.who.join(", ") : "";
  const several = rule.cameras.join(", ");
  if (rule.cameras.length > 1) fields.camera.append(el("option", { value: several }, several));
  fields.camera.value = several;
  fields.hours.value = rule.hours.join(", ");
  fields.every.value = rule.every_minutes;
}

export function start(known) {
  cameras = known;
  $("rules-add").addEventListener("click", () => write().catch(complain));
}
