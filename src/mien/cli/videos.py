"""The part of `mien analyze` that takes videos and URLs: frame by frame, tracked and smoothed."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.errors import InputError, MienError
from mien.media import images
from mien.pipeline import Analyzer
from mien.progress import progress
from mien.sources import Photos, Source, is_video, open_source
from mien.types import Frame, FrameResult

if TYPE_CHECKING:
    from mien.collecting import UnknownCollector
    from mien.output.summary import VideoSummary

Write = Callable[[Frame, FrameResult], object]


class Spare:
    """Outputs beside the results: what goes wrong with one is told, and ends that one alone. `lost` are the reasons."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def run(self, act: Callable[[], object]) -> bool:
        """Does something for such an output; whether it went well."""
        try:
            act()
        except MienError as exc:
            self.lost.append(str(exc))
            typer.echo(f"mien: {exc}; the results go on without it", err=True)
            return False
        return True

    def writer(self, write: Write) -> Write:
        """The same writer, silent after its first failure."""
        good = True

        def spared(frame: Frame, result: FrameResult) -> None:
            nonlocal good
            good = good and self.run(lambda: write(frame, result))

        return spared


@dataclass(frozen=True)
class VideoJob:
    """How videos are analysed: every so many frames, with an annotated copy, a summary and a collector of unknown faces
    where wanted."""

    analyzer: Analyzer
    every: int = 1
    draw: Path | None = None
    summary: Path | None = None
    collector: UnknownCollector | None = None
    spare: Spare = field(default_factory=Spare)

    def results(self, name: str) -> Generator[FrameResult, None, None]:
        """The results of a video file, or of whatever is at an address, in the order of its frames.

        Whatever ends it, the copy and the summary of what was seen until then are complete. A copy, summary
        or collector that fails ends alone.

        Raises:
            InputError: The source cannot be opened or was lost.
        """
        with ExitStack() as stack:
            frames = stack.enter_context(open_source(name, poll_rate=None))
            writers = self._writers(stack, frames)
            advance = stack.enter_context(_progress(frames, self.every))
            analyze = (
                self.analyzer.analyze_frame
                if isinstance(frames, Photos)
                else self.analyzer.session().step
            )
            for frame in islice(frames, 0, None, self.every):
                result = analyze(frame)
                for write in writers:
                    write(frame, result)
                advance()
                yield result

    def _writers(self, stack: ExitStack, frames: Source) -> list[Write]:
        writers: list[Write] = []
        if self.draw is not None:
            writers.append(self._drawing(stack, frames, self.draw))
        if self.summary is not None:
            from mien.output.summary import VideoSummary

            summary = VideoSummary(frames.name)
            stack.callback(
                self.spare.run, partial(write_summary, summary, self.summary)
            )
            writers.append(lambda frame, result: summary.add(result))
        if self.collector is not None:
            collector = self.collector
            if isinstance(frames, Photos):
                writers.append(
                    lambda frame, result: collector.keep(
                        frame.image, result.faces, source=frame.source
                    )
                )
            else:
                writers.append(collector.stream().keep)
        return [self.spare.writer(write) for write in writers]

    def _drawing(self, stack: ExitStack, frames: Source, place: Path) -> Write:
        from mien.output import drawing

        if isinstance(frames, Photos):
            target = (
                place
                if place.suffix.lower() in images.SUFFIXES
                else place.with_suffix(".jpg")
            )
            return lambda frame, result: images.write_image(
                target, drawing.annotate(frame.image, result.faces)
            )
        from mien.output.video import VideoRecorder  # FFmpeg, for films alone

        sound = frames.name if not frames.live else None
        rate = frames.rate / self.every if frames.rate else None
        recorder = VideoRecorder(place, rate=rate, sound=sound)
        stack.callback(self.spare.run, recorder.close)
        return lambda frame, result: recorder.write(
            drawing.annotate(frame.image, result.faces), frame.time_s
        )


def is_stream(name: str) -> bool:
    """Whether an input is a video file or an address, so that it is taken frame by frame."""
    return "://" in name or is_video(name)


def write_summary(summary: VideoSummary, place: Path) -> None:
    """Writes the summary as JSON, and the picture of its timeline beside it as .png.

    Raises:
        InputError: The place cannot be written.
    """
    from mien.output.summary import timeline

    about = summary.to_dict()
    text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write {place}: {exc.strerror or exc}") from exc
    images.write_image(place.with_suffix(".png"), timeline(about, summary.attributes))


def _progress(frames: Source, every: int) -> AbstractContextManager[Callable[[], None]]:
    if isinstance(frames, Photos):
        return nullcontext(lambda: None)
    return progress(
        Path(frames.name).name,
        None if frames.frames is None else -(-frames.frames // every),
    )
