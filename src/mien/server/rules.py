"""Rules of whom to tell of visits: those of the file, and those that an admin added, with an address of their own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from mien.errors import InputError, SourceError
from mien.server.fetch import Fetcher, rules_of
from mien.server.problems import Problem
from mien.server.settings import ServerSettings
from mien.sources.wire import Wait
from mien.text import is_visible, shown
from mien.watch.sending import NotTold
from mien.watch.settings import Rule, Webhook
from mien.watch.store import VisitStore, message_of
from mien.watch.telling import Watch
from mien.watch.visits import iso

MOST_RULES = 64  # that may be added
_PREFIX = "added-"


@dataclass(frozen=True, slots=True)
class Known:
    """A rule by its id, whom it tells, and whether it stands in the file."""

    id: str
    rule: Rule
    hooks: tuple[Webhook, ...]
    fixed: bool


class AddedRules:
    """The rules of a watch. Safe to share between threads."""

    def __init__(self, settings: ServerSettings, watch: Watch) -> None:
        self.settings = settings
        self.watch = watch
        self._lock = threading.Lock()
        self._added: dict[str, Known] = {}

    def start(self) -> None:
        """Lets those that were added before speak."""
        if self.watch.store is None:
            return
        for rule_id, said in self.watch.store.rules().items():
            self._speak(_made(rule_id, said))

    def all(self) -> list[Known]:
        """Every rule, those of the file first."""
        said = self.watch.said
        hooks = {hook.name: hook for hook in said.webhooks}
        fixed = [
            Known(
                f"file-{number}",
                rule,
                tuple(hooks[name] for name in rule.tell or hooks),
                fixed=True,
            )
            for number, rule in enumerate(said.rules, start=1)
        ]
        with self._lock:
            return [*fixed, *self._added.values()]

    def get(self, rule_id: str) -> Known:
        """One rule. Raises Problem."""
        found = next((one for one in self.all() if one.id == rule_id), None)
        if found is None:
            detail = "no rule has this id; GET /v1/rules lists them"
            raise Problem("rule-not-found", detail)
        return found

    def add(self, said: Mapping[str, Any], cameras: Sequence[str]) -> Known:
        """One more rule. Raises Problem, InputError, SourceError."""
        rule_id = _PREFIX + uuid.uuid4().hex[:12]
        made = self._checked(rule_id, said, cameras)
        with self._lock:
            if len(self._added) >= MOST_RULES:
                raise Problem("busy", f"{MOST_RULES} rules were added: remove one")
            self._store.put_rule(rule_id, said)
        self._speak(made)
        return made

    def change(
        self, rule_id: str, changes: Mapping[str, Any], cameras: Sequence[str]
    ) -> Known:
        """An added rule as it is from now on; what it has to tell goes where it tells now. Raises Problem, InputError,
        SourceError."""
        self._check_added(rule_id)
        said = {**self._store.rules()[rule_id], **changes}
        made = self._checked(rule_id, said, cameras)
        self._store.put_rule(rule_id, said)
        self._speak(made)
        return made

    @property
    def _store(self) -> VisitStore:
        if self.watch.store is None:
            raise ValueError("this watch keeps nothing")
        return self.watch.store

    def _check_added(self, rule_id: str) -> None:
        if self.get(rule_id).fixed:
            detail = "this rule stands in the service's file: change it there"
            raise Problem("rule-fixed", detail)

    def _checked(
        self, rule_id: str, said: Mapping[str, Any], cameras: Sequence[str]
    ) -> Known:
        """What a client said, as a rule that may speak."""
        made = _made(rule_id, said)
        if not is_visible(made.rule.name.strip()):
            raise InputError(
                f"the name {made.rule.name!r} holds characters that cannot be printed"
            )
        unknown = [name for name in made.rule.cameras if name not in cameras]
        if unknown:
            raise InputError(f"there is no camera {unknown[0]!r}")
        self._resolve(made.hooks[0].url, None)
        return made

    def remove(self, rule_id: str) -> None:
        """Ends a rule that was added, and deletes what it had to tell. Raises Problem."""
        self._check_added(rule_id)
        with self._lock:
            self._added.pop(rule_id, None)
        self.watch.drop_rule(rule_id)

    def test(self, rule_id: str) -> dict[str, str | None]:
        """Tells whom a rule tells of a visit that never was; why somebody could not be told, by their address."""
        known = self.get(rule_id)
        name = known.rule.name or None
        message = message_of(known.id, _visit(), expires=0.0, rule=name)
        told: dict[str, str | None] = {}
        for hook in known.hooks:
            try:
                self.watch.hooks[hook.name].tell(message)
                told[shown(hook.url)] = None
            except NotTold as exc:
                told[shown(hook.url)] = str(exc)
        return told

    def _speak(self, made: Known) -> None:
        with self._lock:
            self._added[made.id] = made
        self.watch.add_rule(made.rule, made.hooks[0], self._resolve_again)

    def _resolve(self, url: str, wait: Wait | None) -> list[str]:
        """The machine of an address that a client named. Raises Problem, SourceError."""
        fetcher = Fetcher(rules_of(self.settings, lambda: False))
        return [fetcher.resolve(url, wait).ip]

    def _resolve_again(self, url: str, wait: Wait) -> list[str]:
        """The same before each telling: a name may lead elsewhere by now."""
        try:
            return self._resolve(url, wait)
        except Problem as exc:
            raise NotTold(f"{shown(url)}: {exc.detail}") from exc
        except SourceError as exc:
            raise NotTold(f"{shown(url)}: {exc}") from exc


def _made(rule_id: str, said: Mapping[str, Any]) -> Known:
    """What a client said, as a rule and its webhook. Raises InputError."""
    of_hook = {
        name: said[name] for name in ("url", "format", "picture") if name in said
    }
    of_rule = {name: said[name] for name in said if name not in of_hook}
    try:
        rule = Rule.model_validate(of_rule)
        hook = Webhook.model_validate({"name": rule_id, **of_hook})
    except ValidationError as exc:
        wrong = exc.errors()[0]
        where = "".join(f"{part}: " for part in wrong["loc"][:1])
        raise InputError(where + wrong["msg"].removeprefix("Value error, ")) from exc
    return Known(rule_id, rule, (hook,), fixed=False)


def _visit() -> dict[str, Any]:
    """A visit that never was."""
    now = iso(datetime.now(UTC).timestamp())
    return {
        "event": "test",
        "id": "test",
        "camera": "test",
        "begin": now,
        "end": now,
        "zone": None,
        "count": 0,
        "who": "unknown",
        "person": None,
    }
