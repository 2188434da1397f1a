"""What a request says and nobody would read is refused, with the names that are known."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.websockets import WebSocketDisconnect

from mien.server.security import Reader

from .harness import LIVE, Client


@pytest.mark.slow
def test_no_route_passes_over_a_parameter_it_does_not_know(client: Client) -> None:
    routes = [
        (method, path.replace("{", "").replace("}", ""))
        for path, operations in client.http.get("/openapi.json").json()["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    ]
    assert len(routes) > 40
    for method, path in routes:
        answer = client.http.request(method, f"{path}?nonsense=1")
        assert answer.status_code == 422, (method, path)
        assert "'nonsense'" in answer.json()["detail"], (method, path)


def test_the_refusal_names_what_there_is(client: Client, photo: bytes) -> None:
    assert client.analyze(photo, drwa="true").json()["detail"] == (
        "no parameter here is called 'drwa'; did you mean 'draw'?; "
        "known here: only, draw, embeddings"
    )
    answer = client.http.get("/v1/people?page=2").json()
    assert answer["detail"] == "no parameter here is called 'page'; known here: none"


def test_of_two_values_of_one_thing_none_is_passed_over(
    client: Client, photo: bytes
) -> None:
    files = [("file", ("0.jpg", photo))]
    twice = client.http.post("/v1/analyze?only=age&only=gender", files=files)
    assert twice.json()["detail"] == "only is said 2 times: say it once"
    two = client.http.post("/v1/blur?except=Ada&except=Ben", files=files)
    assert "people who are enrolled" in two.json()["detail"]  # both were read


def test_a_field_of_a_form_that_nobody_reads(client: Client) -> None:
    files = [("file", ("0.jpg", b"picture"))]
    for path in ("/v1/analyze", "/v1/verify", "/v1/people", "/v1/videos"):
        answer = client.http.post(path, data={"larges": "true"}, files=files)
        assert answer.status_code == 422
        assert "no field of the form here is called 'larges'" in answer.json()["detail"]


def test_the_original_route_passes_over_what_the_original_did(client: Client) -> None:
    """Its programs cannot be changed any more: a form's button has a name, an address a number against caches."""
    files = [("file", ("0.jpg", b"picture"))]
    said = client.http.post("/?v=1", data={"submit": "Upload"}, files=files).json()
    assert said["type"].endswith(":unusable-input"), "it comes to the picture"


def test_an_address_where_nothing_is_says_so_whatever_is_sent(client: Client) -> None:
    large = b"0" * (client.settings.limits.json_bytes + 1)
    lost = client.http.post("/v1/people/", files=[("file", ("0.jpg", large))])
    assert (lost.status_code, "/docs" in lost.json()["detail"]) == (404, True)
    wrong = client.http.put("/v1/people")
    assert wrong.status_code == 405
    assert wrong.json()["detail"].endswith("it takes GET, POST")
    assert wrong.headers["allow"] == "GET, POST"
    assert client.http.post("/openapi.json").headers["allow"] == "GET, HEAD"


def test_of_a_route_in_no_document_nothing_is_refused(client: Client) -> None:
    """As a package may add one; the whole document is not made for what one request says."""
    app = client.http.app
    assert isinstance(app, FastAPI)

    @app.get("/hidden", include_in_schema=False)
    def hidden(caller: Reader, word: str = "") -> str:
        return word

    assert client.http.get("/hidden?word=said").json() == "said"
    assert client.http.get("/v1/people?word=said").status_code == 422
    assert app.openapi_schema is None


def test_a_body_that_does_not_say_it_is_json(client: Client) -> None:
    answer = client.http.post("/v1/urls", content='{"url": "http://example.com"}')
    assert (answer.status_code, "Content-Type: application/json" in answer.text) == (
        422,
        True,
    )


def test_live_pictures_too(client: Client) -> None:
    with (
        client.http.websocket_connect(f"{LIVE}?requirelive=true") as socket,
        pytest.raises(WebSocketDisconnect) as ended,
    ):
        socket.receive_json()
    assert "require_live" in ended.value.reason
