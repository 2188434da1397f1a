from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from background import until
from mien.models.attributes.antispoof import LIVE as LIVELY
from mien.types import U8, Faces, Scores

from .harness import LIVE, Client, Start


@pytest.mark.slow
def test_answers_frames_and_learns_names(
    client: Client, photo: bytes, no_face: bytes
) -> None:
    with client.http.websocket_connect(LIVE) as socket:
        names: list[object] = []
        for index in range(6):
            if index == 3:
                client.enrol("Ada", photo)
            socket.send_bytes(photo)
            record = json.loads(socket.receive_text())
            assert record["index"] == index
            names.append([face["name"] for face in record["faces"]])
        assert [None] in names[:3]
        assert names[-1] == ["Ada"]


def test_the_newest_frame_wins(client: Client, photo: bytes) -> None:
    sent = 40
    with client.http.websocket_connect(LIVE) as socket:
        for _ in range(sent):
            socket.send_bytes(photo)
        indices: list[int] = []
        while not indices or indices[-1] < sent - 1:
            indices.append(json.loads(socket.receive_text())["index"])
    assert indices == sorted(set(indices))
    assert len(indices) < sent
    assert "mien_live_frames_dropped_total 0.0" not in client.http.get("/metrics").text


def test_bad_frames_are_told_and_end_in_the_end(client: Client) -> None:
    with client.http.websocket_connect(LIVE) as socket:
        socket.send_bytes(b"no picture")
        told = json.loads(socket.receive_text())
        assert told.pop("time_s") > 0
        assert told.pop("error").startswith("unusable-input: the picture is no")
        nothing = {"width": 0, "height": 0, "faces": []}
        assert told == {"source": "live", "index": 0, **nothing}
        with pytest.raises(WebSocketDisconnect) as ended:  # noqa: PT012 - which of them ends it is not said
            for _ in range(60):
                socket.send_bytes(b"no picture")
                socket.receive_text()
        assert ended.value.code == 1008


@pytest.mark.parametrize("send", ["text", "empty", "large"])
def test_wrong_messages_end_it(start: Start, send: str) -> None:
    client = start(limits={"live_frame_bytes": 1000})
    with client.http.websocket_connect(LIVE) as socket:
        if send == "text":
            socket.send_text("hello")
        else:
            socket.send_bytes(b"" if send == "empty" else b"x" * 2000)
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_text()
    assert ended.value.code == (1009 if send == "large" else 1008)


@pytest.mark.slow
def test_other_pages_are_refused(client: Client) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.http.websocket_connect(LIVE, headers={"origin": "http://evil.example"}),
    ):
        pass
    with client.http.websocket_connect(
        LIVE, headers={"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"}
    ):
        pass


def test_connections_are_limited_and_given_back(start: Start) -> None:
    client = start(limits={"live_clients": 1})
    for _ in range(2):
        with client.http.websocket_connect(LIVE):
            with (
                client.http.websocket_connect(LIVE) as second,
                pytest.raises(WebSocketDisconnect) as refused,
            ):
                second.receive_text()
            assert refused.value.code == 1013
        until(lambda: client.service.live.taken == 0)


def test_only_the_living_are_named_where_that_is_told(client: Client) -> None:
    asked = f"{LIVE}?require_live=true"
    with client.http.websocket_connect(asked) as socket:
        closed = socket.receive()
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    assert "--attributes live" in closed["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("alive", [True, False])
def test_a_picture_held_up_gets_no_name(
    client: Client, photo: bytes, alive: bool
) -> None:
    """A model that tells of all faces whether they are alive stands in for one that can be had."""

    class Told:
        attributes = (LIVELY,)

        def __call__(self, image: U8, faces: Faces) -> Faces:
            row = [0.96, 0.04] if alive else [0.04, 0.96]
            probs = np.tile(np.array([row], np.float32), (len(faces), 1))
            return faces.with_attributes(Scores(LIVELY, probs))

    client.enrol("Eileen", photo)
    telling = copy.copy(client.analyzer)
    telling.further = (Told(),)
    telling.only = client.analyzer.only | {LIVELY.name}
    telling._tell_by(telling.models, telling.backbone)
    client.service.analyzer = telling
    named = set()
    with client.http.websocket_connect(f"{LIVE}?require_live=true") as socket:
        for _ in range(8):
            socket.send_bytes(photo)
            named |= {face["name"] for face in socket.receive_json()["faces"]}
    assert ("Eileen" in named) == alive
