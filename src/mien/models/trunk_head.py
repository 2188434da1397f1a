"""A model of one's own that reads the trunk's answer instead of pixels: one more attribute for next to nothing.

`mien train` makes such files. Their inputs are named after the trunk's outputs, any of `embedding` (N, 128),
`map_128` (N, 128, 8, 8) and `map_256` (N, 256, 4, 4); their metadata `preprocessing` says `{"reads": "trunk"}`.
"""

from __future__ import annotations

from collections.abc import Mapping

from mien.dlib_models.resnet import EMBEDDING, MAP_128, MAP_256
from mien.errors import ModelError
from mien.models.attributes import described
from mien.models.classifier import as_probabilities, labels_of
from mien.runtime import OnnxModel
from mien.text import from_json
from mien.types import F32, Faces, Scores

READABLE = (EMBEDDING, MAP_128, MAP_256)


class TrunkHead:
    """Adds one attribute from what the trunk's pass over the faces gave anyway.

    Raises:
        ModelError: The model carries no labels, or has an input that the trunk does not give.
    """

    def __init__(self, model: OnnxModel, name: str) -> None:
        self.model = model
        self.labels = labels_of(model)
        self.attribute = described(name, self.labels)
        unknown = [name for name in model.inputs if name not in READABLE]
        if unknown:
            raise ModelError(f"{model.name} reads {', '.join(unknown)}; the trunk gives {', '.join(READABLE)}")

    @property
    def reads(self) -> tuple[str, ...]:
        """Which of the trunk's outputs it needs."""
        return tuple(self.model.inputs)

    def __call__(self, faces: Faces, answers: Mapping[str, F32]) -> Faces:
        """The faces (N) with the attribute, from the trunk's outputs (N, ...) by name."""
        (outputs,) = self.model(*(answers[name] for name in self.reads), outputs=self.model.outputs[:1])
        return faces.with_attributes(Scores(self.attribute, as_probabilities(outputs)))


def reads_trunk(model: OnnxModel) -> bool:
    """Whether a model file is for `TrunkHead`; every other one reads pixels."""
    try:
        given = from_json(model.metadata.get("preprocessing", "null"))
    except ValueError:
        return False
    return isinstance(given, dict) and given.get("reads") == "trunk"
