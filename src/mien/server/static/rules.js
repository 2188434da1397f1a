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

async function add() {
  const name = el("input", { type: "text", name: "name", required: true, maxLength: 100, autocomplete: "off" });
  const who = el("select", { name: "who" }, ...Object.entries(WHO).map(([value, text]) => el("option", { value }, text)), el("option", { value: "named" }, t`these people:`));
  const names = el("input", { type: "text", name: "names", autocomplete: "off", placeholder: "Ada, Ben", "aria-label": t`People, with commas` });
  const camera = el("select", { name: "camera" }, el("option", { value: "" }, t`All cameras`), ...cameras().map((one) => el("option", { value: one.name }, one.name)));
  const hours = el("input", { type: "text", name: "hours", autocomplete: "off", placeholder: "mon-fri 22:00-6:00" });
  const every = el("input", { type: "number", name: "every", min: 0, value: 0, step: "any" });
  const url = el("input", { type: "url", name: "url", required: true, maxLength: 2000, autocomplete: "off", placeholder: "https://" });
  const format = el("select", { name: "format" }, el("option", { value: "json" }, t`JSON, of all that happens`), el("option", { value: "text" }, t`a line for people (ntfy)`), el("option", { value: "picture" }, t`a line and the picture (ntfy)`));
  const body = el("div", {}, labelled(t`Name`, name), labelled(t`Of whom`, who), names, labelled(t`Before`, camera), labelled(t`When`, hours, t`Empty: always.`),
    labelled(t`At most once in so many minutes`, every), labelled(t`Address to tell`, url), labelled(t`As`, format));
  const submit = () => api.addRule({
    name: name.value.trim(), who: who.value === "named" ? listed(names) : who.value, cameras: camera.value ? [camera.value] : [], hours: listed(hours),
    every_minutes: Number(every.value), url: url.value.trim(), format: format.value === "json" ? "json" : "text", picture: format.value === "picture",
  });
  const done = await ask({ title: t`Add a rule`, body, ok: t`Add`, submit });
  if (!done) return;
  announce(t`${done.name} was added.`);
  await refresh();
}

export function start(known) {
  cameras = known;
  $("rules-add").addEventListener("click", () => add().catch(complain));
}
