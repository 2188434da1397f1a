"""Which photos of a person are missing: by a few plain rules on the pictures that a gallery keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mien import geometry
from mien.errors import InputError, PhotoNotFound
from mien.gallery import Gallery, showing
from mien.gallery.check import Missing
from mien.media import images
from mien.models.attributes.heads import EMOTION
from mien.pipeline import Analyzer
from mien.quality import aside

PARTS = (EMOTION.name,)  # what an analyzer has to tell
_SMILES = "happiness"
_TURNED = 0.15  # of the eyes' distance: how far the nose is aside in a face that is turned a little
_LIGHTS = (
    40.0  # of 255: the mean brightness of two faces in the same light differs by less
)
_SMALL = 60.0  # pixels: of narrower faces little is left for the network


@dataclass(frozen=True, slots=True)
class PhotoTraits:
    """What the rules read of a picture: whether the face smiles, how far the nose is aside (of the eyes' distance, to
    either side), the mean brightness of the face (0 to 255) and its width in pixels."""

    smiles: bool
    aside: float
    light: float
    width: float


def traits_of(analyzer: Analyzer, picture: bytes) -> PhotoTraits | None:
    """What is seen of the largest face in a small picture; None where there is none."""
    try:
        image = images.read_image(picture)
    except InputError:
        return None
    faces = analyzer.describe(image, analyzer.detector(image))
    if not len(faces):
        return None
    i = int(geometry.area(faces.boxes).argmax())
    face = faces[i : i + 1]
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(face.boxes[0], 0, (width, height, width, height)).astype(
        int
    )
    return PhotoTraits(
        smiles=face.attributes[EMOTION.name].top()[0] == _SMILES,
        aside=float(aside(face.landmarks)[0]),
        light=float(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].mean()),
        width=float(geometry.face_sizes(face.landmarks)[0]),
    )


def suggest(traits: Sequence[PhotoTraits], photos: int) -> list[str]:
    """What is missing of somebody who has so many photos, some of which were looked at."""
    if photos == 1:
        return ["there is only one photo"]
    if not traits:
        return []
    lights = [one.light for one in traits]
    rules = {
        "no photo with a smile": not any(one.smiles for one in traits),
        "no photo with the head turned": all(one.aside < _TURNED for one in traits),
        "all photos are in one light": max(lights) - min(lights) < _LIGHTS,
        "only small faces": all(one.width < _SMALL for one in traits),
    }
    return [words for words, is_so in rules.items() if is_so]


def missing(gallery: Gallery, analyzer: Analyzer) -> Iterator[Missing | None]:
    """For each person in turn what is missing; None where nothing is."""
    album = showing(gallery)
    for person in gallery.people():
        kept = [photo for photo in album.photos_of(person.name) if photo.weight > 0]
        traits: list[PhotoTraits] = []
        for photo in kept if len(kept) > 1 else ():
            try:
                one = traits_of(analyzer, album.thumbnail(person.name, photo.sha256))
            except PhotoNotFound:  # none was kept
                continue
            if one is not None:
                traits.append(one)
        found = suggest(traits, len(kept))
        yield Missing(person.name, len(kept), tuple(found)) if found else None
