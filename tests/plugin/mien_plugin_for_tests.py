"""What a stranger's package may add to mien: one of each kind, with public names and what docs/plugins.md names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import typer
from fastapi import APIRouter

from mien import Attribute, Faces, Frame, InputError, Scores
from mien.space import EmbeddingSpace

if TYPE_CHECKING:
    from mien.train.export import Card
    from mien.train.importers.network import ImportedNetwork
    from mien.train.learners import Lesson, NetworkOptions, Workshop

GLASSES = Attribute("glasses", labels=("no", "yes"), order=40, sure_from=0.9)


class Glasses:
    """Says that dark faces wear glasses."""

    attributes = (GLASSES,)

    def __init__(self, compute: object) -> None:
        self.compute = compute

    def __call__(self, image: np.ndarray, faces: Faces) -> Faces:
        yes = [
            1 - image[_rows(box)].mean() / 255 if image[_rows(box)].size else 0.5
            for box in faces.boxes
        ]
        probs = np.array([(1 - p, p) for p in yes], np.float32).reshape(-1, 2)
        return faces.with_attributes(Scores(GLASSES, probs))


def _rows(box: np.ndarray) -> tuple[slice, slice]:
    x1, y1, x2, y2 = np.maximum(box, 0).astype(int)
    return slice(y1, y2), slice(x1, x2)


class Centre:
    """Says that there is a face in the middle of every picture."""

    aligns_by = "box"
    threshold = 0.5

    def __init__(self, min_face: int, compute: object) -> None:
        self.min_face = min_face

    def __call__(self, image: np.ndarray) -> Faces:
        height, width = image.shape[:2]
        box = np.array(
            [[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32
        )
        unit = np.array(
            [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32
        )
        return Faces(
            box,
            np.ones(1, np.float32),
            box[:, None, :2] + unit * (box[:, None, 2:] - box[:, None, :2]),
        )


class Projection:
    """An embedder of 512 numbers, by the angle: a fixed random projection of the face as it is seen upright."""

    space = EmbeddingSpace(
        "projection",
        size=512,
        metric="cosine",
        tolerance=0.2,
        linkage=0.15,
        duplicate=0.02,
    )

    def __init__(self, compute: object) -> None:
        self.axes = (
            np.random.default_rng(1).normal(size=(16 * 16, 512)).astype(np.float32)
        )

    def __call__(self, image: np.ndarray, faces: Faces) -> Faces:
        import cv2

        rows = np.zeros((len(faces), 512), np.float32)
        for i, box in enumerate(faces.boxes):
            face = cv2.resize(image[_rows(box)], (16, 16)).mean(axis=2).reshape(-1)
            row = (face - face.mean()) @ self.axes
            rows[i] = row / np.linalg.norm(row)
        return replace(faces, embeddings=rows)


class Counts:
    """A format: the number of faces of each picture on a line."""

    def __init__(self, path: Path | None, told: object) -> None:
        self.out = sys.stdout if path is None else path.open("w", encoding="utf-8")
        self.path = path

    def write(self, record: object) -> None:
        self.out.write(f"{record.source}: {len(record.faces)}\n")

    def close(self) -> None:
        if self.path is not None:
            self.out.close()


class Still:
    """A source: `still://PATH?` shows one picture three times."""

    live = False
    rate = 10.0
    frames = 3
    duration_s = 0.3

    def __init__(self, uri: str, **_: object) -> None:
        self.name = uri

    def __iter__(self) -> Iterator[Frame]:
        from mien.media.images import read_image

        image = read_image(self.name.removeprefix("still://"))
        for i in range(3):
            yield Frame(image, i, i / 10, self.name)

    def close(self) -> None:
        pass

    def __enter__(self) -> Still:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_memory(place: str, **wants: object) -> object:
    """A gallery that forgets everything at the end of the process."""
    from mien.gallery import match

    class Memory:
        space = wants["space"]

        def __init__(self) -> None:
            self.rows: list[tuple[str, np.ndarray]] = []

        def enroll(self, name: str, photos: list) -> int:
            self.rows += [(name, photo.embedding) for photo in photos]
            return len(photos)

        def search(self, embeddings: np.ndarray, *, tolerance: object) -> object:
            owners = [name for name, _ in self.rows]
            table = np.array([row for _, row in self.rows], np.float32).reshape(
                -1, embeddings.shape[1]
            )
            found = match(
                embeddings, owners, table, tolerance=self.space.to_euclidean(tolerance)
            )
            return replace(found, distances=self.space.from_euclidean(found.distances))

        def close(self) -> None:
            pass

    return Memory()


count_app = typer.Typer()


@count_app.command()
def count(photo: Path) -> None:
    """Says how many faces a photo has."""
    from mien import Analyzer

    if not photo.exists():
        raise InputError(f"there is no {photo}")
    typer.echo(len(Analyzer(only=["age"]).analyze(photo).faces))


def make_router() -> APIRouter:
    router = APIRouter(tags=["of a package"])

    @router.get("/v1/plugin/hello")
    def hello() -> dict[str, str]:
        return {"hello": "faces"}

    return router


class Prior:
    """An architecture that answers how often each class was there, whatever it sees."""

    architecture = "prior"
    preprocessing: ClassVar[dict[str, object]] = {"reads": "backbone"}
    quick = True

    def __init__(
        self, lesson: Lesson, options: NetworkOptions, workshop: Workshop
    ) -> None:
        self.lesson = lesson

    def learn(self, rows: np.ndarray) -> np.ndarray:
        return self.lesson.task.targets[rows].mean(axis=0)

    def predict(self, model: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.tile(model, (len(rows), 1))

    def export(self, model: np.ndarray, card: Card) -> bytes:
        from mien.train import export

        matrices = {"embedding": np.zeros((128, len(model)), np.float32)}
        graph = export.backbone_head(matrices, np.log(model).astype(np.float32))
        pictures = np.zeros((1, 128), np.float32)
        return export.finished(graph, card, [pictures], model[None])


def read_softmax(files: list[Path], architecture: str | None) -> ImportedNetwork:
    """Takes over files of one line: how likely each class is, whatever the picture."""
    from onnx import helper, numpy_helper

    from mien.models.classifier import Preprocessing
    from mien.train.importers.network import ImportedNetwork

    probs = np.array(files[0].read_text().split(), np.float32)
    size = 8
    weights = np.zeros((size * size * 3, len(probs)), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probs"]),
        ],
        "softmax",
        [helper.make_tensor_value_info("pixels", 1, ["N", size, size, 3])],
        [helper.make_tensor_value_info("probs", 1, ["N", len(probs)])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.log(probs), "b"),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return ImportedNetwork(model, Preprocessing(size), "probabilities", tuple(files))
