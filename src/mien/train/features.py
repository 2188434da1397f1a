"""What a frozen network sees in every picture, computed once and kept in the user's cache (bottlenecks)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import store
from mien.errors import InputError
from mien.media import images
from mien.models.attributes.heads import EMOTION_FEATURES, EmotionNet
from mien.models.backbone import Aligner, FaceBackbone, described_by, load_resnet
from mien.models.backbone_head import READABLE, network_version
from mien.models.detectors.base import MIN_FACE, Detector, load_detector
from mien.pipeline import DEFAULT_DETECTOR
from mien.runtime import Compute
from mien.train.dataset import Dataset
from mien.train.faces import TrainingFace, chip_views, find_face
from mien.types import F32

F16 = NDArray[np.float16]

_VERSION = 2  # raise it when what is kept changes
_FOLDER = "bottlenecks"
_BACKBONE_OUTPUTS = tuple(name for name in READABLE if name != EMOTION_FEATURES)
Progress = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The pictures of a data set that could be read, and the networks' answers.

    `answers` maps each of their outputs to (N, views, ...) float16, the plain view first; `digests` are the
    files' sha256; `found` (N,) tells where a detector saw the face; `skipped` says why others were left out.
    """

    data: Dataset
    digests: tuple[str, ...]
    found: NDArray[np.bool_]
    answers: dict[str, F16]
    skipped: tuple[str, ...]

    @property
    def descriptors(self) -> F32:
        """dlib's descriptors (N, 128) of the plain views."""
        return self.answers["embedding"][:, 0].astype(np.float32)


class Describer:
    """Finds the face of a picture file and lets the networks see it; answers are kept by the file's content.

    Args:
        detector: Finds the faces.
        backbone: Cuts their chips; dlib's face ResNet and the emotion network.
        views: Chips per picture: the plain one, its mirror image, then disturbed ones.
        described_by: All that decides the answers, see `backbone.described_by`; None: nothing is kept.
    """

    def __init__(
        self,
        detector: Detector,
        backbone: FaceBackbone,
        *,
        views: int = 2,
        described_by: str | None = None,
    ) -> None:
        self.described_by = described_by
        self.detector = detector
        self.backbone = backbone
        self.views = views

    @classmethod
    def load(
        cls,
        *,
        views: int = 2,
        detector: str = DEFAULT_DETECTOR,
        compute: Compute | None = None,
    ) -> Describer:
        found = load_detector(detector, compute=compute)
        networks = FaceBackbone(
            load_resnet(compute),
            Aligner.load(found.aligns_by),
            EmotionNet.load(compute, tells=False),
        )
        kept_as = f"{network_version()}-{described_by(detector, min_face=MIN_FACE)}"
        return cls(
            found,
            networks,
            views=views,
            described_by=kept_as,
        )

    def face(self, file: Path) -> TrainingFace:
        """The face of a picture file.

        Raises:
            InputError: The file is no picture.
        """
        return find_face(self.detector, images.read_image(file))

    def face_in(self, content: bytes) -> TrainingFace:
        """The face of a picture's bytes."""
        return find_face(self.detector, images.read_image(content))

    def __call__(self, content: bytes, digest: str) -> tuple[bool, dict[str, F16]]:
        """Whether a face was found, and the networks' outputs (views, ...) for it.

        One picture is one batch, whatever is in the cache already, so that a resumed run sees the very same numbers.
        """
        key = f"backbone-{self.described_by}-v{_VERSION}-{self.views}-{digest}"
        kept = store.read_entry(_FOLDER, key) if self.described_by else None
        if kept is None:
            kept = self._describe(content, digest)
            if self.described_by:
                store.write_entry(_FOLDER, key, kept)
        with np.load(io.BytesIO(kept), allow_pickle=False) as entry:
            return bool(entry["found"]), {name: entry[name] for name in READABLE}

    def _describe(self, content: bytes, digest: str) -> bytes:
        face = self.face_in(content)
        chips = chip_views(
            face, self.backbone.aligner, views=self.views, seed=int(digest[:8], 16)
        )
        answers = dict(
            zip(
                _BACKBONE_OUTPUTS,
                self.backbone.model(chips, outputs=_BACKBONE_OUTPUTS),
                strict=True,
            )
        )
        if self.backbone.net is not None:
            answers |= self.backbone.net.answers(chips)
        packed = io.BytesIO()
        kept = {name: answer.astype(np.float16) for name, answer in answers.items()}
        np.savez(packed, allow_pickle=False, found=np.array(face.found), **kept)
        return packed.getvalue()


def describe(
    data: Dataset, describer: Describer, progress: Progress = lambda done, total: None
) -> FeatureTable:
    """The networks' answers to all pictures; those that cannot be read are left out and named in `skipped`.

    Raises:
        InputError: No picture could be read, or in none of them a face was found.
    """
    kept: list[int] = []
    digests: list[str] = []
    found: list[bool] = []
    answers: list[dict[str, F16]] = []
    skipped: list[str] = []
    for i, item in enumerate(data.items):
        try:
            content = images.read_bytes(item.file)
            digest = hashlib.sha256(content).hexdigest()
            seen, answer = describer(content, digest)
        except InputError as exc:
            skipped.append(named(exc, item.file))
        else:
            kept.append(i)
            digests.append(digest)
            found.append(seen)
            answers.append(answer)
        progress(i + 1, len(data))
    _check(data, found, skipped)
    columns = {
        name: np.stack([answer[name] for answer in answers]) for name in READABLE
    }
    return FeatureTable(
        data.take(kept),
        tuple(digests),
        np.array(found, dtype=np.bool_),
        columns,
        tuple(skipped),
    )


def named(error: InputError, file: Path) -> str:
    """Why a picture file was left out, with its name."""
    text = str(error)
    return text if str(file) in text else f"{file}: {text.removeprefix('the picture ')}"


def _check(data: Dataset, found: Sequence[bool], skipped: Sequence[str]) -> None:
    if not found:
        raise InputError(
            f"none of the {len(data)} pictures of {data.name} can be read; the first: {skipped[0]}"
        )
    if not any(found):
        raise InputError(
            f"no face was found in any of the {len(found)} pictures of {data.name}; are they pictures of faces, "
            "upright, with the face at least half the height?"
        )
