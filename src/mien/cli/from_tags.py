"""`mien enroll --from-tags`: people learnt from the names other programs wrote into photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer

from mien.cli import SOME_FAILED, UNUSABLE
from mien.cli.copies import inputs_of
from mien.cli.inputs import refuse_addresses
from mien.errors import InputError, MienError
from mien.gallery.folder import FolderGallery
from mien.media import images
from mien.pipeline import Analyzer, photo_of
from mien.progress import progress
from mien.sources import is_video
from mien.text import counted, shown
from mien.types import U8, Faces
from mien.xmp.tags import Mark, TaggedPhoto, same_face


def enroll_from_tags(analyzer: Analyzer, given: Sequence[str], place: str) -> None:
    """Enrols everybody who is named in photos, each photo that names somebody.

    Raises:
        InputError: There are no photos.
        Exit: Some could not be read, or nobody is named in any.
    """
    refuse_addresses(given)
    items, failed = inputs_of(given)
    names = [item.name for item in items if not is_video(item.name)]
    if not names:
        raise InputError("; ".join(failed) or "no photos to learn from")
    learnt: Counter[str] = Counter()
    bad = len(failed)
    with progress("learning", len(names)) as advance:
        for name in names:
            try:
                learnt.update(_enroll_one(analyzer, Path(name)))
            except MienError as exc:
                failed.append(str(exc))
                bad += 1
            advance()
    for reason in failed:
        typer.echo(f"mien: {reason}", err=True)
    for person, count in sorted(learnt.items()):
        photos = counted(count, "photo")
        typer.echo(f"{person}: {photos} in {shown(place)}")
    if not learnt:
        typer.echo("mien: nobody is named in these photos", err=True)
    if bad:
        raise typer.Exit(SOME_FAILED if learnt else UNUSABLE)


def _enroll_one(analyzer: Analyzer, path: Path) -> list[str]:
    """Enrols who is named in one photo; gives the names."""
    photo = TaggedPhoto(path)
    people = [mark for mark in photo.marks() if mark.name]
    if not people or analyzer.gallery is None:
        return []
    image = images.read_image(photo.content)
    faces = analyzer.embed(image, analyzer.detector(image))
    learnt = []
    for mark in people:
        face = _face_of(mark, image, faces)
        if face is None:
            typer.echo(
                f"mien: {path}: no face found where {mark.name} is marked", err=True
            )
            continue
        content = photo.content
        if isinstance(analyzer.gallery, FolderGallery):  # which reads its photos again
            content = images.cut_out(image, face.boxes[0])
        source = str(path) if content is photo.content else f"{path.stem}.png"
        added = photo_of(image, face, content, source=source)
        analyzer.gallery.enroll(str(mark.name), [added])
        learnt.append(str(mark.name))
    return learnt


def _face_of(mark: Mark, image: U8, faces: Faces) -> Faces | None:
    """The face that a mark is of; None where none was found there."""
    height, width = image.shape[:2]
    boxes = faces.boxes / np.array([width, height] * 2, np.float32)
    near = [i for i in range(len(faces)) if same_face(mark.box, boxes[i])]
    if not near:
        return None
    middle = (mark.box[:2] + mark.box[2:]) / 2
    away = [np.linalg.norm((boxes[i, :2] + boxes[i, 2:]) / 2 - middle) for i in near]
    i = near[int(np.argmin(away))]
    return faces[i : i + 1]
