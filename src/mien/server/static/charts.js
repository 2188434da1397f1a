// Counts as small pictures: columns and bars of SVG, each with its table for who reads instead of looking.

import { t, word } from "./lang.js";
import { el } from "./ui.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 480;
const HEIGHT = 130;

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const total = (counts) => counts.reduce((sum, count) => sum + count, 0);

// One column for each row of a series, its labels one above the other; `colours` by label, else by place.
function columns({ rows, labels, counts }, name, colours) {
  const most = Math.max(1, ...counts.map(total));
  const step = WIDTH / rows.length;
  const picture = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 22}`, role: "img", "aria-label": name });
  const every = Math.ceil(rows.length / 12);
  rows.forEach((row, i) => {
    let y = HEIGHT;
    counts[i].forEach((count, k) => {
      if (!count) return;
      const height = (count / most) * (HEIGHT - 6);
      y -= height;
      const told = shape("title", {}, `${word(row)}, ${word(labels[k])}: ${count}`);
      const bar = shape("rect", { x: (i + 0.12) * step, y, width: Math.min(44, step * 0.76), height, rx: 2, class: `c${k % 6}` }, told);
      if (colours?.[labels[k]] ?? colours?.[row]) bar.style.setProperty("fill", colours[labels[k]] ?? colours[row]);
      picture.append(bar);
    });
    if (i % every === 0) picture.append(shape("text", { x: (i + 0.12) * step, y: HEIGHT + 16 }, word(row)));
  });
  return picture;
}

const cell = (text) => el("td", {}, String(text));

// A chart with its title, its legend and, folded up, its numbers; null where nothing was counted.
export function chart(series, name, { colours } = {}) {
  const { rows, labels, counts } = series;
  if (!rows.length || !counts.some(total)) return null;
  const keys = labels.length > 1 ? el("p", { class: "legend" }, ...labels.map((label, k) => el("span", {}, el("i", { class: `c${k % 6}`, css: colours?.[label] ? { background: colours[label] } : {} }), word(label)))) : null;
  const head = el("tr", {}, el("th", { scope: "col" }, name), ...labels.map((label) => el("th", { scope: "col" }, word(label))));
  const body = rows.map((row, i) => el("tr", {}, el("th", { scope: "row" }, word(row)), ...counts[i].map(cell)));
  return el("section", { class: "chart" }, el("h3", {}, name), keys, columns(series, name, colours),
    el("details", {}, el("summary", {}, t`As numbers`), el("table", {}, el("thead", {}, head), el("tbody", {}, ...body))));
}
