"""Whether a face is there itself or shown on paper or a screen: two small networks that see it with its surroundings.

What they can do was not measured here, and what they cannot is in weights/antispoof.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from mien import store
from mien.attribute import Attribute
from mien.errors import SpoofError
from mien.models.attributes import minifasnet
from mien.runtime import Compute, OnnxModel, in_chunks
from mien.types import F32, U8, Faces, Mask, Scores
from mien.zoo import ZOO

FAMILY = "antispoof"
LIVE = Attribute(
    "live",
    labels=("live", "spoof"),
    half_life_s=1.0,
    order=60,
    show="{value}",
    sure_from=0.9,  # chosen, not measured
    colours={"live": (106, 153, 78), "spoof": (224, 58, 62)},
    caution="a hint, no proof: good prints, masks and fed-in videos pass; let no door open by it alone",
)
_REAL = 1  # of a network's three classes; the others are kinds of spoof
_VERSION = 1  # raise it when the conversion changes


class AntiSpoof:
    """The stage that tells `live`: the mean of networks, each of which sees a face at a scale of its own.

    Args:
        networks: By how many sizes of the face's box they see.
    """

    attributes = (LIVE,)

    def __init__(self, networks: dict[float, OnnxModel]) -> None:
        self.networks = networks

    @classmethod
    def load(cls, compute: Compute | None = None) -> AntiSpoof:
        """Both published networks.

        Raises:
            ModelError: They are not on this machine; says how to get them.
        """
        networks = {}
        for spec in ZOO.values():
            if spec.family != FAMILY or spec.scale is None:
                continue
            convert = partial(minifasnet.to_onnx, name=spec.name)
            data = store.derived(spec, convert, version=_VERSION)
            networks[spec.scale] = OnnxModel(data, spec.name, compute)
        return cls(networks)

    def __call__(self, image: U8, faces: Faces) -> Faces:
        if not len(faces):
            nobody = np.zeros((0, LIVE.size), np.float32)
            return faces.with_attributes(Scores(LIVE, nobody))
        told = [
            in_chunks(network, crops_of(image, faces.boxes, scale=scale))[0][:, _REAL]
            for scale, network in self.networks.items()
        ]
        real = np.mean(told, axis=0)
        probs = np.stack([real, 1 - real], axis=1).astype(np.float32)
        return faces.with_attributes(Scores(LIVE, probs))


def load_antispoof(compute: Compute | None) -> AntiSpoof:
    """The door's factory."""
    return AntiSpoof.load(compute)


def crops_of(image: U8, boxes: F32, *, scale: float) -> F32:
    """What the networks see of faces: float32 (N, 3, 80, 80), BGR 0 to 255.

    A crop has the sides of the box (4,) times `scale`, or of the largest that the picture holds, about the same centre
    but moved into the picture; then it is made a square. So the original cuts it.
    """
    height, width = image.shape[:2]
    limits = np.array([width - 1, height - 1], np.float64)
    crops = []
    for box in boxes.astype(np.float64):
        sides = np.maximum(box[2:] - box[:2], 1)
        sides = sides * min(scale, *(limits / sides))
        low = ((box[:2] + box[2:]) - sides) / 2
        low = np.clip(low, 0, limits - sides)
        (x1, y1), (x2, y2) = low.astype(int), (low + sides).astype(int)
        cut = image[y1 : y2 + 1, x1 : x2 + 1]
        crops.append(cv2.resize(cut, (minifasnet.SIDE, minifasnet.SIDE)))
    return np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32)


def alive(faces: Faces) -> Mask:
    """Which faces (N,) are rather alive than not; of whom nobody knows is not."""
    told = faces.attributes.get(LIVE.name)
    if told is None:
        return np.zeros(len(faces), np.bool_)
    return np.asarray(told.probs[:, 0] > 0.5, np.bool_)


def named_if_alive(faces: Faces) -> Faces:
    """The faces with names for those only that are rather alive than not."""
    matches, real = faces.matches, alive(faces)
    if matches is None or real.all():
        return faces
    names = tuple(
        name if ok else None for name, ok in zip(matches.names, real, strict=True)
    )
    likely = matches.probabilities
    return replace(
        faces,
        matches=replace(
            matches,
            names=names,
            distances=np.where(real, matches.distances, np.float32(np.nan)),
            probabilities=None
            if likely is None
            else np.where(real, likely, np.float32(np.nan)),
        ),
    )


def refuse_spoof(faces: Faces, *, source: str) -> None:
    """Nothing, unless one of these faces is surely a spoof.

    Raises:
        SpoofError: One is.
    """
    told = faces.attributes[LIVE.name]
    surely = told.probs[:, 1] >= LIVE.sure_from
    if surely.any():
        raise SpoofError(
            f"the face in {source} seems to be a picture or a screen held up "
            f"({told.probs[:, 1].max():.0%}); take a photo of the person, or leave out the test for liveness"
        )
