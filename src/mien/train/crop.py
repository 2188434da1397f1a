"""Aligned face crops out of photos and videos, as training pictures: sharp, large enough, no two nearly the same."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mien import geometry, locks, store
from mien.errors import InputError
from mien.media import images
from mien.models.classifier import aligned_crops
from mien.pipeline import Analyzer
from mien.quality import sharpness
from mien.sources import expand, is_video, open_source
from mien.text import from_json, printable
from mien.train.faces import find_face
from mien.types import F32, U8, Faces, Frame

MANIFEST = "crops.jsonl"
# Of the space's bound of near-duplicates. By dlib's descriptors a photo saved again moves by 0.02 to 0.08, the next
# look by 0.2 and more.
_NEARLY_THE_SAME = 0.6
NOBODY = "unknown"


@dataclass(frozen=True, slots=True)
class CropOptions:
    """`size` of a crop in pixels; `padding` around the face, in face widths (0.25: as `mien train` reads them); all
    faces or the largest; the least `sharpness` (0 to 1); of a video every Nth frame; a folder per person or not."""

    size: int = 224
    padding: float = 0.25
    every_face: bool = False
    sharpness: float = 0.3
    every: int = 10
    keep_duplicates: bool = False
    per_person: bool = False


@dataclass(frozen=True, slots=True)
class CropSource:
    """A photo or video to crop, and the folder below `into` where its crops go."""

    file: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one source: the crops written, and how many faces were left out, by reason."""

    crops: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def find_sources(given: Iterable[str], into: Path) -> list[CropSource]:
    """The photos and videos given; those in a folder keep the sub-folders they lie in, crops made before are left out.

    Raises:
        InputError: A source lies inside `into`, or a folder holds no photos or videos.
    """
    home = into.resolve()
    found: list[CropSource] = []
    for name in given:
        place = Path(name)
        if place.resolve().is_relative_to(home):
            raise InputError(
                f"{name} is where the crops go, or inside it: give --into another folder"
            )
        for file in map(Path, expand(name, without=into)):
            inside = file.parent.relative_to(place) if place.is_dir() else Path()
            found.append(CropSource(file, Path(printable(str(inside)))))
    return found


@contextmanager
def only_writer(into: Path) -> Iterator[None]:
    """Keeps a second `mien crop` out of a folder of crops: two would take each other's names and lines.

    Raises:
        InputError: Another is at work there, or it cannot be written.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"cannot write {into}: {exc.strerror or exc}") from exc
    with locks.locked(
        into / ".lock",
        busy=f"another 'mien crop' is writing {into}: wait for it or stop it",
    ):
        yield


class CropManifest:
    """What was made of each source, as JSON lines: its key, and the names of its crops. Lines are only added: written
    anew for each source, those of ten thousand would take minutes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.crops: dict[str, list[str]] = {}
        there = images.read_bytes(file) if file.is_file() else b""
        self._start = b"" if there.endswith(b"\n") or not there else b"\n"
        for line in there.decode("utf-8", "replace").split("\n"):
            try:
                row = from_json(line)
                self.crops[str(row["key"])] = [str(name) for name in row["crops"]]
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line: its source is cropped again

    def note(self, key: str, crops: list[str]) -> None:
        """Adds a line; what a kill or a full disk left of one is passed over when it is read.

        Raises:
            InputError: It cannot be written.
        """
        line = json.dumps({"key": key, "crops": crops}, ensure_ascii=False)
        try:
            with self.file.open("ab") as file:
                file.write(self._start + line.encode() + b"\n")
        except OSError as exc:
            self._start = b"\n"
            raise InputError(
                f"cannot write {self.file}: {exc.strerror or exc}"
            ) from exc
        self._start = b""
        self.crops[key] = crops


class Cropper:
    """Cuts faces out of sources into a folder; what an earlier run did there is not done again.

    Args:
        analyzer: Finds and describes the faces (and names them, for a folder per person).
        into: The folder of the crops, made when first written to.
        options: Which faces, and how they are cut.

    Raises:
        InputError: A folder per person is wanted, and there is no gallery to tell who they are.
    """

    def __init__(self, analyzer: Analyzer, into: Path, options: CropOptions) -> None:
        if options.per_person and analyzer.gallery is None:
            raise InputError(
                "--per-person names faces by a gallery: give --gallery FOLDER or --gallery FILE.db"
            )
        self.analyzer = analyzer
        self.into = into
        self.options = options
        self._how = hashlib.sha256(
            json.dumps(asdict(options), sort_keys=True).encode()
        ).hexdigest()[:16]
        self._by = (
            f"{analyzer.described_by}-{analyzer.tolerance}"
            if options.per_person
            else analyzer.described_by
        )
        self._manifest = CropManifest(into / MANIFEST)
        before = self._manifest.crops.items()
        alike = (crops for key, crops in before if key.startswith(self._how))
        self._made = [Path(name) for crops in alike for name in crops]
        self._kept: dict[Path, list[F32]] = {}

    def __call__(self, source: CropSource) -> Done:
        """The crops of one source, written to the folder.

        Raises:
            InputError: It cannot be read.
        """
        key = f"{self._how}-{self._by}-{images.sha256_of(source.file)}-{source.folder.as_posix()}"
        before = self._manifest.crops.get(key)
        if before is not None:  # crops deleted since then were not wanted
            return Done(tuple(name for name in before if (self.into / name).is_file()))
        written: list[str] = []
        try:
            left_out = self._crop(source, written)
            self._manifest.note(key, written)
        except BaseException:  # Ctrl-C too: a source is cropped whole or not at all
            for name in written:
                (self.into / name).unlink(missing_ok=True)
            raise
        return Done(tuple(written), left_out)

    def _crop(self, source: CropSource, written: list[str]) -> dict[str, int]:
        """Writes the crops of a source and adds their names to `written`; how many faces were left out, by reason."""
        left_out: dict[str, int] = defaultdict(int)
        for frame, faces in self._frames(source.file):
            for i, reason in enumerate(self._reasons(source, frame.image, faces)):
                if reason:
                    left_out[reason] += 1
                else:
                    written.append(self._write(source, frame, faces[np.array([i])]))
        return dict(left_out)

    def _frames(self, file: Path) -> Iterator[tuple[Frame, Faces]]:
        """The frames of a photo or video, with their faces described."""
        with open_source(str(file)) as frames:
            for frame in frames:
                if is_video(str(file)) and frame.index % self.options.every:
                    continue
                faces = self.analyzer.analyze_frame(frame).faces
                if not self.options.every_face and len(faces) > 1:
                    largest = geometry.face_sizes(faces.landmarks).argmax()
                    faces = faces[np.array([largest])]
                yield frame, faces

    def _reasons(self, source: CropSource, image: U8, faces: Faces) -> Iterator[str]:
        """Why each face is left out; "" keeps it."""
        for face in faces:
            folder = self._folder(source, face.name)
            if sharpness(image, face.box) < self.options.sharpness:
                yield "blurred"
            elif not self.options.keep_duplicates and self._seen(
                folder, face.embedding
            ):
                yield "nearly the same as another"
            else:
                yield ""

    def _folder(self, source: CropSource, name: str | None) -> Path:
        if not self.options.per_person:
            return source.folder
        plain = (name or NOBODY).replace("/", "_").replace("\\", "_").lstrip(".")
        return source.folder / (plain or NOBODY)

    def _seen(self, folder: Path, embedding: F32 | None) -> bool:
        """Whether a crop of this folder looks nearly the same; if not, the face is one from now on."""
        if embedding is None:
            raise ValueError(
                "crops are compared by descriptors: the analyzer must compute identity"
            )
        if folder not in self._kept:
            self._kept[folder] = list(self._described(folder))
        kept = self._kept[folder]
        space = self.analyzer.space
        nearly = _NEARLY_THE_SAME * space.euclidean(space.duplicate)
        if (
            kept
            and float(geometry.l2_distances(embedding[None], np.stack(kept)).min())
            < nearly
        ):
            return True
        kept.append(embedding)
        return False

    def _described(self, folder: Path) -> Iterator[F32]:
        """The descriptors of the crops that earlier runs with the same options left in a folder."""
        for place in (self.into / name for name in self._made if name.parent == folder):
            if place.is_file():
                found = find_face(self.analyzer.detector, images.read_image(place))
                faces = self.analyzer.embed(found.image, found.faces)
                yield from () if faces.embeddings is None else faces.embeddings

    def _write(self, source: CropSource, frame: Frame, face: Faces) -> str:
        """Writes the crop of the one face; gives its name below the folder of the crops."""
        crop = aligned_crops(
            frame.image,
            face.landmarks,
            size=self.options.size,
            padding=self.options.padding,
        )[0]
        stem = printable(source.file.stem)
        if is_video(str(source.file)):
            stem = f"{stem}-{frame.index:06d}"
        folder = self._folder(source, face.face(0).name)
        content = cv2.imencode(".jpg", crop, (cv2.IMWRITE_JPEG_QUALITY, 95))[1]
        place = _take_name(self.into / folder / f"{stem}.jpg")
        try:
            store.write_atomically(place, content.tobytes())
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        return str(place.relative_to(self.into))

    def crops(self) -> list[Path]:
        """All crops there are, of this run and those before, by folder and name."""
        names = {name for crops in self._manifest.crops.values() for name in crops}
        return sorted(path for path in map(self.into.joinpath, names) if path.is_file())


def _take_name(place: Path) -> Path:
    """The place, or the next one that is free: taken by an empty file, so that nobody else takes it too."""
    place.parent.mkdir(parents=True, exist_ok=True)
    counter, free = 2, place
    while True:
        try:
            free.touch(exist_ok=False)
        except FileExistsError:
            free = place.with_stem(f"{place.stem}-{counter}")
            counter += 1
        else:
            return free
