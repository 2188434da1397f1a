"""Age, gender and emotion from the inner maps of dlib's face ResNet, by small heads of our own."""

from __future__ import annotations

from dataclasses import replace

from mien import store
from mien.attribute import Attribute, Groups, Scores
from mien.errors import ModelError
from mien.runtime import Compute, OnnxModel
from mien.types import F32, Faces
from mien.zoo import ModelSpec, spec_of

# Adience's eight groups (Levi-Hassner 2015) and the first age of each when every age falls into one: the cuts lie
# half-way between the end of a group and the start of the next.
AGE_GROUPS = Groups(
    name="age_group",
    labels=("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)"),
    starts=(0, 3, 7, 14, 23, 35, 46, 57),
)
_CAUTION = "a guess at how a face looks; decide nothing about a person by it"
AGE = Attribute(
    "age",
    values=tuple(map(float, range(101))),
    groups=AGE_GROUPS,
    unit="years",
    order=20,
    show="{value}",
    caution=_CAUTION,
)
GENDER = Attribute("gender", labels=("female", "male"), order=10, show="{value}", caution=_CAUTION)
EMOTION = Attribute(
    "emotion",
    labels=("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    half_life_s=0.5,
    order=30,
    show="{value}",
    colours={
        "neutral": (150, 156, 164),
        "happiness": (255, 200, 61),
        "surprise": (250, 130, 49),
        "sadness": (69, 123, 214),
        "anger": (224, 58, 62),
        "disgust": (106, 153, 78),
        "fear": (139, 92, 214),
        "contempt": (176, 120, 100),
    },
    caution=_CAUTION,
)
BUILT_IN = {attribute.name: attribute for attribute in (AGE, GENDER, EMOTION)}


def described(name: str, labels: tuple[str, ...]) -> Attribute:
    """The attribute that a model with these labels tells under a name.

    Where we know the name (age, gender, emotion), it is told like ours; an age by labels that are years or groups.

    Raises:
        InputError: The name or the labels cannot be those of an attribute.
        ModelError: It is to tell ages, and its labels are neither years nor the eight age groups.
    """
    ours = BUILT_IN.get(name)
    if ours is None:
        return Attribute(name, labels)
    if ours.labels:
        return replace(ours, labels=labels)
    if ours.groups is not None and labels == ours.groups.labels:
        return replace(ours, values=())
    return replace(ours, values=_years(labels))


def _years(labels: tuple[str, ...]) -> tuple[float, ...]:
    try:
        return tuple(map(float, labels))
    except ValueError as exc:
        raise ModelError("an age model's labels must be years (0, 1, 2, …) or the eight age groups") from exc


class AttributeHeads:
    """Reads the heads: `only` names those wanted of the built-in attributes."""

    def __init__(self, model: OnnxModel, *, only: frozenset[str] = frozenset(BUILT_IN)) -> None:
        self.model = model
        self.attributes = tuple(attribute for name, attribute in BUILT_IN.items() if name in only)

    @classmethod
    def load(cls, only: frozenset[str], compute: Compute | None = None) -> AttributeHeads:
        spec: ModelSpec = spec_of("attributes")
        return cls(OnnxModel(store.read(spec), spec.name, compute), only=only)

    def __call__(self, faces: Faces, map_128: F32, map_256: F32) -> Faces:
        """The faces (with embeddings) and what the heads make of map_128 (N, 128, 8, 8) and map_256 (N, 256, 4, 4)."""
        if faces.embeddings is None:
            raise ValueError("the heads read the descriptors too: run the trunk first")
        names = [attribute.name for attribute in self.attributes]
        answers = self.model(map_128, map_256, faces.embeddings, outputs=names)
        return faces.with_attributes(*map(Scores, self.attributes, answers))
