"""How far a distance is to be believed, and whether two faces are one person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError, ManyFacesError, NoFaceError
from mien.gallery import Photo, open_gallery
from mien.pipeline import Analyzer
from mien.types import F32, U8, Matches
from mien.zoo import DLIB

RATES = DLIB.rates
assert RATES is not None


def encoded(image: U8) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def test_the_nearer_the_likelier_and_the_more_people_the_less() -> None:
    distances = np.arange(0.0, 1.2, 0.01, dtype=np.float32)
    few, many = RATES.probability(distances, 1), RATES.probability(distances, 10_000)
    assert few[0] > 0.999
    assert few[-1] < 0.01
    assert (np.diff(few) < 0.02).all()
    assert (many <= few + 1e-6).all()
    assert many[60] < 0.01 < 0.9 < few[55]


def test_false_names_and_tolerance_say_the_same() -> None:
    assert RATES.tolerance(0.00088, 1) == pytest.approx(0.6, abs=1e-3)
    for people in (1, 100, 10_000):
        at = RATES.tolerance(0.001, people)
        assert -np.expm1(people * np.log1p(-RATES.fmr(at))) == pytest.approx(
            0.001, rel=0.01
        )
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="share between 0 and 1"):
            RATES.tolerance(wrong, 1)


def test_a_match_without_a_name_has_no_probability() -> None:
    rated = Matches(("Ada", None), np.array([0.3, 0.7], np.float32), 2).rated(RATES)
    assert rated.probabilities is not None
    assert rated.probabilities[0] > 0.99
    assert np.isnan(rated.probabilities[1])


@pytest.fixture(scope="module")
def smaller(astronaut: U8) -> U8:
    return np.asarray(
        cv2.resize(astronaut, (384, 384), interpolation=cv2.INTER_AREA), np.uint8
    )


@pytest.mark.slow
def test_a_face_is_verified(
    analyzer: Analyzer, astronaut: U8, smaller: U8, face_free: U8
) -> None:
    found = analyzer.verify(encoded(astronaut), encoded(smaller))
    assert found.same
    assert found.distance < 0.3
    assert found.probability is not None
    assert found.probability > 0.99
    assert found.false_match_rate is not None
    assert found.false_match_rate < 1e-6
    with pytest.raises(NoFaceError, match="the second photo"):
        analyzer.verify(encoded(astronaut), encoded(face_free))
    two = encoded(np.concatenate([astronaut, astronaut], axis=1))
    with pytest.raises(ManyFacesError, match="the first photo"):
        analyzer.verify(two, encoded(astronaut))
    assert analyzer.verify(two, encoded(astronaut), largest=True).same


def test_a_name_says_how_likely_it_is(
    analyzer: Analyzer, astronaut: U8, smaller: U8, tmp_path: Path
) -> None:
    place = str(tmp_path / "people.db")
    gallery = open_gallery(place, space=DLIB, describe=analyzer.describe_photo)
    gallery.enroll("Eileen Collins", [analyzer.photo(encoded(smaller))])
    few = Analyzer(
        place, detector=analyzer.detector, only=["identity"], false_names=0.001
    )
    face = few.analyze(astronaut).faces[0]
    assert face.name == "Eileen Collins"
    assert face.name_probability is not None
    assert face.name_probability > 0.99
    numbers = np.random.default_rng(0).normal(size=(200, DLIB.size)).astype(np.float32)
    strangers = [(f"Person {i}", [photo_of(row)]) for i, row in enumerate(numbers)]
    gallery.enroll_all(strangers)
    many = Analyzer(
        place, detector=analyzer.detector, only=["identity"], false_names=0.001
    )
    assert many.tolerance < 0.6 < few.tolerance < 0.61
    with pytest.raises(InputError, match="give one of them"):
        Analyzer(place, tolerance=0.6, false_names=0.001)


def photo_of(row: F32) -> Photo:
    return Photo(row / np.linalg.norm(row) * 1.4, row.tobytes().hex()[:64])
