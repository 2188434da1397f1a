// The API's own document, readable without anything from the internet.

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

const groups = new Map();
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags?.[0] ?? "other";
    const parameters = (operation.parameters ?? []).map((p) => [code(p.name), p.in, prose(p.description ?? "")]);
    const details = el("details", {}, el("summary", {}, el("b", {}, method.toUpperCase()), code(path), el("span", {}, operation.summary ?? "")),
      el("p", {}, ...prose(operation.description ?? "")), ...(parameters.length ? [el("h3", {}, "Parameters"), table(parameters)] : []), ...body(operation), ...example(operation), el("h3", {}, "Answers"), answers(operation));
    groups.set(tag, [...(groups.get(tag) ?? []), details]);
  }
}
$("routes").replaceChildren(...[...groups].flatMap(([tag, list]) => [el("h2", {}, tag), ...list]));
