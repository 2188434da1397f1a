"""Model files of the user's, each as what can run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.attribute import check_attribute_name
from mien.errors import ModelError
from mien.models.attributes.heads import EMOTION_FEATURES, EmotionNet
from mien.models.backbone import FaceBackbone
from mien.models.backbone_head import BackboneHead, reads_backbone
from mien.models.classifier import Classifier, read_model
from mien.runtime import Compute
from mien.types import Faces

OwnModel = Classifier | BackboneHead

_SIDE, _CHIP = 160, 150  # pixels


def load_own(
    file: Path, name: str, compute: Compute | None = None, *, crops: int = 1
) -> OwnModel:
    """A model file that tells the attribute `name`, by pixels (in `crops` crops) or by what the backbone sees.

    Raises:
        InputError: No attribute can have this name.
        ModelError: Unreadable, no network, without labels, or with labels that cannot tell the attribute.
    """
    check_attribute_name(name)
    model = read_model(file, compute)
    return (
        BackboneHead(model, name)
        if reads_backbone(model)
        else Classifier(model, name, crops)
    )


def try_out(own: OwnModel, backbone: FaceBackbone) -> None:
    """Runs a model once, on two faces of nobody: that a file can be loaded does not say that it works.

    Raises:
        ModelError: It does not.
    """
    image = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
    try:
        if isinstance(own, BackboneHead):
            chips = np.full((2, _CHIP, _CHIP, 3), 128, np.uint8)
            net = (
                EmotionNet.load(tells=False)
                if EMOTION_FEATURES in own.reads and backbone.net is None
                else backbone.net
            )
            told = FaceBackbone(backbone.model, backbone.aligner, net, [own]).describe(
                chips, _two_faces()
            )
        else:
            told = own(image, _two_faces())
        probs = [scores.probs for scores in told.attributes.values()]
    except (ValueError, IndexError, TypeError) as exc:
        raise ModelError(
            f"{own.model.name} gives no probabilities of its {len(own.labels)} labels: {exc}"
        ) from exc
    if not all(np.isfinite(values).all() for values in probs):
        raise ModelError(
            f"{own.model.name} gives numbers that are no probabilities; export it anew"
        )


def _two_faces() -> Faces:
    corners = np.array([40, 40, 120, 120], np.float32)
    points = np.array([[60, 70], [100, 70], [80, 90], [65, 105], [95, 105]], np.float32)
    return Faces(
        np.stack([corners] * 2), np.ones(2, np.float32), np.stack([points] * 2)
    )
