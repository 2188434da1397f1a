"""What a photo adds to a person: it is good, or why it counts less or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mien.errors import PersonNotFound
from mien.gallery.base import DescribesOne, Gallery, Photo, ShowsPhotos, check_name
from mien.geometry import l2_distances
from mien.types import F32

GOOD = "good"
THERE = "already there"
FAR = "far from the others"


def judge(gallery: Gallery, name: str, photos: Sequence[Photo]) -> list[str]:
    """The verdict on each photo that a person is to get: "good", "too small", "blurred", "turned away" (they count
    less), "far from the others" (perhaps somebody else) or "already there" (it is not added again)."""
    known = _known(gallery, name)
    there = {photo.sha256 for photo in photos if photo.sha256 in known}
    # What is poor tells nothing of the others: blur alone makes strangers.
    clear = {
        photo.sha256: photo
        for photo in photos
        if not photo.poor and photo.sha256 not in there
    }
    rows, size = [photo.embedding for photo in clear.values()], gallery.space.size
    new = gallery.space.kept(_stacked(rows, size))
    far = iter(_far(new, _descriptors(gallery, name), gallery.space.stranger))
    verdicts: list[str] = []
    for photo in photos:
        if photo.sha256 in there:
            verdicts.append(THERE)
        elif photo.poor:
            verdicts.append(photo.poor)
        else:
            verdicts.append(FAR if next(far) else GOOD)
        there.add(photo.sha256)
    return verdicts


def _known(gallery: Gallery, name: str) -> set[str]:
    """What the photos of a person are known by."""
    if not isinstance(gallery, ShowsPhotos):
        return set()
    try:
        return {photo.sha256 for photo in gallery.photos_of(name)}
    except PersonNotFound:
        return set()


def _descriptors(gallery: Gallery, name: str) -> F32:
    """The descriptors (M, D) of a person's photos."""
    if isinstance(gallery, DescribesOne):
        return gallery.descriptors_of(name)
    kept, name = gallery.enrolled(), check_name(name)
    rows = [one.photo.embedding for one in kept if one.name == name]
    return _stacked(rows, gallery.space.size)


def _stacked(rows: Sequence[F32], size: int) -> F32:
    return np.array(rows, np.float32).reshape(-1, size)


def _far(new: F32, old: F32, stranger: float) -> list[bool]:
    """Which new photos are a stranger's distance or more from most of the others, old and new."""
    everything = np.concatenate([new, old])
    if len(everything) < 2:
        return [False] * len(new)
    apart = l2_distances(new, everything)
    apart[np.arange(len(new)), np.arange(len(new))] = np.inf
    nearer_half = np.sort(apart, axis=1)[:, (len(everything) - 2) // 2]
    return [bool(distance > stranger) for distance in nearer_half]
