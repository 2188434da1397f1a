"""The command `face_recognition`: says who is in pictures, given a folder with one picture of each person."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image
from numpy.typing import NDArray

import face_recognition.api as face_recognition
from face_recognition.commands import (
    FORMAT_HELP,
    RECURSIVE_HELP,
    Each,
    image_files_in_folder,
    processes,
    workers,
)

LARGEST_SIDE = 1600  # pixels; larger pictures are scaled down first


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """The people of the known folder: `names`, and one encoding (N, 128) each."""

    names: list[str]
    encodings: list[NDArray[np.float64]]

    def matches(
        self, encoding: NDArray[np.float64], tolerance: float, best: bool
    ) -> list[tuple[str, float]]:
        """Everybody within the tolerance, or only the nearest."""
        distances = face_recognition.face_distance(self.encodings, encoding)
        near = [
            (name, float(d))
            for name, d in zip(self.names, distances, strict=True)
            if d <= tolerance
        ]
        return [min(near, key=lambda match: match[1])] if best and near else near


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face of a picture: its location (top, right, bottom, left) and who it may be, with distances."""

    location: tuple[int, ...]
    matches: list[tuple[str, float]]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        matches = [
            {"name": name, "distance": distance} for name, distance in self.matches
        ]
        return {"location": list(self.location), "matches": matches}


@dataclass(frozen=True, slots=True)
class Layout:
    """How results are printed."""

    distances: bool = False
    locations: bool = False
    json: bool = False

    def lines(self, image: str, faces: list[FoundFace]) -> list[str]:
        if self.json:
            return [
                json.dumps(
                    {"image": image, "faces": [face.as_json() for face in faces]},
                    ensure_ascii=False,
                )
            ]
        if not faces:
            return [self._line(image, "no_persons_found", None, ())]
        found = []
        for face in faces:
            matches: list[tuple[str, float | None]] = [*face.matches] or [
                ("unknown_person", None)
            ]
            for name, distance in matches:
                found.append(self._line(image, name, distance, face.location))
        return found

    def _line(
        self, image: str, name: str, distance: float | None, location: tuple[int, ...]
    ) -> str:
        fields: list[Any] = [
            image,
            name,
            *([distance] if self.distances else []),
            *(location if self.locations else ()),
        ]
        return ",".join(map(str, fields))


def scan_known_people(
    known_people_folder: str,
    each: Each = map,
    *,
    recursive: bool = False,
    warn_on_stderr: bool = False,
) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Name (the file's) and encoding of the first face of each picture; warns of pictures with none or several."""
    names, encodings = [], []
    files = image_files_in_folder(known_people_folder, recursive)
    warn = partial(click.echo, err=warn_on_stderr)
    for file, found in zip(files, each(_encodings_of, files), strict=True):
        if len(found) > 1:
            warn(
                f"WARNING: More than one face found in {file}. Only considering the first face."
            )
        if not found:
            warn(f"WARNING: No faces found in {file}. Ignoring file.")
            continue
        names.append(Path(file).stem)
        encodings.append(found[0])
    return names, encodings


def _encodings_of(file: str) -> list[NDArray[np.float64]]:
    return face_recognition.face_encodings(face_recognition.load_image_file(file))


def find_people(
    image_to_check: str, known: KnownPeople, tolerance: float, best: bool
) -> list[FoundFace]:
    """The faces of a picture, each with everybody within the tolerance, or only with the nearest."""
    image = face_recognition.load_image_file(image_to_check)
    small = _shrunk(image)
    scale = max(image.shape) / max(small.shape)
    boxes = [
        face_recognition._rect_to_css(box)
        for box in face_recognition._raw_face_locations(small)
    ]
    encodings = face_recognition.face_encodings(small, boxes)
    inside = (face_recognition._trim_css_to_bounds(box, small.shape) for box in boxes)
    faces = zip(inside, encodings, strict=True)
    return [
        FoundFace(
            tuple(round(edge * scale) for edge in box),
            known.matches(found, tolerance, best),
        )
        for box, found in faces
    ]


def print_result(
    filename: str, name: str, distance: float | None, show_distance: bool = False
) -> None:
    """One name's line."""
    click.echo(
        ",".join(
            map(str, (filename, name, distance) if show_distance else (filename, name))
        )
    )


def test_image(
    image_to_check: str,
    known_names: list[str],
    known_face_encodings: list[NDArray[np.float64]],
    tolerance: float = 0.6,
    show_distance: bool = False,
) -> None:
    """Prints who is in a picture."""
    images = [image_to_check]
    process_images_in_process_pool(
        images, known_names, known_face_encodings, 1, tolerance, show_distance
    )


def process_images_in_process_pool(
    images_to_check: list[str],
    known_names: list[str],
    known_face_encodings: list[NDArray[np.float64]],
    number_of_cpus: int,
    tolerance: float,
    show_distance: bool,
) -> None:
    """Prints who is in pictures that several processes look at, -1 for one on each processor."""
    known = KnownPeople(known_names, known_face_encodings)
    find = partial(find_people, known=known, tolerance=tolerance, best=False)
    with workers(number_of_cpus) as each:
        for image, faces in zip(
            images_to_check, each(find, images_to_check), strict=True
        ):
            for line in Layout(show_distance).lines(image, faces):
                click.echo(line)


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if max(image.shape) <= LARGEST_SIDE:
        return image
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), PIL.Image.Resampling.LANCZOS)
    return np.array(picture)


@click.command()
@click.argument("known_people_folder")
@click.argument("image_to_check")
@click.option(
    "--cpus",
    default=1,
    help="number of CPU cores to use in parallel (can speed up processing lots of images). "
    '-1 means "use all in system"',
)
@click.option(
    "--tolerance",
    default=0.6,
    help="Tolerance for face comparisons. Default is 0.6. Lower this if you get multiple matches for the same person.",
)
@click.option(
    "--show-distance",
    default=False,
    type=bool,
    help="Output face distance. Useful for tweaking tolerance setting.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json"]),
    default="text",
    help=FORMAT_HELP,
)
@click.option("--best", is_flag=True, help="Print only the nearest name of each face.")
@click.option(
    "--locations", is_flag=True, help="Print where each face is: top,right,bottom,left."
)
@click.option("--recursive", is_flag=True, help=RECURSIVE_HELP)
def main(known_people_folder: str, image_to_check: str, **options: Any) -> None:
    layout = Layout(
        options["show_distance"], options["locations"], options["layout"] == "json"
    )
    recursive = options["recursive"]
    with workers(processes(options["cpus"], image_to_check)) as each:
        people = scan_known_people(
            known_people_folder, each, recursive=recursive, warn_on_stderr=layout.json
        )
        is_folder = os.path.isdir(image_to_check)  # noqa: PTH112 - the path is printed as it was given
        images = (
            image_files_in_folder(image_to_check, recursive)
            if is_folder
            else [image_to_check]
        )
        find = partial(
            find_people,
            known=KnownPeople(*people),
            tolerance=options["tolerance"],
            best=options["best"],
        )
        for image, faces in zip(images, each(find, images), strict=True):
            for line in layout.lines(image, faces):
                click.echo(line)


if __name__ == "__main__":
    main()
