"""`POST /v1/verify`: two pictures, one answer."""

from __future__ import annotations

import cv2
import httpx
import numpy as np
import pytest

from mien.media import images

from .harness import Client, encoded


def send(client: Client, *pictures: bytes, **fields: str) -> httpx.Response:
    files = [("file", (f"{i}.jpg", picture)) for i, picture in enumerate(pictures)]
    return client.http.post("/v1/verify", files=files, data=fields)


def test_two_photos_of_one_person(client: Client, photo: bytes) -> None:
    small = cv2.resize(
        images.read_image(photo), (384, 384), interpolation=cv2.INTER_AREA
    )
    answer = send(client, photo, encoded(small, ".png")).json()
    assert (answer["same"], answer["tolerance"]) == (True, client.analyzer.tolerance)
    assert answer["distance"] < 0.3
    assert answer["probability"] > 0.99
    assert answer["false_match_rate"] < 1e-6 < answer["false_non_match_rate"]


@pytest.mark.slow
def test_what_cannot_be_compared_is_said(
    client: Client, photo: bytes, no_face: bytes
) -> None:
    assert (
        send(client, photo).json()["detail"]
        == "send two pictures to compare, both in the form field 'file'; got 1"
    )
    assert send(client, photo, photo, photo).status_code == 422
    assert send(client, photo, no_face).json()["type"].endswith("no-face")
    assert send(client, photo, b"no picture").json()["type"].endswith("unusable-input")
    picture = images.read_image(photo)
    two = encoded(np.concatenate([picture, picture], axis=1), ".png")
    assert send(client, two, photo).json()["type"].endswith("many-faces")
    assert send(client, two, photo, largest="true").json()["same"]
