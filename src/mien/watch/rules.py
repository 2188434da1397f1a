"""Which visits are told to whom: the rules, and what was told by them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from mien.watch.cameras import within
from mien.watch.settings import Rule, WatchFile
from mien.watch.store import Message
from mien.watch.visits import Event

MQTT = "mqtt"  # the target that is no webhook
_A_DAY_S = 86_400.0  # for which something is tried to be told


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
        self.rules = said.rules
        self.hooks = tuple(hook.name for hook in said.webhooks)
        self.mqtt = said.mqtt is not None
        self.clock = clock
        self._heard: dict[str, set[int]] = {}  # the rules that spoke, by visit
        self._spoke: dict[tuple[int, str, str | None], float] = {}

    def messages(self, event: Event) -> Sequence[Message]:
        """What is to be told of an event."""
        heard = self._heard.setdefault(event.visit, set())
        for number, rule in enumerate(self.rules):
            if number not in heard and self._fits(number, rule, event):
                heard.add(number)
        told = [self.rules[number] for number in sorted(heard)]
        if event.kind in {"end", "joined"}:
            del self._heard[event.visit]
        hooks = {hook: rule for rule in told for hook in rule.tell or self.hooks}
        made = [self._message(hook, event, rule) for hook, rule in hooks.items()]
        if self.mqtt:
            made.append(self._message(MQTT, event, None))
        return made

    def _fits(self, number: int, rule: Rule, event: Event) -> bool:
        who, person = event.told.get("who"), event.told.get("person")
        if event.kind == "joined" or event.told["count"] < rule.sightings:
            return False
        if rule.cameras and event.camera not in rule.cameras:
            return False
        if not within(rule.hours, event.begins) or not _is_of(rule, who, person):
            return False
        now, key = self.clock(), (number, event.camera, person)
        if now - self._spoke.get(key, float("-inf")) < rule.every_minutes * 60:
            return False
        day_ago = now - _A_DAY_S
        self._spoke = {k: at for k, at in self._spoke.items() if at > day_ago}
        self._spoke[key] = now
        return True

    def _message(self, target: str, event: Event, rule: Rule | None) -> Message:
        named = {} if rule is None else {"rule": rule.name or None}
        body: dict[str, Any] = {"id": uuid.uuid4().hex, **named}
        body["visit"] = event.to_dict()
        return Message(
            0,
            target,
            event.visit,
            json.dumps(body, ensure_ascii=False),
            self.clock() + _A_DAY_S,
            0,
            event.told.get("person"),
        )


def _is_of(rule: Rule, who: object, person: str | None) -> bool:
    """Whether somebody is one of those a rule is about; nobody knows yet of whom it is unsure."""
    if rule.who == "anybody":
        return True
    if isinstance(rule.who, str):
        return who == rule.who
    return person in rule.who
