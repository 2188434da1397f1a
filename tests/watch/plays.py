"""Films in which people come and go by a script, whose times are the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from live.clips import write_clip
from live.film import Actor, Pose, cutout, film, sway, with_absences
from mien.gallery import SqliteGallery
from mien.media import images
from mien.pipeline import Analyzer
from mien.types import U8

RATE = 10
Span = tuple[str | None, float, float]  # who is there from when to when

# Of Ada and Ben from other photos than those they are enrolled by; the third is a stranger.
ENROLLED = {"Ada": "004_A.jpg", "Ben": "007_B.jpg"}
SEEN = {"Ada": "006_A.jpg", "Ben": "008_B.jpg", None: "009_C.jpg"}
_PLACES = {"Ada": Pose(300, 320, 150), "Ben": Pose(950, 340, 160)}
_STRANGER = Pose(640, 360, 140)


def enrol(analyzer: Analyzer, photos: Path, place: Path) -> Path:
    """A gallery of the two who are known."""
    gallery = SqliteGallery(place, space=analyzer.space)
    for name, file in ENROLLED.items():
        photo = analyzer.photo((photos / file).read_bytes(), largest=True)
        gallery.enroll(name, [photo])
    gallery.close()
    return place


def cast(analyzer: Analyzer, photos: Path) -> dict[str | None, U8]:
    """Everybody's cut-out."""
    cut = {}
    for name, file in SEEN.items():
        image = images.read_image(photos / file)
        faces = analyzer.detector(image)
        largest = int(np.argmax(faces.boxes[:, 2] - faces.boxes[:, 0]))
        cut[name] = cutout(image, faces.boxes[largest])
    return cut


def play(
    people: dict[str | None, U8], script: list[Span], seconds: float
) -> Iterator[U8]:
    """The pictures of a film in which everybody is there when the script says so."""
    actors = []
    for name in {name for name, *_ in script}:
        spans = sorted((start, end) for who, start, end in script if who == name)
        starts, ends = [0.0, *(e for _, e in spans)], [*(s for s, _ in spans), 1e9]
        part = sway(_PLACES.get(str(name), _STRANGER), x=40, y=10)
        away = with_absences(part, *zip(starts, ends, strict=True))
        actors.append(Actor(name, people[name], away))
    return (frame.image for frame, _ in film(actors, seconds=seconds, rate=RATE))


def film_of(
    path: Path, people: dict[str | None, U8], script: list[Span], seconds: float
) -> Path:
    """The same as a file."""
    return write_clip(path, play(people, script, seconds), rate=RATE)
