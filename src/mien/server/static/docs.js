// The API's own document, readable without anything from the internet.

import { key, send } from "./api.js";
import { $, el } from "./ui.js";

const document_ = await (await fetch("/openapi.json")).json();

const table = (rows) => el("table", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((c) => el("td", {}, ...[c].flat())))));
const code = (text) => el("code", {}, text);
const prose = (text) => text.split("`").map((part, i) => (i % 2 ? code(part) : part));

$("intro").replaceChildren(...document_.info.description.split(/\n\s*\n/).map((part) => el("p", {}, ...prose(part))));

function resolve(schema) {
  return schema?.$ref ? document_.components.schemas[schema.$ref.split("/").at(-1)] : schema;
}

function body(operation) {
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (!type) return [];
  const schema = resolve(content.schema);
  const rows = Object.entries(schema.properties ?? {}).map(([name, s]) => [code(name), `${s.type ?? ""}${schema.required?.includes(name) ? ", required" : ""}`, prose(s.description ?? "")]);
  return [el("h3", {}, `Body: ${type}`), table(rows)];
}

function answers(operation) {
  return table(Object.entries(operation.responses).map(([status, r]) => [code(status), Object.keys(r.content ?? {}).join(", "), prose(r.description)]));
}

function example(operation) {
  const content = Object.entries(operation.responses).find(([s]) => s.startsWith("2"))?.[1].content?.["application/json"];
  const found = content?.example ?? resolve(content?.schema)?.example;
  return found ? [el("h3", {}, "Example"), el("pre", {}, JSON.stringify(found, null, 2))] : [];
}

// "Try it": a form of the parameters and the body; the answer below it, pictures as pictures.

function field(name, schema, required, where) {
  const type = resolve(schema)?.type;
  const file = schema.format === "binary" || schema.contentMediaType || schema.items?.format === "binary";
  const input = el("input", { type: file ? "file" : "text", name, required, multiple: file && type === "array" });
  input.dataset.where = where;
  return el("label", {}, code(name), input);
}

function fields(operation) {
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const found = (operation.parameters ?? []).map((p) => field(p.name, p.schema ?? {}, p.required, p.in));
  if (!type) return found;
  if (type.includes("json")) {
    const text = el("textarea", { name: "body", rows: 4, value: JSON.stringify(resolve(content.schema)?.example ?? {}) });
    text.dataset.where = "json";
    return [...found, el("label", {}, code("body"), text)];
  }
  const schema = resolve(content.schema);
  return [...found, ...Object.entries(schema.properties ?? {}).map(([name, s]) => field(name, s, schema.required?.includes(name), "form"))];
}

function request(path, inputs) {
  const query = new URLSearchParams();
  const call = {};
  for (const input of inputs) {
    const values = input.type === "file" ? [...input.files] : input.value === "" ? [] : [input.value];
    const where = input.dataset.where;
    for (const value of values) {
      if (where === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(value));
      else if (where === "query") query.append(input.name, value);
      else if (where === "json") call.json = JSON.parse(value);
      else if (where === "form") (call.form ??= new FormData()).append(input.name, value);
    }
  }
  return [query.size ? `${path}?${query}` : path, call];
}

async function shown(answer) {
  const type = answer.headers.get("content-type") ?? "";
  const said = el("p", {}, code(`${answer.status} ${type}`));
  if (type.startsWith("image/")) {
    const url = URL.createObjectURL(await answer.blob());
    return [said, el("img", { src: url, alt: "The answer", onload: () => URL.revokeObjectURL(url) })];
  }
  const text = await answer.text();
  return [said, el("pre", {}, type.includes("json") && !type.includes("lines") ? JSON.stringify(JSON.parse(text), null, 2) : text.slice(0, 20000))];
}

function attempt(method, path, operation) {
  if (path.includes("/events") && method === "get") return []; // which does not end
  const answer = el("output", {});
  const form = el("form", { class: "try" }, ...fields(operation), el("button", { class: "button small", type: "submit" }, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const [address, call] = request(path, form.querySelectorAll("input, textarea"));
      answer.replaceChildren(...(await shown(await send(method.toUpperCase(), address, call))));
    } catch (problem) {
      answer.replaceChildren(el("p", { role: "alert" }, code(String(problem.status ?? "")), ` ${problem.message}`));
    }
  });
  return [el("h3", {}, "Try it"), form, answer];
}

const word = el("input", { type: "password", autocomplete: "off", value: key.get() });
word.addEventListener("input", () => key.set(word.value.trim()));
$("intro").after(el("label", { class: "try" }, "Key for trying things out, where one is needed ", word));

const groups = new Map();
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags?.[0] ?? "other";
    const parameters = (operation.parameters ?? []).map((p) => [code(p.name), p.in, prose(p.description ?? "")]);
    const details = el("details", {}, el("summary", {}, el("b", {}, method.toUpperCase()), code(path), el("span", {}, operation.summary ?? "")),
      el("p", {}, ...prose(operation.description ?? "")), ...(parameters.length ? [el("h3", {}, "Parameters"), table(parameters)] : []), ...body(operation), ...example(operation), el("h3", {}, "Answers"), answers(operation), ...attempt(method, path, operation));
    groups.set(tag, [...(groups.get(tag) ?? []), details]);
  }
}
$("routes").replaceChildren(...[...groups].flatMap(([tag, list]) => [el("h2", {}, tag), ...list]));
