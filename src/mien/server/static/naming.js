// Giving an unknown face a name: to somebody known, or to somebody new.

import * as api from "./api.js";
import { t } from "./lang.js";
import { advice, announce, ask, crop, el, nameField, toast } from "./ui.js";

export async function nameFace(face, file, picture) {
  const people = await api.people();
  const known = face.name ? people.find((p) => p.name === face.name) : undefined;
  const { input, field } = nameField(people, { value: known?.name ?? "" });
  const why = known ? t`mien says this is ${known.name}. Choose the right name if it is not.` : t`Type a name. Somebody mien already knows gets this as one more photo.`;
  const body = el("div", {}, el("div", { class: "snapshot" }, crop(picture, face.box, 192), el("p", {}, why)), field);
  const person = await ask({
    title: t`Who is this?`,
    body,
    submit: () => {
      const name = input.value.trim();
      const there = people.find((p) => p.name === name);
      return api.enrol({ id: there?.id, name: there ? undefined : name, files: [file], box: face.box });
    },
  });
  if (person) {
    toast(t`${person.name} will be recognised from now on.${advice(person)}`);
    announce(t`${person.name} enrolled`);
    window.dispatchEvent(new CustomEvent("mien:people"));
  }
  return person;
}
