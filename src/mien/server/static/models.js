// Which model file tells what: a small select per attribute, for those who may choose.

import * as api from "./api.js";
import { t, word } from "./lang.js";
import { $, complain, el, tell, toast } from "./ui.js";

const OURS = t`as started`;

export async function allow(server) {
  $("models").hidden = true;
  if (server.role !== "admin") return;
  try { show(await api.models()); } catch (error) { complain(error); }
}

function show({ models, serving }) {
  const usable = models.filter((model) => !model.error);
  const attributes = new Set([...Object.keys(serving), ...usable.map((model) => model.attribute)]);
  const selects = [...attributes].map((attribute) => select(attribute, usable, serving[attribute] ?? "")).filter(Boolean);
  $("models").replaceChildren(...selects);
  $("models").hidden = !selects.length;
}

function select(attribute, usable, active) {
  const names = usable.filter((model) => model.attribute === attribute || model.name === active).map((model) => model.name);
  if (!names.length) return null;
  const options = [["", OURS], ...names.map((name) => [name, name])];
  const box = el("select", { name: attribute, "aria-label": t`Model for ${word(attribute)}`, title: t`Model for ${word(attribute)}`, on: { change: () => choose(attribute, box.value) } },
    ...options.map(([value, text]) => el("option", { value, selected: value === active }, `${word(attribute)}: ${text}`)));
  return box;
}

async function choose(attribute, name) {
  try {
    show(await api.choose(attribute, name || null));
    tell((await api.server()).attributes);
    const teller = name || t`what the service was started with`;
    toast(t`${word(attribute)} is told by ${teller} from now on.`);
  } catch (error) {
    complain(error);
    try { show(await api.models()); } catch { /* told above */ }
  }
}
