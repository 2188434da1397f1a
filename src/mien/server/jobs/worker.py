"""The thread that takes jobs from the queue and brings them to their end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol, TextIO

from mien import private
from mien.collecting import UnknownCollector
from mien.errors import InputError, MienError, SourceError
from mien.gallery.unknown import UnknownFaces
from mien.media.images import is_out_of_memory
from mien.output import drawing, result_files
from mien.output.schemas import frame_record
from mien.output.video import VideoRecorder
from mien.pipeline import Analyzer
from mien.server.gate import Gate
from mien.server.jobs.store import Job, JobStore
from mien.server.problems import NO_MEMORY, NO_SPACE, Problem, is_disk_full, kind_of
from mien.sources import Source, Timeouts, open_source
from mien.sources.base import Closing
from mien.sources.video import VideoFile
from mien.types import Frame, FrameResult

log = logging.getLogger(__name__)

_WRITE_EVERY = 10  # frames between two notes of progress
_SWEEP_S = 60.0


class OpenStream(Protocol):
    """Opens the address of a "stream" job as a source that ends by itself, and when `over` says so."""

    def __call__(self, job: Job, over: Callable[[], bool]) -> Source: ...


@dataclass(frozen=True, slots=True)
class Strangers:
    """The unknown faces, and what keeps further ones; None: nothing does."""

    faces: UnknownFaces
    collector: UnknownCollector | None

    def sweep(self) -> int:
        """Deletes what was kept long enough; returns how many faces went."""
        kept = self.faces if self.collector is None else self.collector
        return kept.sweep()


class _Left(Exception):  # noqa: N818
    """The job was deleted, or the service stops."""


@dataclass(slots=True)
class _Attempt:
    """A job being worked on, by the analyzer there was when it began."""

    job: Job
    worker: JobWorker
    analyzer: Analyzer
    frames: int = 0
    faces: int = 0
    total: int | None = None
    cancelled: bool = False
    relabels: list[tuple[str, str | None]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def is_left(self) -> bool:
        """Whether it was deleted, or the service stops."""
        return self.cancelled or self.worker.stopping.is_set()

    def is_over(self) -> bool:
        """Whether it ends now: its time is over, or it is left."""
        return (
            self.is_left()
            or time.monotonic() - self.began > self.worker.jobs.limits.job_s
        )

    def check_time(self) -> None:
        """Raises Problem where the work took longer than any may."""
        if self.is_over() and not self.is_left():
            limit = self.worker.jobs.limits.job_s / 60
            raise Problem(
                "too-large",
                f"the work took over {limit:.0f} minutes; cut the video, or look at every=N",
            )

    def analyse(self) -> None:
        """Looks at its source frame by frame. Raises Problem, MienError, and _Left where it is left."""
        job = self.job
        session = self.analyzer.session()
        collector = self.worker.unknown.collector
        keep = None if collector is None else collector.stream().keep
        every = int(job.options.get("every", 1))
        with ExitStack() as stack:
            source = stack.enter_context(contextlib.closing(self.open()))
            out = stack.enter_context(
                private.make_file(self.worker.jobs.path(job.id, "result.part")).open(
                    "w", encoding="utf-8"
                )
            )
            copy = stack.enter_context(self.copy(source))
            self.check(source)
            self.total = source.frames if job.kind == "video" else None
            for frame in source:
                self.check_frame(frame)
                if frame.index % every:
                    continue
                with self.worker.gate.slot(patient=True):
                    result = session.step(frame)
                if keep is not None:
                    keep(frame, replace(result, source=job.source))
                self.note(result, out)
                copy.write(frame, result)
            self.check_time()

    def open(self) -> Source:
        """What is looked at."""
        job, over = self.job, self.is_over
        if job.kind == "stream":
            return self.worker.open_stream(job, over)
        try:
            return open_source(
                str(self.worker.jobs.path(job.id, "input")),
                timeouts=Timeouts(
                    over=over, frame_pixels=self.worker.jobs.limits.video_pixels
                ),
            )
        except SourceError as exc:
            raise SourceError(
                "the upload is no video that can be read, or is damaged"
            ) from exc

    def copy(self, source: Source) -> Copy:
        """The annotated video, where one is wanted."""
        if not self.job.options.get("draw"):
            return Copy(None)
        sound = (
            str(self.worker.jobs.path(self.job.id, "input"))
            if self.job.kind == "video"
            else None
        )
        rate = (
            source.rate / int(self.job.options.get("every", 1)) if source.rate else None
        )
        path = private.make_file(
            self.worker.jobs.path(self.job.id, result_files.ANNOTATED)
        )
        return Copy(VideoRecorder(path, rate=rate, sound=sound))

    def check(self, source: Source) -> None:
        """Raises Problem where a source says that it is more than is taken."""
        limit = self.worker.jobs.limits.video_s
        if source.duration_s is not None and source.duration_s > limit:
            raise Problem(
                "too-large",
                f"the video lasts {source.duration_s:.0f} s, at most {limit:.0f} are taken",
            )
        if (
            isinstance(source, VideoFile)
            and source.pixels > self.worker.jobs.limits.video_pixels
        ):
            raise Problem(
                "too-large",
                f"the video has {source.pixels} pixels a frame; scale it down first",
            )

    def check_frame(self, frame: Frame) -> None:
        """Raises Problem where it turns out to be more than is taken."""
        if self.is_left():
            raise _Left
        self.check_time()
        limits = self.worker.jobs.limits
        if frame.index >= limits.video_frames:
            raise Problem(
                "too-large",
                f"the video has more than {limits.video_frames} frames; cut it",
            )
        height, width = frame.image.shape[:2]
        if width * height > limits.video_pixels:
            raise Problem(
                "too-large",
                f"the video has {width} x {height} pixels; scale it down first",
            )
        if frame.time_s > limits.video_s:
            raise Problem(
                "too-large", f"the video lasts longer than {limits.video_s:.0f} s"
            )

    def note(self, result: FrameResult, out: TextIO) -> None:
        """Writes the record of a frame, and now and then how far it is."""
        named = replace(result, source=self.job.source)
        out.write(
            frame_record(named, identity=self.analyzer.gallery is not None).to_json()
            + "\n"
        )
        self.frames = result.index + 1
        self.faces += len(result.faces)
        self.worker.gate.metrics.analysed("job", len(result.faces))
        if self.frames % _WRITE_EVERY == 1 and not self.cancelled:
            self.worker.jobs.progress(
                self.job.id, frames=self.frames, faces=self.faces, total=self.total
            )


class Copy(Closing):
    """The annotated video of a job, where one is made. What goes wrong with it is logged; the results do not suffer."""

    def __init__(self, recorder: VideoRecorder | None) -> None:
        self._recorder = recorder

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Adds a frame with its boxes and labels."""
        recorder = self._recorder
        if recorder is not None:
            image = drawing.annotate(frame.image, result.faces)
            self._try(recorder, lambda: recorder.write(image, frame.time_s))

    def close(self) -> None:
        """Completes the file."""
        if self._recorder is not None:
            self._try(self._recorder, self._recorder.close)

    def _try(self, recorder: VideoRecorder, act: Callable[[], None]) -> None:
        try:
            act()
        except InputError as exc:
            log.warning("no annotated video: %s", exc)
            self._recorder = None
            with contextlib.suppress(InputError):
                recorder.close()
            recorder.path.unlink(missing_ok=True)


class JobWorker:
    """Works on one job at a time, frame by frame through the gate that requests go through too."""

    def __init__(
        self,
        jobs: JobStore,
        analyzer: Analyzer,
        gate: Gate,
        unknown: Strangers,
        open_stream: OpenStream | None = None,
    ) -> None:
        self.jobs = jobs
        self.analyzer = analyzer
        self.gate = gate
        self.unknown = unknown
        self.open_stream = open_stream or _no_streams
        self._files = threading.Lock()
        self._news = threading.Event()
        self.stopping = threading.Event()
        self._run: _Attempt | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Takes up what an earlier process left, and begins."""
        self.jobs.recover()
        self._thread = threading.Thread(
            target=self._work, name="mien-jobs", daemon=True
        )
        self._thread.start()

    def use(self, analyzer: Analyzer) -> None:
        """Lets another analyzer work on the jobs that begin from now on."""
        self.analyzer = analyzer

    def stop(self) -> None:
        """Puts the running job back in the queue and ends."""
        self.stopping.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        self.jobs.close()

    def notify(self) -> None:
        """Tells that a job is in the queue."""
        self._news.set()

    def now(self, job: Job) -> Job:
        """The job with its progress up to the last frame."""
        run = self._run
        if run is None or run.job.id != job.id or job.state != "running":
            return job
        return replace(job, frames=run.frames, faces=run.faces, total=run.total)

    def delete(self, job_id: str) -> None:
        """Cancels a job where it runs, forgets it and removes its files."""
        with self._files:
            run = self._run
            if run is not None and run.job.id == job_id:
                run.cancelled = True
            self.jobs.delete(job_id)

    def relabel(self, old: str, new: str | None) -> None:
        """Changes a name in all results, None forgets it; annotated videos that show it are removed."""
        with self._files:
            if self._run is not None:
                self._run.relabels.append((old, new))
            for job in self.jobs.list():
                if job.ended:
                    self._relabel(job.id, result_files.RESULT, [(old, new)])

    def _relabel(
        self, job_id: str, name: str, relabels: list[tuple[str, str | None]]
    ) -> None:
        if result_files.relabel(self.jobs.path(job_id, name), relabels):
            self.jobs.path(job_id, result_files.ANNOTATED).unlink(missing_ok=True)

    def _work(self) -> None:
        while not self.stopping.is_set():
            self._news.clear()
            try:
                self._turn()
            except Exception:
                log.exception("the job worker failed and goes on")
                self.stopping.wait(1)

    def _turn(self) -> None:
        for sweep in (self.jobs.sweep, self.unknown.sweep):
            sweep()
        job = self.jobs.take()
        if job is None:
            self._news.wait(_SWEEP_S)
            return
        log.info("job begins", extra={"job": job.id, "kind": job.kind})
        self._run = _Attempt(job, self, self.analyzer)
        try:
            self._attempt(self._run)
        finally:
            self._run = None

    def _attempt(self, run: _Attempt) -> None:
        problem: Mapping[str, str] | None = None
        try:
            run.analyse()
        except _Left:
            pass
        except Problem as exc:
            problem = {"kind": exc.kind, "detail": str(exc.detail)}
        except MienError as exc:
            problem = {"kind": kind_of(exc), "detail": str(exc)}
            if is_disk_full(exc):
                problem = {"kind": "no-space", "detail": NO_SPACE}
        except Exception as exc:
            log.exception("job failed", extra={"job": run.job.id})
            problem = {
                "kind": "internal",
                "detail": "an error of the service; its log has more under this job's id",
            }
            if is_disk_full(exc):
                problem = {"kind": "no-space", "detail": NO_SPACE}
            elif is_out_of_memory(exc):
                problem = {"kind": "busy", "detail": NO_MEMORY}
        if run.is_left():  # a source that ends for that reason may say so by an error
            leave = self.jobs.discard if run.cancelled else self.jobs.requeue
            leave(run.job.id)
        else:
            self._finish(run, problem)

    def _finish(self, run: _Attempt, problem: Mapping[str, str] | None) -> None:
        job_id = run.job.id
        with self._files:
            if run.cancelled:
                self.jobs.discard(job_id)
                return
            if problem is None:
                part = self.jobs.path(job_id, "result.part")
                if run.relabels:
                    self._relabel(job_id, part.name, run.relabels)
                part.replace(self.jobs.path(job_id, result_files.RESULT))
            self.jobs.progress(
                job_id, frames=run.frames, faces=run.faces, total=run.total
            )
            self.jobs.end(job_id, problem)
        state = "failed" if problem else "done"
        self.gate.metrics.jobs.labels(state).inc()
        log.info(
            "job ends",
            extra={
                "job": job_id,
                "state": state,
                "kind": problem["kind"] if problem else None,
            },
        )


def _no_streams(job: Job, over: Callable[[], bool]) -> Source:
    raise InputError("streams are not analysed by this service; start it with --urls")
