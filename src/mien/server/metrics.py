"""What `/metrics` tells, in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10, 30)


class Metrics:
    """The service's counters; one registry per application, so that tests can have many."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests_total",
            "Answers given.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "mien_request_seconds",
            "Time to an answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.faces = Counter("mien_faces_total", "Faces found.", registry=self.registry)
        self.pictures = Counter(
            "mien_pictures_total",
            "Pictures and frames analysed.",
            ["way"],
            registry=self.registry,
        )
        self.passes = Counter(
            "mien_model_passes_total",
            "Passes of networks: the detector per picture, the backbone per face.",
            ["model"],
            registry=self.registry,
        )
        self.analysis = Histogram(
            "mien_analysis_seconds",
            "Time of one picture in the networks.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.waited = Histogram(
            "mien_wait_seconds",
            "Time in line for the networks.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "mien_refused_total", "Requests refused.", ["kind"], registry=self.registry
        )
        self.dropped = Counter(
            "mien_live_frames_dropped_total",
            "Live frames for newer ones.",
            registry=self.registry,
        )
        self.live = Gauge(
            "mien_live_clients", "Open live connections.", registry=self.registry
        )
        self.jobs = Counter(
            "mien_jobs_total", "Jobs that ended.", ["state"], registry=self.registry
        )
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when asked for."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def analysed(self, way: str, faces: int) -> None:
        """Counts one picture that went through the networks."""
        self.pictures.labels(way).inc()
        self.faces.inc(faces)
        self.passes.labels("detector").inc()
        self.passes.labels("backbone").inc(faces)

    def text(self) -> bytes:
        """The page Prometheus reads."""
        return generate_latest(self.registry)
