"""A still face is described by the mean of two views; in a stream the two take turns."""

from __future__ import annotations

import numpy as np
import pytest

from mien.pipeline import Analyzer
from mien.session import Session
from mien.types import F32, I64, U8, Faces, Frame, Matches


@pytest.fixture(scope="module")
def found(analyzer: Analyzer, astronaut: U8) -> Faces:
    return analyzer.detector(astronaut)


def seen(analyzer: Analyzer, image: U8, faces: Faces, times_seen: int) -> F32:
    """The descriptors of one view, as the stream's observation of this number takes it."""
    embeddings = analyzer.backbone.observe(
        image, faces, np.full(len(faces), times_seen)
    ).embeddings
    assert embeddings is not None
    return embeddings


def test_a_still_face_is_the_mean_of_two_views(
    analyzer: Analyzer, astronaut: U8, found: Faces
) -> None:
    both = analyzer.backbone(astronaut, found).embeddings
    one, mirrored = (
        seen(analyzer, astronaut, found, times_seen) for times_seen in (0, 1)
    )
    assert 0.05 < float(np.linalg.norm(one - mirrored)) < 0.4
    np.testing.assert_allclose(both, 1.02 * (one + mirrored) / 2, atol=1e-4)


def test_fast_is_dlibs_one_view(
    analyzer: Analyzer, astronaut: U8, found: Faces
) -> None:
    fast = Analyzer(detector=analyzer.detector, only=["identity"], fast=True)
    np.testing.assert_allclose(
        fast.backbone(astronaut, found).embeddings,
        seen(analyzer, astronaut, found, 2),
        atol=1e-4,
    )


def test_two_views_bring_a_face_and_its_mirror_image_together(
    analyzer: Analyzer, astronaut: U8, found: Faces
) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    there = analyzer.detector(mirrored)
    one = np.linalg.norm(
        seen(analyzer, astronaut, found, 0) - seen(analyzer, mirrored, there, 0)
    )
    both = [
        analyzer.backbone(image, faces).embeddings
        for image, faces in ((astronaut, found), (mirrored, there))
    ]
    assert both[0] is not None
    assert both[1] is not None
    assert np.linalg.norm(both[0] - both[1]) < 0.8 * one


def test_the_views_of_a_stream_take_turns_and_are_named_by_their_mean(
    analyzer: Analyzer, astronaut: U8
) -> None:
    told: list[int] = []
    asked: list[F32] = []

    def observe(image: U8, faces: Faces, times_seen: I64) -> Faces:
        told.extend(map(int, times_seen))
        return analyzer.observe(image, faces, times_seen)

    def nobody(embeddings: F32) -> Matches:
        asked.append(embeddings[0])
        return Matches(
            (None,) * len(embeddings), np.full(len(embeddings), np.nan, np.float32)
        )

    session = Session(analyzer.detector, observe, nobody)
    for i in range(12):
        faces = session.step(Frame(astronaut, i, i / 10, "film")).faces
    assert told[:4] == [0, 1, 2, 3]
    one, mirrored = (
        seen(analyzer, astronaut, session.detector(astronaut), times_seen)[0]
        for times_seen in (0, 1)
    )
    assert float(np.linalg.norm(asked[1] - (one + mirrored) / 2)) < 0.05
    assert faces.embeddings is not None
    assert float(np.linalg.norm(faces.embeddings[0] - (one + mirrored) / 2)) < 0.05
