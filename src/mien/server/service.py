"""What all routes share: one object that is made at the start and handed to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import anyio

from mien.collecting import UnknownCollector, who_is_known
from mien.finding import batch_search
from mien.gallery.unknown import (
    UnknownFaces,
    file_for,
    open_unknown,
    open_unknown_file,
)
from mien.media.apart import Decoders
from mien.models.folder import ModelFolder
from mien.pipeline import Analyzer
from mien.server.audit import AuditLog
from mien.server.fetch import rules_of
from mien.server.gate import Gate
from mien.server.jobs.store import Job, JobStore
from mien.server.jobs.worker import JobWorker, Strangers
from mien.server.keys import KeyFile
from mien.server.metrics import Metrics
from mien.server.models import Models
from mien.server.people import People
from mien.server.places import Places
from mien.server.rates import Rates
from mien.server.settings import ServerSettings
from mien.server.streams import open_stream
from mien.server.watching import CameraMetrics, Watching, watching_for
from mien.sources import Source
from mien.watch.store import tell_visits


@dataclass(slots=True)
class Service:
    """The analyzer and everything around it."""

    settings: ServerSettings
    analyzer: Analyzer
    metrics: Metrics
    gate: Gate
    keys: KeyFile
    rates: Rates
    people: People
    unknown: UnknownFaces
    collector: UnknownCollector | None
    jobs: JobStore
    worker: JobWorker
    models: Models
    watching: Watching | None
    decoders: Decoders
    audit: AuditLog
    wrong_keys: Rates = field(init=False)
    stopping: threading.Event = field(default_factory=threading.Event)
    live: Places = field(init=False)
    listeners: Places = field(init=False)
    fetches: Places = field(init=False)
    fetch_threads: anyio.CapacityLimiter = field(
        init=False
    )  # apart from those of the other routes
    _choosing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        limits = self.settings.limits
        self.wrong_keys = Rates(limits.wrong_keys_per_minute)
        self.live = Places(
            limits.live_clients,
            limits.live_per_key,
            what="live connections",
            retry_s=10,
        )
        self.listeners = Places(
            limits.events_clients,
            limits.events_per_key,
            what="event streams",
            retry_s=10,
        )
        self.fetches = Places(
            limits.fetches, limits.fetches_per_key, what="fetched addresses", retry_s=5
        )
        self.fetch_threads = anyio.CapacityLimiter(limits.fetches)

    def choose(self, attribute: str, name: str | None) -> None:
        """Lets a model file (None: what the service was started with) tell an attribute from the next request on.

        Raises:
            Problem: The attribute or the model cannot be chosen, or the model does not work.
        """
        with self._choosing:
            self.analyzer = self.models.choose(self.analyzer, attribute, name)
            self.worker.use(self.analyzer)

    def show(self, metrics: Metrics) -> None:
        """Lets the metrics tell how much is waiting."""
        gauges: list[tuple[str, str, Callable[[], float]]] = [
            (
                "mien_requests_in_line",
                "Requests admitted and not answered.",
                lambda: self.gate.line.taken,
            ),
            ("mien_jobs_queued", "Jobs waiting.", lambda: self.jobs.count("queued")),
            ("mien_jobs_running", "Jobs running.", lambda: self.jobs.count("running")),
            (
                "mien_event_listeners",
                "Open event streams.",
                lambda: self.listeners.taken,
            ),
        ]
        for name, text, value in gauges:
            metrics.watch(name, text, value)


def make_service(settings: ServerSettings, analyzer: Analyzer) -> Service:
    """The service around an analyzer; its worker is started by the application."""
    metrics = Metrics()
    gate = Gate(settings.limits, metrics)
    jobs = JobStore(settings.data, settings.limits)
    strangers = _make_unknown(settings, analyzer)
    opener = partial(_open_stream, settings) if settings.urls else None
    worker = JobWorker(jobs, analyzer, gate, strangers, opener)
    watching = watching_for(settings, analyzer, strangers.collector)
    decoders = Decoders()
    relabel = _tell_all(settings, worker, strangers.faces)
    results = [
        batch_search(folder, analyzer.space, keep=True) for folder in settings.results
    ]
    people = People(
        analyzer,
        relabel=relabel,
        decoders=decoders,
        results=results,
        visits=None if watching is None else watching.store,
    )
    keys = KeyFile(settings.data / "keys.json")
    rates = Rates(settings.limits.requests_per_minute)
    models = Models(
        analyzer,
        None if settings.models_dir is None else ModelFolder(settings.models_dir),
    )
    service = Service(
        settings,
        analyzer,
        metrics,
        gate,
        keys,
        rates,
        people,
        strangers.faces,
        strangers.collector,
        jobs,
        worker,
        models,
        watching,
        decoders,
        AuditLog(settings.data),
    )
    if watching is not None:
        metrics.registry.register(CameraMetrics(watching))
    service.show(metrics)
    return service


def _make_unknown(settings: ServerSettings, analyzer: Analyzer) -> Strangers:
    """The unknown faces beside the analyzer's gallery, and what keeps them where they are to be kept.

    Raises:
        GalleryError: They cannot be kept there.
        InputError: They are to be kept, but nobody is identified.
    """
    if analyzer.gallery is None:
        unknown = open_unknown_file(file_for(None, settings.data), space=analyzer.space)
    else:
        unknown = open_unknown(analyzer.gallery, data=settings.data)
    if settings.keep_unknown_days is None:
        return Strangers(unknown, None)
    who_is_known(analyzer.gallery, analyzer.only)
    days, tolerance = settings.keep_unknown_days, analyzer.tolerance
    return Strangers(unknown, UnknownCollector(unknown, days=days, tolerance=tolerance))


def _open_stream(
    settings: ServerSettings, job: Job, over: Callable[[], bool]
) -> Source:
    """The stream of a job, by the same rules as what a request fetches."""
    return open_stream(job, rules_of(settings, over))


def _tell_all(
    settings: ServerSettings, worker: JobWorker, unknown: UnknownFaces
) -> Callable[[str, str | None], None]:
    """What is told that a person has another name, or none any more."""

    def relabel(old: str, new: str | None) -> None:
        worker.relabel(old, new)
        unknown.relabel(old, new)
        if worker.analyzer.gallery is not None:
            gallery = worker.analyzer.gallery
            tell_visits(gallery, data=settings.data, old=old, new=new)

    return relabel
