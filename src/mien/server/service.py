"""What all routes share: one object that is made at the start and handed to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mien.models.folder import ModelFolder
from mien.pipeline import Analyzer
from mien.server.gate import Gate
from mien.server.jobs.store import JobStore
from mien.server.jobs.worker import JobWorker
from mien.server.keys import KeyFile
from mien.server.metrics import Metrics
from mien.server.models import Models
from mien.server.people import People
from mien.server.rates import Rates
from mien.server.settings import ServerSettings


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
    jobs: JobStore
    worker: JobWorker
    models: Models
    stopping: threading.Event = field(default_factory=threading.Event)
    live: int = 0  # open connections; changed on the event loop only
    listeners: int = 0  # open event streams; likewise
    _choosing: threading.Lock = field(default_factory=threading.Lock)

    def choose(self, attribute: str, name: str | None) -> None:
        """Lets a model file (None: what the service was started with) tell an attribute from the next request on.

        Raises:
            Problem: The attribute or the model cannot be chosen.
            ModelError: The file cannot be used.
        """
        with self._choosing:
            self.analyzer = self.worker.analyzer = self.models.choose(self.analyzer, attribute, name)


def make_service(settings: ServerSettings, analyzer: Analyzer) -> Service:
    """The service around an analyzer; its worker is started by the application."""
    metrics = Metrics()
    gate = Gate(settings.limits, metrics)
    jobs = JobStore(settings.data, settings.limits)
    worker = JobWorker(jobs, analyzer, gate, metrics)
    people = People(analyzer, relabel=worker.relabel)
    keys = KeyFile(settings.data / "keys.json")
    rates = Rates(settings.limits.requests_per_minute)
    models = Models(analyzer, None if settings.models_dir is None else ModelFolder(settings.models_dir))
    service = Service(settings, analyzer, metrics, gate, keys, rates, people, jobs, worker, models)
    _watch(metrics, service)
    return service


def _watch(metrics: Metrics, service: Service) -> None:
    gauges: list[tuple[str, str, Callable[[], float]]] = [
        ("mien_requests_in_line", "Requests admitted and not answered.", lambda: service.gate.requests),
        ("mien_jobs_queued", "Jobs waiting.", lambda: service.jobs.count("queued")),
        ("mien_jobs_running", "Jobs running.", lambda: service.jobs.count("running")),
        ("mien_event_listeners", "Open event streams.", lambda: service.listeners),
    ]
    for name, text, value in gauges:
        metrics.watch(name, text, value)
