"""Cameras that the service watches: those of the file, and those that an admin added."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError

from mien.collecting import UnknownCollector
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.server.fetch import Fetcher, FetchRules, rules_of
from mien.server.problems import Problem
from mien.server.rules import AddedRules
from mien.server.settings import ServerSettings
from mien.server.streams import open_camera
from mien.sources import Source, Timeouts
from mien.types import U8, Faces
from mien.watch.cameras import Camera
from mien.watch.feed import CameraState
from mien.watch.mqtt import slug
from mien.watch.settings import WatchFile
from mien.watch.store import VisitStore
from mien.watch.telling import Watch

log = logging.getLogger(__name__)

MOST_CAMERAS = 64  # that may be added


@dataclass(frozen=True, slots=True)
class Watched:
    """A camera by its id, how it does, and whether it stands in the file."""

    id: str
    camera: Camera
    state: CameraState
    fixed: bool


class Watching:
    """Watches in a thread of its own. Safe to share between threads.

    Args:
        settings: `watch` says what.
        analyzer: Looks at faces.
        collector: Keeps strangers' faces; None: nobody does.

    Raises:
        GalleryError: Visits cannot be kept.
    """

    def __init__(
        self,
        settings: ServerSettings,
        analyzer: Analyzer,
        said: WatchFile,
        collector: UnknownCollector | None,
    ) -> None:
        self.settings = settings
        self.said = said
        self.watch = Watch(
            analyzer, said, data=settings.data, collector=collector, store=True
        )
        self.watch.watcher.endless = True
        self.rules = AddedRules(settings, self.watch)
        self._lock = threading.Lock()
        self._added = {
            camera_id: Camera.model_validate(camera)
            for camera_id, camera in self.store.cameras().items()
        }
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    @property
    def store(self) -> VisitStore:
        """Where visits and cameras are kept."""
        if self.watch.store is None:
            raise ValueError("this watch keeps nothing")
        return self.watch.store

    def start(self) -> None:
        for camera in self._added.values():
            self.watch.watcher.add(camera, self._opener)
        self.rules.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends all visits and threads."""
        self.watch.watcher.stop()
        self._thread.join(timeout=20.0)

    def _run(self) -> None:
        try:
            with self.watch:
                self.watch.watcher.run()
        except Exception:  # a thread must not die in silence
            log.exception("watching has ended")
            raise

    def _opener(self, uri: int | str, timeouts: Timeouts) -> Source:
        """What a client named is opened by the rules for that."""
        return open_camera(str(uri), timeouts, self._rules(timeouts.over))

    def _rules(self, over: Callable[[], bool]) -> FetchRules:
        return rules_of(self.settings, over)

    # -- cameras

    @property
    def names(self) -> list[str]:
        """What every camera is called."""
        return [one.camera.name for one in self.all()]

    def all(self) -> list[Watched]:
        """Every camera, those of the file first."""
        states = {state.name: state for state in self.watch.watcher.states}
        with self._lock:
            added = dict(self._added)
        fixed = {slug(camera.name): camera for camera in self.said.cameras}
        return [
            Watched(
                key,
                camera,
                states.get(camera.name, CameraState(camera.name)),
                key in fixed,
            )
            for key, camera in {**fixed, **added}.items()
        ]

    def get(self, camera_id: str) -> Watched:
        """One camera. Raises Problem."""
        found = next((one for one in self.all() if one.id == camera_id), None)
        if found is None:
            detail = "no camera has this id; GET /v1/cameras lists them"
            raise Problem("camera-not-found", detail)
        return found

    def picture(self, camera_id: str) -> tuple[U8, Faces]:
        """The newest picture, and who is in it. Raises Problem."""
        found = self.watch.watcher.look_at(self.get(camera_id).camera.name)
        if found is None:
            raise Problem("not-ready", "no picture of this camera has come yet")
        return found

    def add(self, said: Mapping[str, Any]) -> Watched:
        """Watches one more camera. Raises Problem, InputError."""
        camera = self._checked(said)
        with self._lock:
            if len(self._added) >= MOST_CAMERAS:
                raise Problem("busy", f"{MOST_CAMERAS} cameras were added: remove one")
            self._check_free(camera.name)
            self._keep(slug(camera.name), camera)
        return self.get(slug(camera.name))

    def change(self, camera_id: str, changes: Mapping[str, Any]) -> Watched:
        """Watches an added camera in another way. Raises Problem, InputError."""
        before = self._own(camera_id)
        camera = self._checked({**before.model_dump(), **changes})
        with self._lock:
            if camera.name != before.name:
                self._check_free(camera.name)
            self.watch.watcher.remove(before.name)
            self._keep(camera_id, camera)
        return self.get(camera_id)

    def remove(self, camera_id: str) -> None:
        """Watches an added camera no longer. Raises Problem."""
        camera = self._own(camera_id)
        with self._lock:
            self.store.drop_camera(camera_id)
            self._added.pop(camera_id, None)
            self.watch.watcher.remove(camera.name)

    def _own(self, camera_id: str) -> Camera:
        found = self.get(camera_id)
        if found.fixed:
            detail = "this camera stands in the service's file: change it there"
            raise Problem("camera-fixed", detail)
        return found.camera

    def _keep(self, camera_id: str, camera: Camera) -> None:
        self.store.put_camera(camera_id, camera.model_dump(mode="json"))
        self._added[camera_id] = camera
        self.watch.watcher.add(camera, self._opener)

    def _check_free(self, name: str) -> None:
        names = {c.name for c in (*self.said.cameras, *self._added.values())}
        if name in names:
            raise Problem("camera-exists", "a camera has this name; choose another")

    def _checked(self, said: Mapping[str, Any]) -> Camera:
        """What a client said, as a camera that may be watched."""
        try:
            camera = Camera.model_validate(dict(said))
        except ValidationError as exc:
            wrong = exc.errors()[0]
            message = wrong["msg"].removeprefix("Value error, ")
            raise InputError(f"{'.'.join(map(str, wrong['loc']))}: {message}") from exc
        if not isinstance(camera.source, str) or "://" not in camera.source:
            detail = "a camera that is added has an address: rtsp://… or http://…"
            raise Problem("address-refused", detail)
        Fetcher(self._rules(lambda: False)).resolve(camera.source)
        return camera


def watching_for(
    settings: ServerSettings, analyzer: Analyzer, collector: UnknownCollector | None
) -> Watching | None:
    """What watches, where the service was told to."""
    if settings.watch is None:
        return None
    return Watching(settings, analyzer, settings.watch, collector)


class CameraMetrics(Collector):
    """How the cameras do, as Prometheus reads it."""

    def __init__(self, watching: Watching) -> None:
        self.watching = watching

    def collect(self) -> Iterator[GaugeMetricFamily]:
        told: dict[str, tuple[str, Callable[[CameraState], float]]] = {
            "up": ("Whether pictures come.", lambda s: float(s.state == "up")),
            "fps": ("Pictures that come in a second.", lambda s: s.fps),
            "delay_seconds": ("From picture to event.", lambda s: s.delay_s or 0.0),
            "looked_at": ("Pictures looked at so far.", lambda s: s.looked_at),
            "last_picture_timestamp_seconds": (
                "When the last picture came.",
                lambda s: s.last_picture or 0.0,
            ),
        }
        cameras = self.watching.all()
        for name, (text, value) in told.items():
            family = GaugeMetricFamily(f"mien_camera_{name}", text, labels=["camera"])
            for one in cameras:
                family.add_metric([one.camera.name], value(one.state))
            yield family
