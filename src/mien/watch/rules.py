"""Which visits are told to whom: the rules, and what was told by them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mien.watch.cameras import within
from mien.watch.settings import Rule, WatchFile
from mien.watch.store import MQTT, TOLD_FOR_S, Message, message_of
from mien.watch.visits import Event


class Rules:
    """Turns events into messages. A rule speaks once of a visit, as soon as it is known to fit; from then on its
    webhooks hear what becomes of the visit. Not safe to share between threads.

    Args:
        said: The rules, and whom they tell.
        clock: Seconds since 1970.
    """

    def __init__(
        self, said: WatchFile, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.rules: Mapping[str, Rule] = {
            str(number): rule for number, rule in enumerate(said.rules)
        }
        self.hooks = tuple(hook.name for hook in said.webhooks)
        self.once = frozenset(h.name for h in said.webhooks if h.format == "text")
        self.mqtt = said.mqtt is not None
        self.clock = clock
        self._heard: dict[str, set[str]] = {}  # the rules that spoke, by visit
        self._spoke: dict[tuple[str, str, str | None], float] = {}

    def add(self, rule_id: str, rule: Rule, *, once: bool) -> None:
        """One more rule, or a changed one, which tells the target of its own id. May be called from any thread."""
        told = rule.model_copy(update={"tell": (rule_id,)})
        others = self.once - {rule_id}
        self.once = others | {rule_id} if once else others
        self.rules = {**self.rules, rule_id: told}

    def drop(self, rule_id: str) -> None:
        """A rule less. May be called from any thread."""
        self.rules = {key: one for key, one in self.rules.items() if key != rule_id}

    def messages(self, event: Event) -> Sequence[Message]:
        """What is to be told of an event."""
        rules = self.rules
        heard = self._heard.setdefault(event.visit, set())
        new = {
            key
            for key, rule in rules.items()
            if key not in heard and self._fits(key, rule, event)
        }
        heard |= new
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
        return made

    def _fits(self, rule_id: str, rule: Rule, event: Event) -> bool:
        who, person = event.told.get("who"), event.told.get("person")
        if event.kind == "joined" or event.told["count"] < rule.sightings:
            return False
        if rule.cameras and event.camera not in rule.cameras:
            return False
        if not within(rule.hours, event.begins) or not rule.is_about(who, person):
            return False
        now, key = self.clock(), (rule_id, event.camera, person)
        if now - self._spoke.get(key, float("-inf")) < rule.every_minutes * 60:
            return False
        day_ago = now - TOLD_FOR_S
        self._spoke = {k: at for k, at in self._spoke.items() if at > day_ago}
        self._spoke[key] = now
        return True

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
