"""The thread that takes jobs from the queue and brings them to their end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
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
    """A job being worked on."""

    job: Job
    frames: int = 0
    faces: int = 0
    total: int | None = None
    cancelled: bool = False
    relabels: list[tuple[str, str | None]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)


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
        self._stop = threading.Event()
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
        self._stop.set()
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
        while not self._stop.is_set():
            self._news.clear()
            try:
                self._turn()
            except Exception:
                log.exception("the job worker failed and goes on")
                self._stop.wait(1)

    def _turn(self) -> None:
        for sweep in (self.jobs.sweep, self.unknown.sweep):
            sweep()
        job = self.jobs.take()
        if job is None:
            self._news.wait(_SWEEP_S)
            return
        log.info("job begins", extra={"job": job.id, "kind": job.kind})
        self._run = _Attempt(job)
        try:
            self._attempt(self._run)
        finally:
            self._run = None

    def _attempt(self, run: _Attempt) -> None:
        problem: Mapping[str, str] | None = None
        try:
            self._analyse(run)
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
        if self._is_left(
            run
        ):  # a source that ends for that reason may say so by an error
            leave = self.jobs.discard if run.cancelled else self.jobs.requeue
            leave(run.job.id)
        else:
            self._finish(run, problem)

    def _is_left(self, run: _Attempt) -> bool:
        return run.cancelled or self._stop.is_set()

    def _is_over(self, run: _Attempt) -> bool:
        return (
            self._is_left(run) or time.monotonic() - run.began > self.jobs.limits.job_s
        )

    def _check_time(self, run: _Attempt) -> None:
        """Raises Problem where the work took longer than any may."""
        if self._is_over(run) and not self._is_left(run):
            limit = self.jobs.limits.job_s / 60
            raise Problem(
                "too-large",
                f"the work took over {limit:.0f} minutes; cut the video, or look at every=N",
            )

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

    def _analyse(self, run: _Attempt) -> None:
        job = run.job
        session = self.analyzer.session()
        collector = self.unknown.collector
        keep = None if collector is None else collector.stream().keep
        every = int(job.options.get("every", 1))
        with ExitStack() as stack:
            source = stack.enter_context(contextlib.closing(self._open(run)))
            out = stack.enter_context(
                private.make_file(self.jobs.path(job.id, "result.part")).open(
                    "w", encoding="utf-8"
                )
            )
            copy = stack.enter_context(self._copy(job, source))
            self._check(source)
            run.total = source.frames if job.kind == "video" else None
            for frame in source:
                self._check_frame(run, frame)
                if frame.index % every:
                    continue
                with self.gate.slot(patient=True):
                    result = session.step(frame)
                if keep is not None:
                    keep(frame, replace(result, source=job.source))
                self._note(run, result, out)
                copy.write(frame, result)
            self._check_time(run)

    def _open(self, run: _Attempt) -> Source:
        job, over = run.job, partial(self._is_over, run)
        if job.kind == "stream":
            return self.open_stream(job, over)
        try:
            return open_source(
                str(self.jobs.path(job.id, "input")),
                timeouts=Timeouts(
                    over=over, frame_pixels=self.jobs.limits.video_pixels
                ),
            )
        except SourceError as exc:
            raise SourceError(
                "the upload is no video that can be read, or is damaged"
            ) from exc

    def _copy(self, job: Job, source: Source) -> Copy:
        if not job.options.get("draw"):
            return Copy(None)
        sound = str(self.jobs.path(job.id, "input")) if job.kind == "video" else None
        rate = source.rate / int(job.options.get("every", 1)) if source.rate else None
        path = private.make_file(self.jobs.path(job.id, result_files.ANNOTATED))
        return Copy(VideoRecorder(path, rate=rate, sound=sound))

    def _check(self, source: Source) -> None:
        limit = self.jobs.limits.video_s
        if source.duration_s is not None and source.duration_s > limit:
            raise Problem(
                "too-large",
                f"the video lasts {source.duration_s:.0f} s, at most {limit:.0f} are taken",
            )
        if (
            isinstance(source, VideoFile)
            and source.pixels > self.jobs.limits.video_pixels
        ):
            raise Problem(
                "too-large",
                f"the video has {source.pixels} pixels a frame; scale it down first",
            )

    def _check_frame(self, run: _Attempt, frame: Frame) -> None:
        if self._is_left(run):
            raise _Left
        self._check_time(run)
        limits = self.jobs.limits
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

    def _note(self, run: _Attempt, result: FrameResult, out: TextIO) -> None:
        named = replace(result, source=run.job.source)
        out.write(
            frame_record(named, identity=self.analyzer.gallery is not None).to_json()
            + "\n"
        )
        run.frames = result.index + 1
        run.faces += len(result.faces)
        self.gate.metrics.analysed("job", len(result.faces))
        if run.frames % _WRITE_EVERY == 1 and not run.cancelled:
            self.jobs.progress(
                run.job.id, frames=run.frames, faces=run.faces, total=run.total
            )


def _no_streams(job: Job, over: Callable[[], bool]) -> Source:
    raise InputError("streams are not analysed by this service; start it with --urls")
