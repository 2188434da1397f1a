"""Age and gender by heads on the embedder's pass; emotion by a network of its own that looks at the same chips."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace

from mien import store
from mien.attribute import Attribute, Groups, Scores
from mien.dlib_models.resnet import EMBEDDING, MAP_128, MAP_256
from mien.errors import ModelError
from mien.runtime import Compute, OnnxModel, for_small, in_chunks
from mien.types import F32, U8, Faces
from mien.zoo import spec_of

# Adience's eight groups (Levi-Hassner 2015) and the first age of each when every age falls into one: the cuts lie
# half-way between the end of a group and the start of the next.
AGE_GROUPS = Groups(
    name="age_group",
    labels=(
        "(0, 2)",
        "(4, 6)",
        "(8, 12)",
        "(15, 20)",
        "(25, 32)",
        "(38, 43)",
        "(48, 53)",
        "(60, 100)",
    ),
    starts=(0, 3, 7, 14, 23, 35, 46, 57),
)
# What the emotion network saw, (N, 512), by its name in model files: for heads of one's own.
EMOTION_FEATURES = "look"
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
GENDER = Attribute(
    "gender",
    labels=("female", "male"),
    order=10,
    show="{value}",
    sure_from=0.59,  # chosen on held-out parts: 95 % of what is said from there on is right, see weights/attributes.md
    caution=_CAUTION,
)
EMOTION = Attribute(
    "emotion",
    labels=spec_of("emotion").labels,
    half_life_s=0.5,
    order=30,
    show="{value}",
    sure_from=0.72,  # chosen on held-out parts: 90 % of what is said from there on is right
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
TRAITS = {attribute.name: attribute for attribute in (AGE, GENDER)}


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
        return replace(
            ours, labels=labels, sure_from=0.0
        )  # the bound is that of our own network
    if ours.groups is not None and labels == ours.groups.labels:
        return replace(ours, values=())
    try:
        years = tuple(map(float, labels))
    except ValueError as exc:
        raise ModelError(
            "an age model's labels must be years (0, 1, 2, …) or the eight age groups"
        ) from exc
    return replace(ours, values=years)


class TraitHeads:
    """Age and gender, which stay: heads on dlib's face ResNet, whose pass tells who a face is anyway.

    `only` names those wanted.
    """

    reads = (EMBEDDING, MAP_128, MAP_256)

    def __init__(self, model: OnnxModel, *, only: Set[str] = TRAITS.keys()) -> None:
        self.model = model
        self.attributes = tuple(
            attribute for name, attribute in TRAITS.items() if name in only
        )

    @classmethod
    def load(
        cls, only: Set[str] = TRAITS.keys(), compute: Compute | None = None
    ) -> TraitHeads:
        spec = spec_of("attributes")
        model = OnnxModel(store.read(spec), spec.name, for_small(compute))
        return cls(model, only=only)

    def __call__(self, faces: Faces, answers: Mapping[str, F32]) -> Faces:
        """The faces (N) with the mean of what each of their views tells; the ResNet's answers come view by view."""
        names = [attribute.name for attribute in self.attributes]
        views = self.model(
            *(answers[name] for name in self.model.inputs), outputs=names
        )
        return faces.with_attributes(
            *(
                Scores(a, of_views(v, faces))
                for a, v in zip(self.attributes, views, strict=True)
            )
        )


def of_views(probs: F32, faces: Faces) -> F32:
    """The mean (N, K) of what each view of the faces tells; the views' rows stand behind each other."""
    mean: F32 = probs.reshape(-1, len(faces), probs.shape[1]).mean(axis=0)
    return mean


class EmotionNet:
    """Emotion, which changes from one moment to the next: a network of its own, 1.7 times as fast as the ResNet."""

    attribute = EMOTION

    def __init__(self, model: OnnxModel, *, tells: bool = True) -> None:
        self.model = model
        self.attributes = (EMOTION,) if tells else ()

    @classmethod
    def load(cls, compute: Compute | None = None, *, tells: bool = True) -> EmotionNet:
        """`tells` off: only for heads of one's own that read what it saw."""
        spec = spec_of("emotion")
        return cls(OnnxModel(store.read(spec), spec.name, compute), tells=tells)

    def answers(self, chips: U8) -> dict[str, F32]:
        """What its pass over chips (N, 150, 150, 3) uint8 BGR gives: probabilities (N, 8), and what it saw (N, 512)."""
        names = (EMOTION.name, EMOTION_FEATURES)
        return dict(
            zip(names, in_chunks(self.model, chips, outputs=names), strict=True)
        )

    def told(self, faces: Faces, answers: Mapping[str, F32]) -> Faces:
        """The faces with the emotion that its answers tell, the mean of their views."""
        return faces.with_attributes(
            *(Scores(a, of_views(answers[a.name], faces)) for a in self.attributes)
        )
