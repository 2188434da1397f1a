"""The command `face_detection`: says where the faces of pictures are."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

import click

import face_recognition.api as face_recognition
from face_recognition.commands import (
    FORMAT_HELP,
    RECURSIVE_HELP,
    image_files_in_folder,
    processes,
    workers,
)


def find_faces(
    image_to_check: str, model: str, upsample: int
) -> list[tuple[int, int, int, int]]:
    """The locations (top, right, bottom, left) of a picture's faces."""
    image = face_recognition.load_image_file(image_to_check)
    return face_recognition.face_locations(
        image, number_of_times_to_upsample=upsample, model=model
    )


def print_result(filename: str, location: tuple[int, int, int, int]) -> None:
    """One face's line."""
    click.echo(",".join(map(str, (filename, *location))))


def test_image(image_to_check: str, model: str, upsample: int = 0) -> None:
    """Prints a picture's faces."""
    for location in find_faces(image_to_check, model, upsample):
        print_result(image_to_check, location)


def process_images_in_process_pool(
    images_to_check: list[str], number_of_cpus: int, model: str, upsample: int = 0
) -> None:
    """Prints the faces of pictures that several processes look at, -1 for one on each processor."""
    find = partial(find_faces, model=model, upsample=upsample)
    with workers(number_of_cpus) as each:
        for image, locations in zip(
            images_to_check, each(find, images_to_check), strict=True
        ):
            for location in locations:
                print_result(image, location)


def lines(
    image: str, locations: list[tuple[int, int, int, int]], layout: str
) -> list[str]:
    """What is printed for a picture."""
    if layout == "json":
        found = [{"location": list(location)} for location in locations]
        return [json.dumps({"image": image, "faces": found}, ensure_ascii=False)]
    return [",".join(map(str, (image, *location))) for location in locations]


@click.command()
@click.argument("image_to_check")
@click.option(
    "--cpus",
    default=1,
    help='number of CPU cores to use in parallel. -1 means "use all in system"',
)
@click.option(
    "--model",
    default="hog",
    help='Which face detection model to use. Options are "hog" or "cnn".',
)
@click.option(
    "--upsample",
    default=0,
    help="How many times to upsample the image looking for faces. Higher numbers find smaller faces.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json"]),
    default="text",
    help=FORMAT_HELP,
)
@click.option("--recursive", is_flag=True, help=RECURSIVE_HELP)
def main(image_to_check: str, **options: Any) -> None:
    is_folder = os.path.isdir(image_to_check)  # noqa: PTH112 - the path is printed as it was given
    images = (
        image_files_in_folder(image_to_check, options["recursive"])
        if is_folder
        else [image_to_check]
    )
    find = partial(find_faces, model=options["model"], upsample=options["upsample"])
    with workers(processes(options["cpus"], image_to_check)) as each:
        for image, locations in zip(images, each(find, images), strict=True):
            for line in lines(image, locations, options["layout"]):
                click.echo(line)


if __name__ == "__main__":
    main()
