"""Which visits are told to whom: the rules, and what was told by them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from mien.watch.cameras import within
from mien.watch.settings import Rule, WatchFile
from mien.watch.store import MQTT, TOLD_FOR_S, Message, Silence, message_of
from mien.watch.visits import Event


class Rules:
    """Turns events into messages. A rule speaks once of a visit, as soon as it is known to fit; from then on its
    webhooks hear what becomes of the visit. Not safe to share between threads.

    Args:
        said: The rules, and whom they tell.
        silences: What was said before a restart, and is not to be said again for a while.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        said: WatchFile,
        *,
        silences: Iterable[Silence] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.said = said
        self.rules: Mapping[str, Rule] = {_key_of(rule): rule for rule in said.rules}
        self.hooks = tuple(hook.name for hook in said.webhooks)
        self.once = frozenset(h.name for h in said.webhooks if h.format == "text")
        self.mqtt = said.mqtt is not None
        self.clock = clock
        self._heard: dict[str, set[str]] = {}  # the rules that spoke, by visit
        self._silences = list(silences)

    def add(self, rule_id: str, rule: Rule, *, once: bool) -> None:
        """One more rule, or a changed one, which tells the target of its own id. May be called from any thread."""
        told = rule.model_copy(update={"tell": (rule_id,)})
        others = self.once - {rule_id}
        self.once = others | {rule_id} if once else others
        self.rules = {**self.rules, rule_id: told}

    def drop(self, rule_id: str) -> None:
        """A rule less. May be called from any thread."""
        self.rules = {key: one for key, one in self.rules.items() if key != rule_id}

    def messages(self, event: Event) -> tuple[Sequence[Message], Sequence[Silence]]:
        """What is to be told of an event, and what is not to be told again for a while."""
        rules, now = self.rules, self.clock()
        self._silences = [one for one in self._silences if one.until > now]
        heard = self._heard.setdefault(event.visit, set())
        new = {
            key
            for key, rule in rules.items()
            if key not in heard and self._fits(key, rule, event)
        }
        heard |= new
        person = event.told.get("person")
        silences = [
            Silence(key, event.camera, person, now + rules[key].every_minutes * 60)
            for key in new
            if rules[key].every_minutes
        ]
        self._silences += silences
        if event.kind in {"end", "joined"}:
            del self._heard[event.visit]
        hooks = {
            hook: rule
            for key, rule in rules.items()
            if key in heard
            for hook in rule.tell or self.hooks
            if key in new or hook not in self.once
        }
        made = [self._message(hook, event, rule) for hook, rule in hooks.items()]
        if self.mqtt:
            made.append(self._message(MQTT, event, None))
        return made, silences

    def _fits(self, rule_id: str, rule: Rule, event: Event) -> bool:
        who, person = event.told.get("who"), event.told.get("person")
        if event.kind == "joined" or event.told["count"] < rule.sightings:
            return False
        if rule.cameras and event.camera not in rule.cameras:
            return False
        if not within(rule.hours, event.begins) or not rule.is_about(who, person):
            return False
        said = (rule_id, event.camera, person)
        return all(said != (s.rule, s.camera, s.person) for s in self._silences)

    def _message(self, target: str, event: Event, rule: Rule | None) -> Message:
        named = {} if rule is None else {"rule": rule.name or None}
        expires = self.clock() + TOLD_FOR_S
        made = message_of(target, event.to_dict(), expires=expires, **named)
        return replace(
            made,
            visit_id=event.visit,
            person=event.told.get("person"),
            ends=event.kind in {"begin", "change"} and target not in self.once,
        )


def _key_of(rule: Rule) -> str:
    """What a rule of the file is known by from run to run: one that says something else is another one."""
    said = json.dumps(rule.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
