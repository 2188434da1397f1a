"""`POST /v1/blur`: a picture in, nobody to recognise out."""

from __future__ import annotations

import httpx
import numpy as np

from mien.media import images

from .harness import Client


def send(client: Client, *pictures: bytes, **asked: str) -> httpx.Response:
    files = [("file", (f"{i}.jpg", picture)) for i, picture in enumerate(pictures)]
    return client.http.post("/v1/blur", files=files, params=asked)


def test_faces_are_covered(client: Client, photo: bytes, no_face: bytes) -> None:
    before = images.read_image(photo)
    answer = send(client, photo, style="box")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-faces"] == "1"
    after = images.read_image(answer.content)
    x1, y1, x2, y2 = client.analyzer.detector(before).boxes[0].astype(int)
    assert after.shape == before.shape
    assert np.abs(after[y1:y2, x1:x2].astype(int) - 24).max() < 12
    assert send(client, no_face).headers["x-faces"] == "0"


def test_what_cannot_be_done_is_said(client: Client, photo: bytes) -> None:
    asked: list[dict[str, str]] = [
        {"style": "paint"},
        {"except": "Nobody Here"},
        {"unknown": "true", "people": "Nobody Here"},
    ]
    assert [send(client, photo, **one).status_code for one in asked] == [422] * 3
    assert "did you mean" not in send(client, photo, people="Nobody Here").text
    assert "one picture" in send(client, photo, photo).json()["detail"]
    assert send(client, b"no picture").json()["type"].endswith("unusable-input")
