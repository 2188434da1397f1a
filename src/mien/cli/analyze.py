"""`mien analyze`: photos, folders, videos and URLs in, one result per picture out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    ExitStack,
    closing,
    nullcontext,
)
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from mien import plugins
from mien.attribute import IDENTITY
from mien.cli import SOME_FAILED, UNUSABLE, new_app, outputs
from mien.cli.copies import AnalyzeInput, copies_of, inputs_of, jobs_for
from mien.cli.inputs import content_of
from mien.cli.options import (
    JobsOption,
    KeepUnknown,
    SharedOptions,
    collector,
    with_shared_options,
)
from mien.cli.videos import VideoJob, is_stream
from mien.errors import InputError, MienError
from mien.media import images
from mien.output.columns import Told
from mien.output.schemas import FrameRecord, error_record, frame_record
from mien.output.sink import Sink
from mien.pipeline import Analyzer
from mien.pool import in_order, worker_threads
from mien.progress import progress
from mien.types import Frame, FrameResult

T = TypeVar("T")
R = TypeVar("R")

analyze_app = new_app()


@analyze_app.command()
@with_shared_options
def analyze(
    shared: SharedOptions,
    source: Annotated[
        list[str],
        typer.Argument(
            help="Photos, folders (with all inside them), videos, URLs; - reads a photo from standard input."
        ),
    ],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            help="table | jsonl | json | csv | parquet, or one of a package "
            "(default: the output's ending; else a table on a screen, jsonl into a pipe).",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the results here.")
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", help="Write annotated copies: a file or a folder."),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            help="Of a video: who was seen when, as JSON and a timeline (.png).",
        ),
    ] = None,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Of a video, take every Nth frame.")
    ] = 1,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Add the descriptors to the JSON.")
    ] = False,
    jobs: JobsOption = None,
    keep_unknown: KeepUnknown = None,
) -> None:
    """Tell who is in photos and videos, how old, which gender, which emotion.

    Example: [bold]mien analyze party.jpg --gallery people/ --draw party-boxes.jpg[/bold]
    """
    items, failed = inputs_of(source, copies=draw)
    if not items:
        raise InputError("; ".join(failed) or "nothing to analyze")
    shared.place(
        make=keep_unknown is not None
    )  # strangers are kept in a gallery that may be new
    names = [item.name for item in items]
    open_sink = _format(format, output, names)
    draws = None if draw is None else copies_of("--draw", draw, items)
    if summary is not None:
        if len(names) != 1 or not is_stream(names[0]):
            raise InputError("--summary is of one video: give one")
        outputs.file_to_write("--summary", summary, suffixes=(".json",), inputs=names)
    if jobs is None:  # who is kept is kept in the order of the photos
        jobs = 1 if keep_unknown is not None else jobs_for(items)
    analyzer = shared.analyzer(
        **({"threads": 1} if jobs > 1 and shared.threads is None else {})
    )
    keep = collector(analyzer, keep_unknown)
    video = VideoJob(analyzer, every, summary=summary, collector=keep)
    work = Work(analyzer, IDENTITY in analyzer.only, embeddings, draws, video)
    for reason in failed:
        typer.echo(f"mien: {reason}", err=True)
    bad = work.run(items, open_sink(output, analyzer.told), jobs) + len(failed)
    if not bad and video.spare.lost:
        raise typer.Exit(SOME_FAILED)
    if bad:
        raise typer.Exit(UNUSABLE if bad == len(items) + len(failed) else SOME_FAILED)


def _format(
    kind: str | None, output: Path | None, names: Sequence[str]
) -> Callable[[Path | None, Told], Sink]:
    """What opens the output: the format that is named, else the one of the output's suffix, else a table on a terminal
    and JSON lines elsewhere.

    Raises:
        InputError: It is unknown, says something else than the output's suffix, or cannot be written there.
    """
    if kind is not None and plugins.named(plugins.FORMATS, kind) is None:
        known = ", ".join(plugins.found(plugins.FORMATS))
        raise InputError(f"--format {kind} is unknown; use one of {known}")
    named = kind or ("table" if sys.stdout.isatty() else "jsonl")
    if output is not None:
        named = _by_suffix(kind, output, names)
    return plugins.load(plugins.FORMATS, named, what="a format")


def _by_suffix(kind: str | None, output: Path, names: Sequence[str]) -> str:
    """The format that an output's suffix says, or what is named for one of no format's."""
    kinds = plugins.found(plugins.FORMATS)
    by_suffix = {**{f".{name}": name for name in kinds}, ".txt": "table"}
    named = by_suffix.get(output.suffix.lower(), kind)
    if kind is not None and named != kind:
        raise InputError(
            f"--output {output} is {named} by its name, but --format says {kind}: leave one out"
        )
    suffixes = [*by_suffix, *([output.suffix] if kind else [])]
    outputs.file_to_write("--output", output, suffixes=suffixes, inputs=names)
    return str(named)  # one of no format's was refused


@dataclass(frozen=True)
class Work:
    """What is done with each input."""

    analyzer: Analyzer
    identity: bool
    embeddings: bool
    draw: Callable[[AnalyzeInput], Path] | None
    video: VideoJob

    def frames(self, item: AnalyzeInput) -> Iterator[FrameRecord]:
        """The records of a video or address; its error at the end where it failed."""
        try:
            job = (
                self.video
                if self.draw is None
                else replace(self.video, draw=self.draw(item))
            )
            with closing(job.results(item.name)) as results:
                for result in results:
                    yield frame_record(
                        result, identity=self.identity, embeddings=self.embeddings
                    )
        except InputError as exc:
            yield error_record(item.name, exc)

    def __call__(self, item: AnalyzeInput) -> FrameRecord:
        """The record of one photo; its error where it failed."""
        try:
            picture = content_of(item.name) if item.name == "-" else item.name
            frame = Frame(images.read_image(picture), source=item.name)
            result = self.analyzer.analyze_frame(frame)
            record = frame_record(
                result, identity=self.identity, embeddings=self.embeddings
            )
        except MienError as exc:
            return error_record(item.name, exc)
        self.video.spare.run(lambda: self._write(item, frame, result))
        return record

    def _write(self, item: AnalyzeInput, frame: Frame, result: FrameResult) -> None:
        """What is made of a photo beside its record."""
        if self.video.collector is not None:
            self.video.collector.keep(frame.image, result.faces, source=item.name)
        if self.draw is not None:
            from mien.output import drawing  # fonts, for copies alone

            images.write_image(
                self.draw(item), drawing.annotate(frame.image, result.faces)
            )

    def records(
        self, items: list[AnalyzeInput], pool: ThreadPoolExecutor, jobs: int
    ) -> Iterator[FrameRecord]:
        """The records of all inputs in their order: photos side by side, videos one after the other."""
        for streamed, some in groupby(items, key=lambda item: is_stream(item.name)):
            group = list(some)
            if streamed:
                yield from chain.from_iterable(map(self.frames, group))
                continue
            total = len(group)
            with (
                progress("analyzing", total) if total > 1 else nullcontext(lambda: None)
            ) as advance:
                for record in in_order(pool, self, group, ahead=2 * jobs):
                    yield record
                    advance()

    def run(self, items: list[AnalyzeInput], sink: Sink, jobs: int) -> int:
        """Writes all results; gives the number of inputs that failed."""
        bad = 0
        with ExitStack() as stack:
            stack.callback(sink.close)
            pool = stack.enter_context(worker_threads(jobs))
            for record in self.records(items, pool, jobs):
                sink.write(record)
                if record.error is not None:
                    bad += 1
                    typer.echo(f"mien: {record.error}", err=True)
        return bad
