from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

from mien import Analyzer
from mien.models.attributes.heads import BUILT_IN, EmotionNet, TraitHeads, described
from mien.models.backbone import Aligner, FaceBackbone, load_resnet
from mien.runtime import Compute
from mien.types import U8, Faces

FACE = np.array(
    [[176, 66, 272, 162]], np.float32
)  # the astronaut's, as dlib draws boxes
ONE = Compute("cpu", 1)


@pytest.fixture(scope="module")
def backbone() -> FaceBackbone:
    return FaceBackbone(
        load_resnet(ONE),
        Aligner.load("box"),
        EmotionNet.load(ONE),
        [TraitHeads.load(compute=ONE)],
    )


def astronaut() -> U8:
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def face(box: np.ndarray = FACE) -> Faces:
    return Faces(
        box, np.ones(len(box), np.float32), np.zeros((len(box), 5, 2), np.float32)
    )


def grey(image: U8) -> U8:
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


def mirrored(image: U8) -> U8:
    return np.ascontiguousarray(image[:, ::-1])


def dark(image: U8) -> U8:
    return (image * 0.5).astype(np.uint8)


MIRRORED_FACE = np.array([[511 - 272, 66, 511 - 176, 162]], np.float32)


@pytest.mark.parametrize(
    ("change", "box"),
    [
        (np.ascontiguousarray, FACE),
        (grey, FACE),
        (dark, FACE),
        (mirrored, MIRRORED_FACE),
        (np.ascontiguousarray, FACE + np.float32(5)),
        (np.ascontiguousarray, FACE + np.array([[-5, -5, 5, 5]], np.float32)),
    ],
    ids=["as it is", "grey", "dark", "mirrored", "box moved", "box larger"],
)
def test_the_astronaut_is_a_smiling_woman_of_about_thirty(
    backbone: FaceBackbone, change: Callable[[U8], U8], box: np.ndarray
) -> None:
    (found,) = backbone(change(astronaut()), face(box))
    assert found.gender == "female"
    assert found.emotion == "happiness"
    assert 22 <= found.age <= 42


def test_every_row_of_every_attribute_sums_to_one(backbone: FaceBackbone) -> None:
    boxes = np.concatenate([FACE, FACE + 60, FACE - 40]).astype(np.float32)
    faces = backbone(astronaut(), face(boxes))
    assert {
        name: scores.attribute for name, scores in faces.attributes.items()
    } == BUILT_IN
    for scores in faces.attributes.values():
        np.testing.assert_allclose(scores.probs.sum(axis=1), 1, atol=1e-5)
        assert scores.probs.dtype == np.float32
        assert (scores.probs >= 0).all()


def test_no_faces_keep_every_column(backbone: FaceBackbone) -> None:
    empty = Faces(
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 5, 2), np.float32),
    )
    for seen in (backbone(astronaut(), empty), backbone.tell(astronaut(), empty)):
        shapes = {name: scores.probs.shape for name, scores in seen.attributes.items()}
        assert shapes == {"age": (0, 101), "gender": (0, 2), "emotion": (0, 8)}
        assert {
            name: scores.attribute for name, scores in seen.attributes.items()
        } == BUILT_IN


def test_a_face_is_described_the_same_alone_and_in_company(
    backbone: FaceBackbone,
) -> None:
    alone = backbone(astronaut(), face())
    both = backbone(
        astronaut(), face(np.concatenate([FACE - 40, FACE]).astype(np.float32))
    )
    assert both.face(1).age == pytest.approx(alone.face(0).age, abs=1e-2)
    np.testing.assert_allclose(
        both.attributes["emotion"].probs[1],
        alone.attributes["emotion"].probs[0],
        atol=1e-3,
    )


@pytest.mark.parametrize(
    "only",
    [{"gender"}, {"emotion"}, {"age"}, {"age", "emotion"}],
    ids=lambda only: "+".join(sorted(only)),
)
def test_only_what_is_wanted_is_computed(only: set[str]) -> None:
    (found,) = Analyzer(only=sorted(only), threads=1).analyze(astronaut()).faces
    assert set(found.attributes) == only
    assert found.embedding is None


def test_what_a_face_looks_like_is_told_without_saying_who_it_is(
    backbone: FaceBackbone,
) -> None:
    told, described_too = (
        backbone.tell(astronaut(), face()),
        backbone(astronaut(), face()),
    )
    assert told.embeddings is None
    for name, scores in described_too.attributes.items():
        np.testing.assert_allclose(told.attributes[name].probs, scores.probs, atol=1e-5)


@pytest.mark.parametrize("only", [["emotion"], None], ids=["photo", "glance"])
def test_emotion_does_without_the_descriptors_network(
    only: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzer = Analyzer(only=only, threads=1)
    monkeypatch.setattr(analyzer.backbone, "model", None)
    faces = analyzer.detector(astronaut())
    (found,) = (
        analyzer.describe(astronaut(), faces)
        if only
        else analyzer.glance(astronaut(), faces)
    )
    assert list(found.attributes) == ["emotion"]
    assert found.emotion == "happiness"


@pytest.mark.parametrize("fast", [False, True], ids=["two views", "fast"])
def test_age_is_the_same_whether_or_not_it_is_told_who_it_is(
    backbone: FaceBackbone, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "fast", fast)
    (named,), (told,) = (
        backbone(astronaut(), face()),
        backbone.tell(astronaut(), face()),
    )
    assert told.age == pytest.approx(named.age, abs=1e-3)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_told_of_a_photo_is_the_mean_of_two_views(
    backbone: FaceBackbone, name: str
) -> None:
    one, other = (
        backbone.observe(astronaut(), face(), np.array([i])).attributes[name].probs
        for i in (0, 1)
    )
    assert np.abs(one - other).max() > 2e-5
    np.testing.assert_allclose(
        backbone(astronaut(), face()).attributes[name].probs,
        (one + other) / 2,
        atol=5e-6,
    )


def test_a_smile_is_surely_one_and_a_face_out_of_sight_surely_nothing(
    backbone: FaceBackbone,
) -> None:
    (seen,) = backbone(astronaut(), face())
    nothing = np.full((512, 512, 3), 127, np.uint8)
    (unseen,) = backbone(nothing, face())
    assert (seen.attributes["emotion"].sure, seen.attributes["gender"].sure) == (
        True,
        True,
    )
    assert unseen.attributes["emotion"].sure is False
    assert unseen.attributes["emotion"].text.endswith("?")


def test_the_age_lies_in_its_interval(backbone: FaceBackbone) -> None:
    (found,) = backbone(astronaut(), face())
    low, high = found.attributes["age"].interval
    assert low < found.age < high
    assert 4 < high - low < 40


def test_own_labels_have_no_bound_of_ours() -> None:
    assert described("emotion", ("calm", "excited")).sure_from == 0
    assert BUILT_IN["emotion"].sure_from > 0.3
