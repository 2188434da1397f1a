"""A model of one's own that reads what mien's networks saw instead of pixels: one more attribute for next to nothing.

`mien train` makes such files. Their inputs are named after outputs, any of the backbone's `embedding` (N, 128),
`map_128` (N, 128, 8, 8) and `map_256` (N, 256, 4, 4), and `look` (N, 512) of the emotion network. Their metadata
`preprocessing` says `{"reads": "backbone", "network": …}`, the latter the first digits of that network's sha256.
"""

from __future__ import annotations

from collections.abc import Mapping

from mien.attribute import Attribute
from mien.dlib_models.resnet import EMBEDDING, MAP_128, MAP_256
from mien.errors import ModelError
from mien.models.attributes.heads import EMOTION_FEATURES, described, of_views
from mien.models.classifier import as_probabilities, labels_of
from mien.runtime import OnnxModel
from mien.text import from_json
from mien.types import F32, Faces, Scores
from mien.zoo import spec_of

_READS_BACKBONE = ("backbone", "trunk")  # the second in files of mien 0.1
READABLE = (EMBEDDING, MAP_128, MAP_256, EMOTION_FEATURES)


class BackboneHead:
    """Adds one attribute from what the backbone's pass over the faces gave anyway.

    Raises:
        ModelError: The model carries no labels, has an input that no network gives, or reads another version of one.
    """

    def __init__(self, model: OnnxModel, name: str) -> None:
        self.model = model
        self.labels = labels_of(model)
        self.attribute = described(name, self.labels)
        unknown = [name for name in model.inputs if name not in READABLE]
        if unknown:
            raise ModelError(
                f"{model.name} reads {', '.join(unknown)}; mien's networks give {', '.join(READABLE)}"
            )
        if (
            EMOTION_FEATURES in model.inputs
            and _preprocessing(model).get("network") != network_version()
        ):
            raise ModelError(
                f"{model.name} learnt from another emotion network than this mien has; train it again"
            )

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return (self.attribute,)

    @property
    def reads(self) -> tuple[str, ...]:
        """Which of the backbone's outputs it needs."""
        return tuple(self.model.inputs)

    def __call__(self, faces: Faces, answers: Mapping[str, F32]) -> Faces:
        """The faces (N) with the attribute, the mean of their views, from the backbone's outputs by name."""
        (outputs,) = self.model(
            *(answers[name] for name in self.reads), outputs=self.model.outputs[:1]
        )
        return faces.with_attributes(
            Scores(self.attribute, of_views(as_probabilities(outputs), faces))
        )


def reads_backbone(model: OnnxModel) -> bool:
    """Whether a model file is for `BackboneHead`; every other one reads pixels."""
    return _preprocessing(model).get("reads") in _READS_BACKBONE


def network_version() -> str:
    """Which emotion network a head has learnt from that reads `look`."""
    return spec_of("emotion").sha256[:12]


def _preprocessing(model: OnnxModel) -> dict[str, object]:
    try:
        given = from_json(model.metadata.get("preprocessing", "null"))
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
