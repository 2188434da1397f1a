from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from mien.media import images

from .harness import PARTS_HERE, Client, encoded


def test_answers_one_object_for_one_picture(client: Client, photo: bytes) -> None:
    answer = client.analyze(photo)
    assert answer.status_code == 200
    record = answer.json()
    assert (record["source"], record["width"], record["height"]) == ("0.jpg", 512, 512)
    (face,) = record["faces"]
    x1, y1, x2, y2 = face["box"]
    assert x1 < 225 < x2
    assert y1 < 115 < y2
    assert len(face["landmarks"]) == 5
    assert face["name"] is None
    assert face["distance"] is None
    assert "embedding" not in face


def test_answers_a_list_in_order_for_several(
    client: Client, photo: bytes, no_face: bytes
) -> None:
    records = client.analyze(photo, b"no picture", no_face).json()
    assert [len(record["faces"]) for record in records] == [1, 0, 0]
    assert "error" in records[1]
    assert "error" not in records[2]


def test_same_numbers_as_the_library(client: Client, photo: bytes) -> None:
    expected = client.analyzer.analyze(images.read_image(photo)).faces
    got = client.analyze(photo, embeddings="true").json()["faces"]
    assert np.allclose([face["box"] for face in got], expected.boxes, atol=0.06)
    assert expected.embeddings is not None
    assert np.allclose(
        [face["embedding"] for face in got], expected.embeddings, atol=1e-5
    )


def test_draws(client: Client, photo: bytes) -> None:
    answer = client.analyze(photo, draw="true")
    assert answer.headers["content-type"] == "image/jpeg"
    drawn = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(
        int
    )
    plain = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB")).astype(int)
    assert drawn.shape == plain.shape
    assert (abs(drawn - plain) > 60).any()


def test_only_leaves_the_rest_out(client: Client, photo: bytes) -> None:
    (face,) = client.analyze(photo, only="identity").json()["faces"]
    assert "name" in face
    assert (
        not {"age", "age_group", "age_group_probs", "gender", "emotion"} & face.keys()
    )


@pytest.mark.skipif(
    "age" not in PARTS_HERE, reason="no weights for age, gender and emotion yet"
)
def test_only_age(client: Client, photo: bytes) -> None:
    (face,) = client.analyze(photo, only="age").json()["faces"]
    assert {"age", "age_group", "age_group_probs"} <= face.keys()
    assert not {"name", "distance", "gender", "emotion"} & face.keys()


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ({"only": "wealth"}, "invalid"),
        ({"only": ""}, "invalid"),
        ({"draw": "perhaps"}, "invalid"),
    ],
)
def test_refuses_parameters(
    client: Client, photo: bytes, query: dict[str, str], kind: str
) -> None:
    answer = client.analyze(photo, **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:mien:problem:{kind}"


def test_pixels_are_limited(start, photo: bytes) -> None:
    client = start(limits={"image_pixels": 500 * 500})
    answer = client.analyze(photo)
    assert answer.status_code == 422
    assert "megapixels" in answer.json()["detail"]


@pytest.mark.slow
def test_the_original_shape(client: Client, two_faces: bytes) -> None:
    client.enrol(
        "Ada Lovelace",
        two_faces,
        box=",".join(map(str, client.analyze(two_faces).json()["faces"][0]["box"])),
    )
    answer = client.http.post("/", files={"file": ("two.jpg", two_faces)}).json()
    assert list(answer) == ["Name", "Sex", "Age", "Emotion"]
    assert {len(column) for column in answer.values()} == {2}
    assert "Ada Lovelace" in answer["Name"]
    if "age" in PARTS_HERE:
        assert all(age.startswith("(") and age.endswith("%}") for age in answer["Age"])
    if "emotion" in PARTS_HERE:
        assert {"Happiness", "Neutral"} & set(answer["Emotion"])


def test_every_answer_carries_ids_and_security_headers(client: Client) -> None:
    for path in ("/", "/healthz", "/nothing", "/docs", "/static/app.js"):
        headers = client.http.get(path, headers={"x-request-id": "abc-1"}).headers
        assert headers["x-request-id"] == "abc-1"
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_metrics_count(client: Client, photo: bytes) -> None:
    client.analyze(photo)
    text = client.http.get("/metrics").text
    assert (
        'mien_requests_total{method="POST",route="/v1/analyze",status="200"} 1.0'
        in text
    )
    assert "mien_faces_total 1.0" in text
    assert 'mien_model_passes_total{model="backbone"} 1.0' in text


def test_logs_tell_no_names(
    client: Client, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    person = client.enrol("Ada Lovelace", photo).json()
    client.analyze(photo)
    client.http.delete(f"/v1/people/{person['id']}")
    said = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert "/v1/people/{person_id}" in said
    assert "Lovelace" not in said


@pytest.mark.slow
def test_png_and_webp_by_content_not_name(
    client: Client, astronaut: np.ndarray
) -> None:
    for suffix in (".png", ".webp"):
        answer = client.http.post(
            "/v1/analyze",
            files={"file": ("x.exe", encoded(astronaut, suffix), "text/plain")},
        )
        assert len(answer.json()["faces"]) == 1
