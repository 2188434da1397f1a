"""The one table of weights: where each comes from, its hash, its licence, what it was trained on.

A `source` is `bundled:FILE` (in mien/weights), `package:NAME/FILE` (a file of another installed package, read and never
imported) or an https address (fetched only by `mien models get`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.errors import InputError, ModelError
from mien.space import EmbeddingSpace, ErrorRates
from mien.text import did_you_mean

# The descriptors of dlib's face ResNet. 0.6 is dlib's own. The linkage was chosen on folds 0 to 4 of CACD-VS as the
# smallest step of 0.01 with pairwise recall 0.8; on folds 5 to 9, over all pairs of photos, precision is 0.99, recall
# 0.81 (benchmarks/unknown.py). Of 2.9 million pairs of FER+ pictures 126 are nearer than 0.25, nearly all of them one
# photo twice.
# The rates are those of two views on folds 0 to 4: 1.6 million pairs of strangers, 1,000 of one person up to ten years
# apart (benchmarks/open_set.py); nearer than 0.45 there was no stranger, and the logarithm goes on as it fell before.
_RATES = ErrorRates(
    (
        (0.25, 8.8e-11, 0.997),
        (0.30, 8.8e-10, 0.984),
        (0.35, 8.8e-9, 0.889),
        (0.40, 8.8e-8, 0.685),
        (0.45, 8.8e-7, 0.433),
        (0.50, 8.8e-6, 0.197),
        (0.55, 8.6e-5, 0.066),
        (0.60, 8.8e-4, 0.020),
        (0.65, 5.7e-3, 0.006),
        (0.70, 2.6e-2, 0.006),
        (0.75, 8.3e-2, 0.005),
        (0.80, 2.0e-1, 0.003),
        (0.85, 3.7e-1, 0.000),
        (0.90, 5.7e-1, 0.000),
        (1.00, 9.0e-1, 0.000),
    )
)
DLIB = EmbeddingSpace(
    name="dlib_resnet",
    size=128,
    metric="euclidean",
    tolerance=0.6,
    linkage=0.52,
    duplicate=0.25,
    rates=_RATES,
)

# OpenCV's own bound is a cosine of 0.363 or more, which is a distance of 0.637 or less.
SFACE = EmbeddingSpace.like(
    DLIB, name="sface", size=128, metric="cosine", tolerance=1 - 0.363
)

_DLIB = "package:face_recognition_models/models/"
_MINIVISION = (
    "https://github.com/minivision-ai/Silent-Face-Anti-Spoofing/raw/master/"
    "resources/anti_spoof_models/"
)


# 112x112, the mean face that ArcFace and its kin are trained with (insightface): eyes, nose, corners of the mouth.
ARCFACE_POINTS = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """How an embedder sees a face: `size` pixels a side, moved so that the five landmarks lie nearest to `template`
    (pixels of the crop), each pixel (x - mean) * scale in the order of `channels`.

    Raises:
        InputError: That cannot be.
    """

    template: tuple[tuple[float, float], ...] = ARCFACE_POINTS
    size: int = 112
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: float = 127.5
    scale: float = 1 / 127.5

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "bgr"):
            raise InputError(f"channels are rgb or bgr, got {self.channels!r}")
        if len(self.template) != len(ARCFACE_POINTS) or any(
            len(point) != 2 for point in self.template
        ):
            raise InputError(
                "a template has five points x,y: eyes, nose, corners of the mouth, from left to right"
            )
        if self.size < 1 or self.scale == 0:
            raise InputError(
                "a crop has a size of 1 pixel or more, and a scale that is not 0"
            )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One file of weights. `size_bytes` and `sha256` are of the file as published; `threshold` is the score or
    distance that decides, where the model has one; `input_size` is (width, height) pixels, None for any; `space` is
    that of an embedder's descriptors, `crop` how one of ArcFace's kind sees a face, `scale` how many sizes of a face's
    box a network sees where several look at one face."""

    name: str
    task: str
    family: str
    source: str
    sha256: str
    size_bytes: int
    licence: str
    trained_on: str
    input_size: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()
    threshold: float | None = None
    space: EmbeddingSpace | None = None
    crop: FaceCrop | None = None
    scale: float | None = None

    @property
    def bundled(self) -> bool:
        """Whether the file is there after `pip install`."""
        return self.source.startswith(("bundled:", "package:"))

    def verify(self, data: bytes, path: Path) -> None:
        """Raises ModelError where these bytes of a file are not what was published."""
        digest = hashlib.sha256(data).hexdigest()
        if digest == self.sha256:
            return
        cure = (
            "reinstall the package it came with"
            if self.bundled
            else f"run 'mien models get {self.name}'"
        )
        raise ModelError(
            f"{path} is not the published {self.name}: its sha256 is {digest[:12]}… ({len(data)} bytes), "
            f"expected {self.sha256[:12]}… ({self.size_bytes} bytes); {cure}"
        )


ZOO: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="dlib_resnet",
            task="embedding",
            family="dlib_resnet",
            source=_DLIB + "dlib_face_recognition_resnet_model_v1.dat",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            size_bytes=22_466_066,
            licence="public domain (CC0)",
            trained_on="about 3 million faces: the face scrub set, VGG Face and photos from the web (Davis King, 2017)",
            input_size=(150, 150),
            threshold=DLIB.tolerance,
            space=DLIB,
        ),
        ModelSpec(
            name="sface",
            task="embedding",
            family="arcface",
            source="https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/"
            "face_recognition_sface_2021dec.onnx",
            sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
            size_bytes=38_696_353,
            licence="Apache-2.0",
            trained_on="CASIA-WebFace, VGGFace2, MS1MV2 (Zhong et al., 2021)",
            input_size=(112, 112),
            threshold=SFACE.tolerance,
            space=SFACE,
            crop=FaceCrop(mean=0.0, scale=1.0),
        ),
        ModelSpec(
            name="dlib_landmarks_5",
            task="alignment",
            family="dlib_landmarks",
            source=_DLIB + "shape_predictor_5_face_landmarks.dat",
            sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
            size_bytes=9_150_489,
            licence="public domain (CC0)",
            trained_on="7,198 faces of dlib's own 5-point set (Davis King, 2017)",
        ),
        ModelSpec(
            name="dlib_landmarks_68",
            task="landmarks",
            family="dlib_landmarks",
            source=_DLIB + "shape_predictor_68_face_landmarks.dat",
            sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
            size_bytes=99_693_937,
            licence="research only: trained on iBUG 300-W, whose terms exclude commercial use. "
            "Loaded only when a caller of the drop-in asks for 68 points",
            trained_on="iBUG 300-W",
        ),
        ModelSpec(
            name="mmod",
            task="detection",
            family="mmod",
            source=_DLIB + "mmod_human_face_detector.dat",
            sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
            size_bytes=729_940,
            licence="public domain (CC0)",
            trained_on="photos of ImageNet, AFLW, Pascal VOC, VGG, WIDER and FaceScrub (Davis King, 2016)",
            threshold=0.0,
        ),
        ModelSpec(
            name="hog",
            task="detection",
            family="hog",
            source="bundled:hog.npz",
            sha256="05f651b2ae8758ac9a8cd3f30053a43416cd1bed4db48ead252fcaba598b08aa",
            size_bytes=62_540,
            licence="Boost Software License 1.0 (values of dlib's frontal_face_detector.h)",
            trained_on="Labeled Faces in the Wild (Davis King, 2014)",
            threshold=0.0,
        ),
        ModelSpec(
            name="compact",
            task="detection",
            family="compact",
            source="bundled:detector.onnx",
            sha256="e1163dad65f601f6c8a7c6b53a5aa9951bb8463402109b8becabd2f02d91a5ed",
            size_bytes=598_991,
            licence="made for mien from photos for research only; see its model card, weights/detector.md",
            trained_on="photos of CACD-VS, UTKFace, crowds, scenes and face-free photos, as yunet_n sees them",
            threshold=0.63,
        ),
        ModelSpec(
            name="verifier",
            task="face verification",
            family="verifier",
            source="bundled:verifier.onnx",
            sha256="f3e87918a5f929dd42065417a6f346989b2e81cb6e8eba537486fa86f8f0606a",
            size_bytes=322_757,
            licence="made for mien from photos for research only; see its model card, weights/detector.md",
            trained_on="what `compact` proposes in those photos and in pictures of things from Debian's packages",
            input_size=(48, 48),
        ),
        ModelSpec(
            name="angle",
            task="which way up",
            family="angle",
            source="bundled:angle.onnx",
            sha256="bdf41c0ab24090b29ae9d90ac4f779cefd3da2b658417e0306dcffc2db65af5c",
            size_bytes=172_407,
            licence="made for mien from photos for research only; see its model card, weights/detector.md",
            trained_on="what `compact` proposes in photos of UTKFace, All-Age-Faces, CACD-VS, the US Congress,"
            " AffectNet, FFHQ, crowds, scenes and hands, turned by any angle",
            input_size=(48, 48),
        ),
        ModelSpec(
            name="points",
            task="five points of a face",
            family="points",
            source="bundled:points.onnx",
            sha256="b7dc2a1de897bf10d08d5cabe425306cd0b7f8bd37aa29d33f25b1655abb1dbd",
            size_bytes=73_429,
            licence="made for mien from photos for research only; see its model card, weights/detector.md",
            trained_on="faces of UTKFace, All-Age-Faces, CACD-VS, the US Congress, AffectNet, FFHQ, crowds and scenes,"
            " as MediaPipe's face landmarker sees them",
            input_size=(64, 64),
        ),
        ModelSpec(
            name="yunet",
            task="detection",
            family="yunet",
            source="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
            "face_detection_yunet_2023mar.onnx",
            sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            size_bytes=232_589,
            licence="MIT",
            trained_on="WIDER FACE",
            threshold=0.6,
        ),
        ModelSpec(
            name="attributes",
            task="attributes",
            family="attributes",
            source="bundled:attributes.onnx",
            sha256="60e512c7a3ea4e17cd20be36103895c038e3e7b5474439b51590c6021df61890",
            size_bytes=888_132,
            licence="ours; heads on dlib's face ResNet (public domain), trained on UTKFace (non-commercial research), "
            "All-Age-Faces (for research) and portraits of the US Congress: see attributes.md before commercial use",
            trained_on="UTKFace, All-Age-Faces, portraits of the US Congress",
            labels=("age", "gender"),
        ),
        ModelSpec(
            name="emotion",
            task="emotion",
            family="emotion",
            source="bundled:emotion.onnx",
            sha256="e383e82bb11e91cf94e7eb577151a425909d1d118e829f2b77409a5230c2d74e",
            size_bytes=4_736_872,
            licence="ours; begun from dlib's face ResNet (public domain), trained on pictures for research only "
            "(FER2013, AffectNet, FFHQ, UTKFace, All-Age-Faces): see emotion.md before commercial use",
            trained_on="FER+, AffectNet, FFHQ; without emotion labels UTKFace, All-Age-Faces, portraits",
            input_size=(150, 150),
            labels=(
                "neutral",
                "happiness",
                "surprise",
                "sadness",
                "anger",
                "disgust",
                "fear",
                "contempt",
            ),
        ),
        ModelSpec(
            name="antispoof_v2",
            task="liveness",
            family="antispoof",
            source=_MINIVISION + "2.7_80x80_MiniFASNetV2.pth",
            sha256="a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0",
            size_bytes=1_849_453,
            licence="Apache-2.0; not measured here, see its model card, weights/antispoof.md",
            trained_on="photos of minivision-ai's own, not published (2020)",
            input_size=(80, 80),
            labels=("live", "spoof"),
            scale=2.7,
        ),
        ModelSpec(
            name="antispoof_v1se",
            task="liveness",
            family="antispoof",
            source=_MINIVISION + "4_0_0_80x80_MiniFASNetV1SE.pth",
            sha256="84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990",
            size_bytes=1_856_130,
            licence="Apache-2.0; not measured here, see its model card, weights/antispoof.md",
            trained_on="photos of minivision-ai's own, not published (2020)",
            input_size=(80, 80),
            labels=("live", "spoof"),
            scale=4.0,
        ),
        ModelSpec(
            name="face_landmarker",
            task="points, pose, blink, blendshapes",
            family="face_landmarker",
            source="https://storage.googleapis.com/mediapipe-models/face_landmarker/"
            "face_landmarker/float16/1/face_landmarker.task",
            sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            size_bytes=3_758_596,
            licence="Apache-2.0; see its model card, weights/face_landmarker.md",
            trained_on="photos and films of Google's own, not published (2023)",
            input_size=(256, 256),
        ),
    )
}


def asked_as(spec: ModelSpec) -> str:
    """What to ask for to get it with all that works with it: the family's name where that has several downloads."""
    together = [
        row for row in ZOO.values() if row.family == spec.family and not row.bundled
    ]
    return spec.family if len(together) > 1 else spec.name


def specs_of(name: str) -> tuple[ModelSpec, ...]:
    """The rows of a model or of a family that is asked for as one.

    Raises:
        ModelError: Nothing has that name.
    """
    name = name.replace("-", "_")
    together = tuple(row for row in ZOO.values() if asked_as(row) == name)
    return together or (spec_of(name),)


def spec_of(name: str) -> ModelSpec:
    """The row of a model.

    Raises:
        ModelError: No model has that name.
    """
    try:
        return ZOO[name]
    except KeyError:
        known = f"there are {', '.join(ZOO)}"
        raise ModelError(
            f"no model is called {name!r}{did_you_mean(name, ZOO) or f'; {known}'}"
        ) from None
