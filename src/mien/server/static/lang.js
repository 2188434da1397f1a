// The language of the page: texts are written in English where they are used, t`Rename ${name}`, and LANGUAGE.json says
// each in another language: {"Rename {0}": "{0} umbenennen"}. Another language is one more file, named in `languages`.

export const languages = { en: "English", de: "Deutsch" };

const KEY = "mien.language";
const chosen = localStorage.getItem(KEY) ?? document.documentElement.lang; // as the browser asks for it: the service's answer

export const language = chosen in languages ? chosen : "en";
export const locale = navigator.language.startsWith(language) ? navigator.language : language; // of days and times

const strings = language === "en" ? {} : await (await fetch(`/static/${language}.json`)).json();

export function t(texts, ...values) {
  const text = texts.reduce((all, part, i) => `${all}{${i - 1}}${part}`);
  return (strings[text] ?? text).replace(/\{(\d)\}/g, (_, i) => String(values[i]));
}

// What the service tells in English, of faces and photos: names and labels of attributes, verdicts.
export const word = (text) => strings[text] ?? text;

const SAID = ["aria-label", "title", "placeholder", "data-kept"];

// Puts the texts of the document itself into the language.
export function translate(root) {
  document.documentElement.lang = language;
  const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim();
    if (strings[text]) walk.currentNode.data = walk.currentNode.data.replace(text, () => strings[text]);
  }
  for (const name of SAID) {
    for (const node of root.querySelectorAll(`[${name}]`)) node.setAttribute(name, word(node.getAttribute(name)));
  }
}

export function choosing(select) {
  const options = Object.entries(languages).map(([value, name]) => new Option(name, value, false, value === language));
  for (const option of options) option.lang = option.value;
  select.replaceChildren(...options);
  select.addEventListener("change", () => { localStorage.setItem(KEY, select.value); location.reload(); });
}
