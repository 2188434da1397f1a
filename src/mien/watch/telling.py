"""Everything around a watcher: what is written down, and whom it is told; started and ended together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from mien.collecting import UnknownCollector
from mien.errors import MienError
from mien.gallery import Gallery
from mien.pipeline import Analyzer
from mien.sources.wire import Wait
from mien.watch.clips import ClipMaker
from mien.watch.mqtt import MqttTarget
from mien.watch.recorder import Recorder
from mien.watch.rules import Rules
from mien.watch.sending import Sender, Target
from mien.watch.settings import Rule, WatchFile, Webhook
from mien.watch.store import VisitStore, are_there, open_visits
from mien.watch.visits import Event
from mien.watch.watcher import Watcher
from mien.watch.webhooks import WebhookTarget

log = logging.getLogger(__name__)

Resolve = Callable[[str, Wait], Sequence[str]]


class Watch:
    """Cameras, their visits, and all who are told of them. A context manager: what it started ends with it.

    Args:
        analyzer: Looks at faces.
        said: Which cameras, what is kept, who is told.
        data: The folder of visits that have no place beside a gallery.
        tell: Gets every event, too, from the thread that watches.
        collector: Keeps strangers' faces; None: nobody does.
        store: Whether there is a database also where nothing is kept in it.

    Raises:
        MienError: The database cannot be opened, or a part is missing.

    Example:
        >>> with Watch(analyzer, read_file(Path("mien.toml")), data=data_dir()) as watch:
        ...     watch.watcher.run()
    """

    def __init__(
        self,
        analyzer: Analyzer,
        said: WatchFile,
        *,
        data: Path,
        tell: Callable[[Event], None] = lambda _: None,
        collector: UnknownCollector | None = None,
        store: bool = False,
    ) -> None:
        self.said = said
        self.tell = tell
        self.gallery: Gallery | None = analyzer.gallery
        self._stack = ExitStack()
        self._recorder: Recorder | None = None
        self._mqtt: MqttTarget | None = None
        self._clips: ClipMaker | None = None
        self._senders: list[Sender] = []
        self._added: dict[str, Sender] = {}
        self.hooks: dict[str, WebhookTarget] = {}
        self.watcher = Watcher(
            analyzer, said, self._tell, going_on=self._go_on, collector=collector
        )
        needed = store or said.watch.keep_days or said.webhooks or said.mqtt
        self.store = self._open(data) if needed else self._open_if_there(data)
        silences = () if self.store is None else self.store.silences()
        self.rules = Rules(said, silences=silences)
        if self.store is not None:
            self._set_up(self.store)

    def _open(self, data: Path) -> VisitStore:
        opened = open_visits(self.gallery, data=data)
        self._stack.callback(opened.close)
        return opened

    def _open_if_there(self, data: Path) -> VisitStore | None:
        """What earlier runs kept, so that it goes in time; where that cannot be used the cameras are watched all the
        same, for nothing new is to be kept there."""
        try:
            there = are_there(self.gallery, data=data)
            return self._open(data) if there else None
        except MienError as exc:
            log.warning("visits of earlier runs stay: %s", exc)
            return None

    def _set_up(self, store: VisitStore) -> None:
        self.hooks = {
            hook.name: WebhookTarget(hook, picture=self._picture)
            for hook in self.said.webhooks
        }
        targets: list[Target] = [*self.hooks.values()]
        if self.said.mqtt is not None:
            states = self.watcher
            self._mqtt = MqttTarget(self.said.mqtt, lambda: states.states)
            targets.append(self._mqtt)
        self._senders = [Sender(store, target) for target in targets]
        self._recorder = Recorder(
            store,
            keep_days=self.said.watch.keep_days,
            messages=self.rules.messages,
            written=self._written,
            gone=self._gone,
            swept=self._swept,
        )
        if self.said.watch.keep_clips is not None:
            no_clip = self.watcher.give_up_clip
            self._clips = ClipMaker(self._recorder.put, given_up=no_clip)
            self._recorder.given_up = no_clip
            self.watcher.cut = self._clips.put
        if not self.said.watch.keep_days:
            _say_what_stays(store, self.said.watch.keep_days)

    def _picture(self, visit_id: str) -> bytes:
        """The best picture that is kept of a visit; empty where none is, or not any more."""
        if self.store is None:
            return b""
        try:
            return self.store.picture(visit_id)
        except MienError:
            return b""

    def add_rule(self, rule: Rule, hook: Webhook, resolve: Resolve) -> None:
        """One more rule with a webhook of its own, whose name is the rule's id, or a changed one. It is told from now
        on."""
        if self.store is None:
            raise ValueError("this watch keeps nothing")
        target = WebhookTarget(hook, picture=self._picture, resolve=resolve)
        before = self._added.pop(hook.name, None)
        if before is not None:  # two would tell the same twice
            before.close()
        sender = Sender(self.store, target)
        sender.start()
        self._added[hook.name] = sender
        self.hooks[hook.name] = target
        self.rules.add(hook.name, rule, once=hook.format == "text")

    def drop_rule(self, rule_id: str) -> None:
        """A rule that was added speaks no longer; what it had to tell is not told."""
        self.rules.drop(rule_id)
        self.hooks.pop(rule_id, None)
        sender = self._added.pop(rule_id, None)
        if self.store is not None:
            self.store.drop_rule(rule_id, rule_id)
        if sender is not None:
            sender.close()

    def __enter__(self) -> Self:
        if self._mqtt is not None:
            self._mqtt.start()
            self._stack.callback(self._mqtt.close)
        for sender in self._senders:
            sender.start()
            self._stack.callback(sender.close)
        if self._recorder is not None:
            self._recorder.start()
            self._stack.callback(self._recorder.close)
        if self._clips is not None:
            self._clips.start()
            self._stack.callback(self._clips.close)
        return self

    def __exit__(self, *_: object) -> None:
        for sender in self._added.values():
            sender.close()
        self._stack.close()

    def _tell(self, event: Event) -> None:
        self.tell(event)
        if self._recorder is not None:
            self._recorder.put(event)

    def _go_on(self, seen: dict[str, float]) -> None:
        if self._recorder is not None:
            self._recorder.put(seen)

    def _written(self, event: Event) -> None:
        """Something is in the database: it may be told."""
        if self._mqtt is not None:
            self._mqtt.note(event)
        for sender in [*self._senders, *self._added.values()]:
            sender.wake()

    def _gone(self, event: Event) -> None:
        """The visit of an event was deleted: nobody is told."""
        if self._mqtt is not None:
            self._mqtt.drop(event)

    def _swept(self) -> None:
        """Who is not in the gallery any more is taken back from the broker, too."""
        if self._mqtt is None or self.gallery is None or not self._mqtt.people:
            return
        try:
            there = {person.name for person in self.gallery.people()}
        except MienError as exc:
            log.warning("%s", exc)
            return
        self._mqtt.forget(self._mqtt.people - there)


def _say_what_stays(store: VisitStore, keep_days: float | None) -> None:
    """Says what becomes of visits that were kept, where none are to be kept any more."""
    kept, days = store.count(), store.days()
    if not kept:
        return
    if keep_days == 0:
        log.warning("%d visits of earlier runs are deleted: keep_days is 0", kept)
        return
    until = "for ever, since none of them said keep_days"
    if days is not None:
        until = f"until they are {days:g} days old, as was said then"
    log.warning(
        "no more visits are kept; %d of earlier runs stay %s; keep_days = 0 deletes them",
        kept,
        until,
    )
