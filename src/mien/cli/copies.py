"""The inputs of commands that write a copy of each: which they are, and where the copies go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from urllib.parse import urlsplit

from mien import sources
from mien.cli import outputs
from mien.cli.videos import is_stream
from mien.errors import InputError
from mien.media import images
from mien.runtime import default_threads
from mien.sources import VIDEO_SUFFIXES, is_video


@dataclass(frozen=True)
class AnalyzeInput:
    """One input: `name` is how results call it, `root` the folder it was found in."""

    name: str
    root: str | None = None

    def place_in(self, folder: Path) -> Path:
        """Where its copy goes in a folder: of a folder's photo where it was in there, as what can be written."""
        if self.root:
            name = os.path.relpath(self.name, self.root)
        elif "://" in self.name:
            parts = urlsplit(self.name)
            name = Path(parts.path).name or parts.hostname or "stream"
        else:
            name = Path(self.name).name
        place = folder / name
        if is_stream(self.name):
            return place.with_suffix(".mp4")
        return (
            place
            if place.suffix.lower() in images.WRITABLE
            else place.with_suffix(".jpg")
        )

    @staticmethod
    def places_in(folder: Path, items: list[AnalyzeInput]) -> dict[AnalyzeInput, Path]:
        """A place of its own for the copy of each input."""
        places: dict[AnalyzeInput, Path] = {}
        taken: set[Path] = set()
        for item in items:
            first = item.place_in(folder)
            stems = chain(
                [first.stem], (f"{first.stem} {number}" for number in count(2))
            )
            places[item] = next(
                place for place in map(first.with_stem, stems) if place not in taken
            )
            taken.add(places[item])
        return places


def inputs_of(
    given: Iterable[str], *, copies: Path | None = None
) -> tuple[list[AnalyzeInput], list[str]]:
    """The inputs, folders with all inside them; and why some of what was given is none.

    `copies` is where copies of them go: those of an earlier run, in a folder inside one that was given, are left out.
    """
    items: list[AnalyzeInput] = []
    failed: list[str] = []
    earlier = copies if copies is not None and copies.is_dir() else None
    for name in given:
        try:
            items.extend(
                AnalyzeInput(found, name if found != name else None)
                for found in sources.expand(name, without=earlier)
            )
        except InputError as exc:
            failed.append(str(exc))
    return items, failed


def jobs_for(items: Sequence[AnalyzeInput]) -> int:
    """How many photos to look at side by side: one per core; where there are videos, which have all cores to
    themselves, one."""
    if any(is_stream(item.name) for item in items):
        return 1
    return max(1, min(default_threads(), len(items)))


def copies_of(
    option: str, place: Path, items: list[AnalyzeInput]
) -> Callable[[AnalyzeInput], Path]:
    """Where the copy of an input goes: the file itself for one input, else a folder that mirrors them.

    Raises:
        InputError: The place is an input, is of another kind than it, or cannot be written.
    """
    suffix = place.suffix.lower()
    if place.is_dir() or not suffix:
        places = AnalyzeInput.places_in(place, items)
        outputs.refuse_inputs(option, places.values(), [item.name for item in items])
        outputs.folder_to_write(option, place)
        return lambda item: _made(places[item])
    if suffix not in images.WRITABLE | VIDEO_SUFFIXES:
        raise InputError(
            f"{option} {place}: a picture ends in .jpg or .png, a video in .mp4; "
            "a folder that is not there yet has no dot in its name"
        )
    if len(items) > 1:
        raise InputError(
            f"{option} {place} is one file, but there are {len(items)} inputs: give a folder"
        )
    _check_copy(option, place, items[0].name)
    return lambda item: place


def _check_copy(option: str, place: Path, name: str) -> None:
    """Refuses a copy of another kind than the input; what an address holds is known once it is open."""
    kinds = VIDEO_SUFFIXES if is_stream(name) else images.WRITABLE
    if "://" in name:
        kinds |= images.WRITABLE
    elif is_video(str(place)) and not is_video(name):
        raise InputError(f"{option} {place} is a video, but {name} is a photo")
    elif is_video(name) and not is_video(str(place)):
        raise InputError(
            f"{option} {place} is a picture, but {name} is a video: give a name that ends in .mp4"
        )
    outputs.file_to_write(option, place, suffixes=kinds, inputs=[name])
    if is_video(str(place)):
        from mien.output.video import check_place  # FFmpeg, for films alone

        check_place(place)


def _made(place: Path) -> Path:
    """The place, with the folders it is in."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"cannot write {place}: {exc.strerror or exc}") from exc
    return place
