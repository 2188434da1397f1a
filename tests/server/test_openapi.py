from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from background import free_port
from mien.pipeline import Analyzer
from mien.server import KeyFile, ServerSettings

from .harness import Client, Listening, with_gallery

CONTRACT = {
    ("post", "/v1/analyze"),
    ("post", "/v1/videos"),
    ("get", "/v1/jobs/{job_id}"),
    ("get", "/v1/jobs/{job_id}/events"),
    ("get", "/v1/jobs/{job_id}/result"),
    ("delete", "/v1/jobs/{job_id}"),
    ("post", "/v1/urls"),
    ("get", "/v1/people"),
    ("post", "/v1/people"),
    ("get", "/v1/people/{person_id}"),
    ("patch", "/v1/people/{person_id}"),
    ("delete", "/v1/people/{person_id}"),
    ("post", "/v1/people/{person_id}/photos"),
    ("get", "/v1/people/{person_id}/photos"),
    ("get", "/v1/people/{person_id}/photos/{sha256}/thumbnail"),
    ("delete", "/v1/people/{person_id}/photos/{sha256}"),
    ("get", "/v1/people/{person_id}/thumbnail"),
    ("get", "/v1/people/{person_id}/about"),
    ("post", "/v1/people/{person_id}/not"),
    ("get", "/v1/people/{person_id}/not"),
    ("get", "/v1/people/{person_id}/not/{example_id}/thumbnail"),
    ("delete", "/v1/people/{person_id}/not/{example_id}"),
    ("post", "/v1/find"),
    ("get", "/v1/unknown"),
    ("post", "/v1/unknown/undo"),
    ("get", "/v1/unknown/{group_id}"),
    ("delete", "/v1/unknown/{group_id}"),
    ("post", "/v1/unknown/{group_id}/name"),
    ("post", "/v1/unknown/{group_id}/split"),
    ("post", "/v1/unknown/{group_id}/merge"),
    ("get", "/v1/unknown/faces/{face_id}"),
    ("post", "/"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/v1/models"),
    ("put", "/v1/models/{attribute}"),
}


@pytest.mark.slow
def test_the_document_is_complete(client: Client) -> None:
    document = client.http.get("/openapi.json").json()
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() >= CONTRACT
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
    shapes = document["components"]["schemas"]
    assert "example" in shapes["ProblemRecord"]
    assert {"FrameRecord", "FaceRecord"} <= shapes.keys()
    errors = operations[("post", "/v1/analyze")]["responses"]
    assert errors.keys() >= {
        "200",
        "400",
        "401",
        "403",
        "408",
        "413",
        "415",
        "422",
        "429",
        "503",
    }
    assert all(
        "application/problem+json" in errors[status]["content"]
        for status in errors
        if status != "200"
    )


@pytest.fixture
def listening(models: Analyzer, tmp_path: Path) -> Iterator[Listening]:
    settings = ServerSettings(data=tmp_path, port=free_port(), urls=True)
    started = Listening(settings, with_gallery(models, tmp_path / "people.db")).start()
    yield started
    started.stop()


@pytest.mark.slow(20)
@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="schemathesis is not installed",
)
def test_schemathesis_finds_nothing(listening: Listening, tmp_path: Path) -> None:
    secret = KeyFile(tmp_path / "keys.json").add("schemathesis", "admin")[1]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "schemathesis.cli", "run", f"{listening.base}/openapi.json"),
            *("-H", f"Authorization: Bearer {secret}", "--checks", checks),
            *(
                "--max-examples",
                "12",
                "--phases",
                "examples,coverage,fuzzing",
                "--seed",
                "1",
                "--no-color",
            ),
        ],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "generated" in done.stdout
