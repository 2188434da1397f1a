"""MediaPipe's face landmarker without MediaPipe: 478 points, where a face looks, 52 numbers of what it does."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from functools import partial

import cv2
import numpy as np
from google.protobuf.message import DecodeError

from mien import geometry, store
from mien.attribute import Attribute
from mien.errors import ModelError
from mien.models.attributes import tflite
from mien.protobufs import message_classes
from mien.runtime import Compute, OnnxModel
from mien.types import F32, U8, Faces, Scores
from mien.zoo import spec_of

NAME = "face_landmarker"
POINTS = 478
_SIDE = 256  # pixels
_AROUND = 1.5  # how much wider than the face the crop is, as in MediaPipe
_VERSION = 1  # raise it when the conversion changes
_CAUTION = (
    "a measure of how a face looks at this moment; decide nothing about a person by it"
)

# The points that the second network reads, and the names of its answers, are MediaPipe's (face_blendshapes_graph.cc).
READ = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58),
    *(61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107),
    *(109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157),
    *(158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197),
    *(234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293),
    *(295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334),
    *(336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384),
    *(385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468),
    *(469, 470, 471, 472, 473, 474, 475, 476, 477),
)
BLENDSHAPES = tuple(
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight"
    " cheekPuff cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight"
    " eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft"
    " eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight"
    " eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose"
    " mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel"
    " mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight"
    " mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower"
    " mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight"
    " mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight".split()
)


# MediaPipe's GeometryPipelineMetadata (face_geometry), as far as it is read.
_FACE = """
message Face
  optional Mesh mesh = 1
  repeated Point points = 2
message Mesh
  repeated float vertices = 3
message Point
  optional uint32 row = 1
  optional float weight = 2
"""


def _momentary(name: str, unit: str, order: int, show: str) -> Attribute:
    return Attribute(
        name, unit=unit, half_life_s=0.2, order=order, show=show, caution=_CAUTION
    )


# Degrees. Yaw: to the right of the picture; pitch: up; roll: clockwise.
POSE = tuple(
    _momentary(name, "degrees", 70, "{name} {value}")
    for name in ("yaw", "pitch", "roll")
)
BLINK = _momentary("blink", "%", 75, "{name} {value}")  # of the eye that is less shut
SHAPES = tuple(
    _momentary(
        re.sub("([A-Z])", r"_\1", name.replace("_neutral", "neutralFace")).lower(),
        "%",
        80,
        "",
    )
    for name in BLENDSHAPES
)
_BOTH = tuple(BLENDSHAPES.index(f"eyeBlink{side}") for side in ("Left", "Right"))


class FaceLandmarker:
    """The stage that tells pose, blink and blendshapes; `points` gives what they are read from.

    Args:
        parts: What `converted` makes of the published file.
    """

    attributes = (*POSE, BLINK, *SHAPES)

    def __init__(
        self, parts: Mapping[str, F32 | U8], compute: Compute | None = None
    ) -> None:
        self.mesh, self.shapes = (
            OnnxModel(parts[name].tobytes(), f"{NAME} ({name})", compute)
            for name in ("mesh", "shapes")
        )
        self.canonical = np.asarray(parts["canonical"], np.float32)
        self.basis = np.asarray(parts["basis"], np.float32)

    @classmethod
    def load(cls, compute: Compute | None = None) -> FaceLandmarker:
        """The published networks.

        Raises:
            ModelError: They are not on this machine; says how to get them.
        """
        spec = spec_of(NAME)
        convert = partial(converted, name=spec.name)
        data = store.derived(spec, convert, version=_VERSION)
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            return cls(dict(parts), compute)

    def __call__(self, image: U8, faces: Faces) -> Faces:
        points = self.points(image, faces)
        shapes = np.array([self._blendshapes(p) for p in points], np.float32)
        shapes = shapes.reshape(-1, len(SHAPES)) * 100
        poses = np.array([self.pose(p) for p in points], np.float32).reshape(-1, 3)
        shut = shapes[:, _BOTH].min(axis=1, keepdims=True)
        columns = np.concatenate([poses, shut, shapes], axis=1)
        return faces.with_attributes(
            *(
                Scores(attribute, columns[:, i : i + 1])
                for i, attribute in enumerate(self.attributes)
            )
        )

    def points(self, image: U8, faces: Faces) -> F32:
        """The points (N, 478, 3) in pixels, z towards the back, in MediaPipe's order; NaN where no face is seen.

        A face is looked at twice: by the detector's box, then by the first look's points, as MediaPipe does from frame
        to frame. So it does not matter how a detector draws its boxes.
        """
        turns = geometry.turns(faces.landmarks)
        found = np.full((len(faces), POINTS, 3), np.nan, np.float32)
        for i, box in enumerate(faces.boxes):
            first, _ = self._look(image, box, float(turns[i]))
            low, high = first[:, :2].min(axis=0), first[:, :2].max(axis=0)
            eyes = first[263, :2] - first[33, :2]
            turn = float(np.arctan2(eyes[1], eyes[0]))
            second, seen = self._look(image, np.concatenate([low, high]), turn)
            if seen:
                found[i] = second
        return found

    def _look(self, image: U8, box: F32, turn: float) -> tuple[F32, bool]:
        """The points (478, 3) that one crop shows, and whether it shows a face."""
        side = max(1.0, float((box[2:] - box[:2]).max()) * _AROUND)
        scale = _SIDE / side
        upright = np.array(
            [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
        )
        centre = (box[:2] + box[2:]) / 2
        matrix = np.column_stack(
            [scale * upright, _SIDE / 2 - scale * upright @ centre]
        )
        crop = cv2.warpAffine(image, matrix, (_SIDE, _SIDE))
        rgb = crop[None, ..., ::-1].astype(np.float32) / 255
        raw, presence, *_ = self.mesh(rgb)
        points = raw.reshape(POINTS, 3)
        points[:, :2] = (points[:, :2] - _SIDE / 2) @ upright
        points /= scale
        points[:, :2] += centre
        return points, bool(presence.ravel()[0] > 0)

    def _blendshapes(self, points: F32) -> F32:
        if np.isnan(points[0, 0]):
            return np.full(len(SHAPES), np.nan, np.float32)
        (told,) = self.shapes(points[None, READ, :2])
        return np.asarray(np.clip(told, 0, 1), np.float32)

    def pose(self, points: F32) -> F32:
        """Yaw, pitch and roll (3,) in degrees: how the canonical face is turned to lie nearest to the points.

        Nearest by the weights that MediaPipe gives its points, of which most count for nothing.
        """
        rows = self.basis[:, 0].astype(int)
        weights = self.basis[:, 1:] / self.basis[:, 1].sum()
        if np.isnan(points[0, 0]):
            return np.full(3, np.nan, np.float32)
        seen = points[rows] * np.array([1, -1, -1], np.float32)
        model = self.canonical[rows]
        model, seen = (p - (weights * p).sum(axis=0) for p in (model, seen))
        u, _, vt = np.linalg.svd((weights * seen).T @ model)
        turned = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        right, up, ahead = turned[:, 2]
        yaw, pitch = np.arctan2(right, ahead), np.arctan2(up, np.hypot(right, ahead))
        looking = _about_y(yaw) @ _about_x(pitch)
        tilt = looking.T @ turned
        roll = -np.arctan2(tilt[1, 0], tilt[0, 0])
        return np.rad2deg([yaw, pitch, roll]).astype(np.float32)


def load_landmarker(compute: Compute | None) -> FaceLandmarker:
    """The door's factory."""
    return FaceLandmarker.load(compute)


def converted(data: bytes, name: str) -> bytes:
    """A `face_landmarker.task` (a zip of TFLite networks and a mesh) as an .npz: two ONNX networks, the canonical face
    (468, 3) in centimetres, and its points that tell the pose (33, 2), each by its number and weight.

    Raises:
        ModelError: It is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            mesh, shapes, face = map(
                archive.read,
                (
                    "face_landmarks_detector.tflite",
                    "face_blendshapes.tflite",
                    "geometry_pipeline_metadata_landmarks.binarypb",
                ),
            )
        canonical, basis = _geometry(face)
    except (zipfile.BadZipFile, KeyError, ValueError, DecodeError) as exc:
        raise ModelError(f"{name} is no face landmarker: {exc}") from exc
    networks = {"mesh": mesh, "shapes": shapes}
    graphs = {
        key: np.frombuffer(tflite.to_onnx(network, f"{name} ({key})"), np.uint8)
        for key, network in networks.items()
    }
    out = io.BytesIO()
    np.savez(out, canonical=canonical, basis=basis, **graphs)  # type: ignore[arg-type]
    return out.getvalue()


def _geometry(data: bytes) -> tuple[F32, F32]:
    """The canonical face (468, 3), and the numbers and weights (33, 2) of its points that tell the pose."""
    found = message_classes(_FACE, "mien.face")["Face"].FromString(data)
    vertices = np.array(found.mesh.vertices, np.float32).reshape(-1, 5)
    basis = np.array([[p.row, p.weight] for p in found.points], np.float32)
    return vertices[:, :3], basis.reshape(-1, 2)


def _about_x(angle: float) -> F32:
    """Turns what looks ahead upwards."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]], np.float32)


def _about_y(angle: float) -> F32:
    """Turns what looks ahead to the right."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
