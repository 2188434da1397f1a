"""Pictures in, results out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import cv2
from fastapi import APIRouter, Query
from PIL import Image
from starlette.responses import Response

from mien.attribute import IDENTITY
from mien.errors import InputError, MemoryShort, MienError
from mien.output import drawing
from mien.output.schemas import FrameRecord, error_record, frame_record
from mien.server.bodies import PICTURES
from mien.server.forms import FILE, FILES, PictureForm, form_body, pictures_of
from mien.server.parameters import LENIENT
from mien.server.problems import OF_PICTURES, Problem, documented
from mien.server.records import LegacyRecord
from mien.server.routes.pictures import pixels_of
from mien.server.security import Analyst, ServiceDep
from mien.server.service import Service
from mien.server.sniff import HEAD_BYTES, video_format
from mien.types import U8, Frame, FrameResult

router = APIRouter(tags=["analysis"])

_UNKNOWN = "Unknown"
_PROBLEMS = (*OF_PICTURES, "model-unavailable", "gallery-unavailable")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "What was found: an object for one picture, a list in the order of the pictures for several; "
        "with `draw=true` the picture with boxes and labels.",
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/FrameRecord"},
                        {
                            "type": "array",
                            "items": {"$ref": "#/components/schemas/FrameRecord"},
                        },
                    ]
                },
                "example": {
                    "source": "party.jpg",
                    "index": 0,
                    "time_s": 0.0,
                    "width": 1280,
                    "height": 720,
                    "faces": [
                        {
                            "box": [512.0, 120.5, 640.0, 260.1],
                            "score": 0.98,
                            "landmarks": [
                                [545.1, 170.0],
                                [604.2, 168.3],
                                [576.0, 201.9],
                                [551.3, 226.0],
                                [601.8, 224.7],
                            ],
                            "track_id": None,
                            "name": "Ada Lovelace",
                            "distance": 0.41,
                            "age": 31.4,
                            "age_group": "(25, 32)",
                            "gender": "female",
                            "emotion": "happiness",
                        }
                    ],
                },
            },
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

Only = Annotated[
    str | None,
    Query(
        max_length=100,
        description="What to tell, of the parts that `GET /v1/server` lists; default all.",
        examples=["age,gender"],
    ),
]


@router.post(
    "/v1/analyze",
    summary="Faces of pictures",
    response_class=Response,
    responses={**documented(*_PROBLEMS), **_ANSWERS},
    openapi_extra=PICTURES | form_body(FILES, ["file"]),
)
def analyze(
    caller: Analyst,
    service: ServiceDep,
    form: PictureForm,
    only: Only = None,
    draw: Annotated[
        bool, Query(description="Answer with the annotated picture (one picture only).")
    ] = False,
    embeddings: Annotated[
        bool, Query(description="Add the numbers that tell who a face is.")
    ] = False,
) -> Response:
    """Finds and describes the faces of one or several pictures.

    Nothing is kept, unless the service was started with `--keep-unknown`: then faces nobody owns are (`/v1/unknown`).
    """
    parts = parts_of(only, service)
    uploads = pictures_of(form)
    if draw:
        if len(uploads) > 1:
            raise Problem("invalid", "draw=true takes one picture at a time")
        with analyzed(service, uploads[0].content(), uploads[0].filename) as (
            image,
            result,
        ):
            return Response(
                jpeg(drawing.annotate(image, result.faces.only(parts))),
                media_type="image/jpeg",
            )
    if len(uploads) == 1:
        with analyzed(service, uploads[0].content(), uploads[0].filename) as (
            _,
            result,
        ):
            pass
        return json_response(record_of(result, parts, embeddings=embeddings))
    return json_list(
        [
            _one_of_many(service, u.content(), u.filename, parts, embeddings)
            for u in uploads
        ]
    )


@router.post(
    "/",
    summary="Faces of a picture, in the original system's shape",
    response_model=LegacyRecord,
    responses=documented(*_PROBLEMS),
    openapi_extra=PICTURES | LENIENT | form_body(FILE, ["file"]),
)
def analyze_legacy(
    caller: Analyst, service: ServiceDep, form: PictureForm
) -> LegacyRecord:
    """Four parallel lists, one entry per face; an empty text where a part is not computed. Whatever else is said is
    passed over, as it was there."""
    upload = pictures_of(form)[0]
    with analyzed(service, upload.content(), upload.filename) as (_, result):
        pass
    faces = list(result.faces)
    return LegacyRecord(
        Name=[face.name or _UNKNOWN for face in faces],
        Sex=[(face.gender or "").capitalize() for face in faces],
        Age=[_legacy_age(face.probs.get("age_group", {})) for face in faces],
        Emotion=[
            (face.emotion or "").title() for face in faces
        ],  # the old service's, whatever the model's spelling
    )


def _legacy_age(probs: object) -> str:
    if not isinstance(probs, dict) or not probs:
        return ""
    group = max(probs, key=lambda label: probs[label])
    return f"{group}{{{probs[group]:.0%}}}"


@contextmanager
def analyzed(
    service: Service, content: bytes, source: str, *, way: str = "picture"
) -> Iterator[tuple[U8, FrameResult]]:
    """The picture in some bytes and what was found in it, once the networks are free.

    What costs much is done before the networks are given back: decoding, analysis, and what the body does.

    Raises:
        InputError: It is no picture, or too large a one.
        Problem: The networks were not free in time.
    """
    limits = service.settings.limits
    with service.gate.slot(pixels_of(content, limits.image_pixels)):
        image = read_picture(service, content, limits.image_pixels)
        result = service.analyzer.analyze_frame(Frame(image, source=source))
        service.metrics.analysed(way, len(result.faces))
        if service.collector is not None:
            service.collector.keep(image, result.faces, source=source)
        yield image, result


def read_picture(service: Service, content: bytes, max_pixels: int) -> U8:
    """The picture in a client's bytes; of formats that are read less often decoded in a process of its own.

    Raises:
        InputError: It is none that can be read, or too large.
    """
    if video_format(content[:HEAD_BYTES]) is not None:
        raise InputError("this is a video; send it to POST /v1/videos")
    return service.decoders.read(content, max_pixels=max_pixels)


def parts_of(only: str | None, service: Service) -> frozenset[str]:
    """What a request wants to be told.

    Raises:
        Problem: Unknown, or not computed by this service.
    """
    there = service.analyzer.parts
    if only is None:
        return frozenset(there)
    wanted = frozenset(part.strip() for part in only.split(",") if part.strip())
    if not wanted or not wanted <= set(there):
        raise Problem(
            "invalid", f"only takes some of {', '.join(there)}, separated by commas"
        )
    return wanted


def record_of(
    result: FrameResult, parts: frozenset[str], *, embeddings: bool = False
) -> FrameRecord:
    """A result as JSON shows it, with the wanted parts only."""
    told = replace(result, faces=result.faces.only(parts))
    return frame_record(told, identity=IDENTITY in parts, embeddings=embeddings)


def _one_of_many(
    service: Service,
    content: bytes,
    source: str,
    parts: frozenset[str],
    embeddings: bool,
) -> FrameRecord:
    try:
        with analyzed(service, content, source) as (_, result):
            pass
    except MemoryShort:
        raise
    except InputError as exc:
        return error_record(source, exc)
    return record_of(result, parts, embeddings=embeddings)


def json_response(record: FrameRecord) -> Response:
    """One record as the answer."""
    return Response(record.to_json(), media_type="application/json")


def json_list(records: list[FrameRecord]) -> Response:
    """Several records as the answer."""
    return Response(
        json.dumps([record.to_dict() for record in records]),
        media_type="application/json",
    )


def jpeg(image: U8) -> bytes:
    """A BGR picture as JPEG."""
    buffer = io.BytesIO()
    try:
        Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).save(
            buffer, "JPEG", quality=92
        )
    except (OSError, ValueError) as exc:
        raise InputError(f"the picture cannot be written as JPEG: {exc}") from exc
    return buffer.getvalue()


__all__ = ["MienError", "analyzed", "json_response", "parts_of", "record_of", "router"]
