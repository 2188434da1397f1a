"""The people marked in a photo: in the file and in its sidecar, read, and written without undoing what others did."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien import geometry
from mien.errors import InputError
from mien.media import images, tiff
from mien.store import write_atomically
from mien.types import F32
from mien.xmp.packet import Area, Packet, Region
from mien.xmp.picasa import named_in
from mien.xmp.segments import read_xmp, with_xmp

_ORIENTATION = 0x0112
_MEETS = 0.25  # IoU: two areas so much alike are of one face, however generously each was drawn
_INSIDE = (
    0.3  # of the larger one's size: the same where one centre is so near to the other
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A person marked in an upright picture: `box` (4,) float32 xyxy, parts of its width and height."""

    name: str | None
    box: F32


@dataclass(frozen=True, slots=True)
class Written:
    """What was done with the faces of a photo: those marked, those renamed, and those left as somebody has them."""

    place: Path
    marked: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class TaggedPhoto:
    """A photo with what is marked in it.

    Raises:
        InputError: The photo or its XMP cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = images.read_bytes(path)
        self.sidecar = sidecar_of(path)
        try:  # size and orientation of the picture as it is stored
            with images.opened(self.content) as picture:
                self._size_wh = picture.size
                self._orientation = int(picture.getexif().get(_ORIENTATION, 1))
        except Exception:  # whatever Pillow's readers raise: ours may know more
            height, width = images.read_image(path).shape[:2]
            self._size_wh, self._orientation = (width, height), 1
        self._inside = read_xmp(self.content)
        beside = images.read_bytes(self.sidecar) if self.sidecar.exists() else None
        try:
            self._packets = [
                Packet(text) for text in (beside, self._inside) if text is not None
            ]
        except InputError as exc:
            raise InputError(f"{path}: {exc}") from exc
        self._beside = beside
        # Picasa's list is in parts of the stored picture, of a raw file of the upright one.
        raw = path.suffix.lower() in tiff.RAW_SUFFIXES
        by = 1 if raw else self._orientation
        self._by_picasa = [
            Mark(region.name, _oriented(region.box, by)) for region in named_in(path)
        ]

    def marks(self) -> list[Mark]:
        """Who is marked; of the same face the sidecar counts first, then the file, then Picasa's list."""
        found: list[Mark] = []
        for packet in self._packets:
            there = [mark.box for mark in found]
            for region in packet.regions():
                box = self._upright(region)
                if not _near(box, there):
                    found.append(Mark(region.name, box))
        there = [mark.box for mark in found]
        return found + [mark for mark in self._by_picasa if not _near(mark.box, there)]

    def write(self, people: Sequence[Mark], *, in_file: bool = False) -> Written:
        """Marks people, in the file or beside it; nothing that somebody else marked, named, renamed or deleted changes.

        Raises:
            InputError: It cannot be written there.
        """
        own = self._inside if in_file or self._beside is None else self._beside
        packet = Packet(own)
        # The boxes of all faces that somebody marked, or we did, even if that was deleted since.
        there = [region for one in self._packets for region in one.regions()]
        once = [region for one in (packet, *self._packets) for region in one.written()]
        boxes = [self._upright(region) for region in (*there, *once)]
        taken = boxes + [mark.box for mark in self._by_picasa]
        done: dict[str, list[str]] = {"marked": [], "renamed": [], "left": []}
        for person in people:
            done[self._mark(packet, person, taken)].append(person.name or "")
        place = self.path if in_file else self.sidecar
        if done["marked"] or done["renamed"]:
            content = packet.content()
            if place == self.path:
                content = with_xmp(self.content, content)
            try:
                write_atomically(place, content)
            except OSError as exc:
                raise InputError(
                    f"cannot write {place}: {exc.strerror or exc}"
                ) from exc
        return Written(place, *map(tuple, done.values()))

    def _mark(self, packet: Packet, person: Mark, taken: Sequence[F32]) -> str:
        """Marks a person where nobody did, or renames what is ours; says which, or that all is left as it is."""
        name = person.name or ""
        # The mark at this place that we made, and nobody changed since.
        mine = {(region.name, _rounded(region.area)) for region in packet.written()}
        here = (
            region
            for region in packet.regions()
            if _near(person.box, [self._upright(region)])
            and (region.name, _rounded(region.area)) in mine
        )
        ours = next(here, None)
        if ours is not None and ours.name != name:
            packet.rename(ours, name)
            return "renamed"
        if _near(person.box, taken):
            return "left"
        # The area in the stored picture of a box (4,) in the upright one.
        back = {6: 8, 8: 6}.get(self._orientation, self._orientation)
        x1, y1, x2, y2 = (float(v) for v in np.clip(_oriented(person.box, back), 0, 1))
        packet.add(
            name, ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), self._size_wh
        )
        return "marked"

    def _upright(self, region: Region) -> F32:
        """A region's box (4,) in the upright picture. Some programs mark the stored picture, some the upright one; the
        size they say it had tells which, where the two differ."""
        width, height = self._size_wh
        turned = self._orientation >= 5 and width != height
        if turned and region.size_wh is not None:
            said_width, said_height = region.size_wh
            if (said_width > said_height) != (width > height):
                return region.box
        return _oriented(region.box, self._orientation)


def sidecar_of(photo: Path) -> Path:
    """The sidecar a photo has, or would get: `photo.jpg.xmp` as digiKam, darktable and immich call it; of a camera's
    raw file `photo.xmp`, as Lightroom does, which is also taken where it is there and no other photo's."""
    full, short = photo.with_name(photo.name + ".xmp"), photo.with_suffix(".xmp")
    raw = photo.suffix.lower() in tiff.RAW_SUFFIXES
    if full.exists():
        return full
    same = [
        other
        for other in photo.parent.glob(f"{glob.escape(photo.stem)}.*")
        if other != photo and other.suffix.lower() in images.SUFFIXES
    ]
    return short if raw or (short.exists() and not same) else full


def _oriented(box: F32, orientation: int) -> F32:
    """A box (4,) in parts of a stored picture, in those of the upright one."""
    x1, y1, x2, y2 = box
    corners = np.array([[x1, y1], [x2, y2]], np.float32)
    if orientation in {5, 6, 7, 8}:
        corners = corners[:, ::-1]
    flip_x = orientation in {2, 3, 6, 7}
    flip_y = orientation in {3, 4, 7, 8}
    if flip_x:
        corners[:, 0] = 1 - corners[:, 0]
    if flip_y:
        corners[:, 1] = 1 - corners[:, 1]
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def same_face(box: F32, other: F32) -> bool:
    """Whether two boxes (4,) are of one face: programs draw them from eyes to chin, or with hair and all."""
    if geometry.iou(box[None], other[None])[0, 0] >= _MEETS:
        return True
    away = np.abs((box[:2] + box[2:]) - (other[:2] + other[2:])) / 2
    sizes = np.maximum(box[2:] - box[:2], other[2:] - other[:2])
    return bool((away < _INSIDE * sizes).all())


def _near(box: F32, others: Sequence[F32]) -> bool:
    return any(same_face(box, other) for other in others)


def _rounded(area: Area) -> tuple[float, ...]:
    return tuple(round(number, 5) for number in area)
