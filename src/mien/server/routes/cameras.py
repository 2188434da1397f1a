"""Cameras that are watched: how they do, what they show, and those that an admin adds."""

from __future__ import annotations

from typing import Annotated

import cv2
from fastapi import APIRouter, Path
from starlette.responses import Response

from mien.output.drawing import Annotator
from mien.server.problems import Problem, documented
from mien.server.records import (
    CameraChangeRecord,
    CameraOrderRecord,
    CameraRecord,
    CamerasRecord,
)
from mien.server.routes.pictures import JPEG, jpeg
from mien.server.security import Admin, Reader, ServiceDep
from mien.server.service import Service
from mien.server.watching import Watching

router = APIRouter(tags=["watching"])

_QUALITY = 80  # of the JPEG of a camera's picture
_KNOWN = ("camera-not-found", "not-watching")
_CHANGE = (
    *("camera-exists", "address-refused", "unusable-input", "source-lost"),
    *("too-large", "too-slow", "gallery-unavailable", "busy", "not-watching"),
)

CameraId = Annotated[
    str, Path(max_length=120, description="As listed.", examples=["door"])
]


def watching_of(service: Service) -> Watching:
    """What watches. Raises Problem where nothing does."""
    if service.watching is None:
        detail = "this service watches no cameras; start it with --watch mien.toml"
        raise Problem("not-watching", detail)
    return service.watching


@router.get("/v1/cameras", summary="Cameras", responses=documented())
def list_cameras(caller: Reader, service: ServiceDep) -> CamerasRecord:
    """All cameras and how they do; those of the service's file first. A service that watches nothing has none."""
    watching = service.watching
    found = [] if watching is None else watching.all()
    return CamerasRecord(
        watching=watching is not None, cameras=[CameraRecord.of(one) for one in found]
    )


@router.post(
    "/v1/cameras",
    status_code=201,
    summary="Add a camera",
    responses=documented(*_CHANGE),
)
def add_camera(
    caller: Admin, service: ServiceDep, order: CameraOrderRecord, response: Response
) -> CameraRecord:
    """Watches one more RTSP or MJPEG camera; of private addresses only those the service was told of (`--url-host`)."""
    added = watching_of(service).add(order.said())
    response.headers["location"] = f"/v1/cameras/{added.id}"
    return CameraRecord.of(added)


@router.get(
    "/v1/cameras/{camera_id}", summary="One camera", responses=documented(*_KNOWN)
)
def get_camera(
    caller: Reader, service: ServiceDep, camera_id: CameraId
) -> CameraRecord:
    """How a camera does."""
    return CameraRecord.of(watching_of(service).get(camera_id))


@router.get(
    "/v1/cameras/{camera_id}/picture",
    summary="What a camera shows",
    response_class=Response,
    responses={**documented("not-ready", *_KNOWN), **JPEG},
)
def camera_picture(
    caller: Reader, service: ServiceDep, camera_id: CameraId
) -> Response:
    """Its newest picture with boxes and names, as a JPEG."""
    image, faces = watching_of(service).picture(camera_id)
    drawn = Annotator()(image, faces) if len(faces) else image
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return jpeg(cv2.imencode(".jpg", drawn, options)[1].tobytes())


@router.patch(
    "/v1/cameras/{camera_id}",
    summary="Change a camera",
    responses=documented("camera-fixed", "camera-not-found", *_CHANGE),
)
def change_camera(
    caller: Admin, service: ServiceDep, camera_id: CameraId, order: CameraChangeRecord
) -> CameraRecord:
    """Watches an added camera in another way; what is not given stays. Those of the file are changed there."""
    watching = watching_of(service)
    return CameraRecord.of(watching.change(camera_id, order.said()))


@router.delete(
    "/v1/cameras/{camera_id}",
    status_code=204,
    summary="Remove a camera",
    responses=documented("camera-fixed", "gallery-unavailable", *_KNOWN),
)
def delete_camera(caller: Admin, service: ServiceDep, camera_id: CameraId) -> Response:
    """Watches an added camera no longer. Its visits stay as long as they are kept."""
    watching_of(service).remove(camera_id)
    return Response(status_code=204)
