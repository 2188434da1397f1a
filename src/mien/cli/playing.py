"""A camera, film or stream as it is played: analysed, recorded, counted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.cli.videos import Spare
from mien.errors import InputError
from mien.models.attributes.antispoof import alive, named_if_alive
from mien.models.folder import ModelFile, ModelFolder
from mien.pipeline import Analyzer
from mien.sources import Source
from mien.types import I64, U8, Faces, Frame, FrameResult

if TYPE_CHECKING:
    from mien.collecting import UnknownCollector
    from mien.output.drawing import Annotator
    from mien.output.video import VideoRecorder

_BIN_MS = 0.1
_BINS = 50_000  # 5 s; anything slower counts as that


@dataclass
class Stats:
    """Counts frames, faces and how long each frame took, in a space that does not grow. `most` frames are played."""

    most: int | None = None
    frames: int = 0
    faces: int = 0
    started: float = field(default_factory=time.perf_counter)
    _took: I64 = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, faces: int, took_s: float) -> None:
        """One more frame with this many faces."""
        self.frames += 1
        self.faces += faces
        self._took[min(_BINS - 1, int(took_s * 1000 / _BIN_MS))] += 1

    def quantile_ms(self, part: float) -> float:
        """The time below which this part of the frames stayed."""
        if not self.frames:
            return 0.0
        return float(
            (np.searchsorted(np.cumsum(self._took), part * self.frames) + 1) * _BIN_MS
        )

    def line(self) -> str:
        """The one line of `--stats`."""
        wall = max(1e-9, time.perf_counter() - self.started)
        p50, p95 = (round(self.quantile_ms(part), 1) for part in (0.5, 0.95))
        fps = round(self.frames / wall, 1)
        return json.dumps(
            {
                "frames": self.frames,
                "fps": fps,
                "p50_ms": p50,
                "p95_ms": p95,
                "faces": self.faces,
            }
        )


@dataclass(frozen=True)
class AnnotatedFrame:
    """A frame, what was found in it, and both drawn where it was recorded."""

    frame: Frame
    result: FrameResult
    canvas: U8 | None = None


@dataclass(frozen=True)
class Record:
    """The film that is written: where, and with what over its faces (None: boxes and labels)."""

    place: Path
    cover: Callable[[U8, Faces], U8] | None = None


class Recording:
    """Writes annotated frames to a film, and keeps the last one for whoever shows it too."""

    def __init__(
        self, recorder: VideoRecorder, annotate: Callable[[U8, Faces], U8]
    ) -> None:
        self.recorder = recorder
        self.annotate = annotate
        self._last: AnnotatedFrame | None = None

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Adds the next frame."""
        canvas = self.annotate(frame.image, result.faces)
        self._last = AnnotatedFrame(frame, result, canvas)
        self.recorder.write(canvas, frame.time_s)

    def seen(self, frame: Frame, result: FrameResult) -> AnnotatedFrame:
        """A frame, drawn if it is the one that was just written."""
        last = self._last
        return (
            last
            if last is not None and last.frame is frame
            else AnnotatedFrame(frame, result)
        )


@dataclass(eq=False)
class Play:
    """A source, its session and what is written of it."""

    analyzer: Analyzer
    source: Source
    record: Record | None = None
    models: ModelFolder | None = None
    collector: UnknownCollector | None = None
    require_live: bool = field(default=False, kw_only=True)
    # None: the model of the start
    chosen: ModelFile | None = field(default=None, init=False)
    interrupted: bool = field(default=False, init=False)
    spare: Spare = field(default_factory=Spare, init=False)
    # None: the usual one
    annotate: Annotator | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._start = self.analyzer

    def next_model(self) -> str:
        """Goes on to the folder's next model, after the last to those of the start; what to say of it.

        Raises:
            MienError: The folder or the model file cannot be used.
        """
        if self.models is None:
            raise InputError("no models to choose from: start with --models-dir FOLDER")
        files = [None, *(file for file in self.models.files() if not file.error)]
        file = files[
            (files.index(self.chosen) + 1) % len(files) if self.chosen in files else 0
        ]
        analyzer = self._start
        if file is not None:
            model = analyzer.load_model(file.attribute, file.file)
            analyzer = analyzer.with_model(file.attribute, model)
        self.analyzer, self.chosen = analyzer, file
        return (
            "the models of the start"
            if file is None
            else f"{file.attribute} by {file.name}"
        )

    def results(self, stats: Stats) -> Generator[AnnotatedFrame, None, None]:
        """Every frame with what was found in it; recorded on the way; Ctrl-C ends it in good order."""
        analyzer = self.analyzer
        session = analyzer.session()
        with ExitStack() as stack:
            recording = self._recording(stack)
            record = None if recording is None else self.spare.writer(recording.write)
            keep = (
                None
                if self.collector is None
                else self.spare.writer(self.collector.stream().keep)
            )
            try:
                asked = time.perf_counter()
                for frame in self.source:
                    began = time.perf_counter() if self.source.live else asked
                    if analyzer is not self.analyzer:
                        analyzer = self.analyzer
                        session = analyzer.session()
                    result = session.step(frame)
                    if self.require_live:
                        named = named_if_alive(result.faces)
                        result = replace(result, faces=named)
                    if record is not None:
                        record(frame, result)
                    if keep is not None:
                        keep(frame, self._to_keep(result))
                    stats.add(len(result.faces), time.perf_counter() - began)
                    yield (
                        AnnotatedFrame(frame, result)
                        if recording is None
                        else recording.seen(frame, result)
                    )
                    if stats.frames == stats.most:
                        return
                    asked = time.perf_counter()
            except KeyboardInterrupt:
                self.interrupted = True

    def _to_keep(self, result: FrameResult) -> FrameResult:
        """What may be kept as unknown: where only the living are named, nobody else is a stranger."""
        faces = result.faces
        return (
            replace(result, faces=faces[alive(faces)]) if self.require_live else result
        )

    def _recording(self, stack: ExitStack) -> Recording | None:
        if self.record is None:
            return None
        from mien.output.drawing import Annotator
        from mien.output.video import VideoRecorder

        sound = None if self.source.live else self.source.name
        recorder = VideoRecorder(self.record.place, rate=self.source.rate, sound=sound)
        stack.callback(self.spare.run, recorder.close)
        return Recording(recorder, self.record.cover or self.annotate or Annotator())
