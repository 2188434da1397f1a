from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from background import until
from mien.server.jobs import results

from .harness import Client, Start


def post(client: Client, clip: bytes, **query: object) -> dict[str, object]:
    answer = client.http.post(
        "/v1/videos", files={"file": ("../../party.mp4", clip)}, params=query
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


def records(client: Client, job_id: object) -> list[dict[str, object]]:
    text = client.http.get(f"/v1/jobs/{job_id}/result").text
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_video_from_upload_to_deletion(
    client: Client, clip: bytes, photo: bytes, tmp_path
) -> None:
    person = client.enrol("Ada", photo).json()
    job = post(client, clip, draw="true")
    assert (job["source"], job["state"]) == ("party.mp4", "queued")
    events = client.http.get(f"/v1/jobs/{job['id']}/events").text
    assert events.rstrip().split("\n\n")[-1].startswith("event: end")
    done = client.wait(str(job["id"]))
    assert (done["state"], done["progress"], done["frames"]) == ("done", 1.0, 20)
    lines = records(client, job["id"])
    assert [line["index"] for line in lines] == list(range(20))
    assert {face["name"] for line in lines for face in line["faces"]} >= {"Ada"}  # type: ignore[attr-defined]
    (row,) = client.http.get(f"/v1/jobs/{job['id']}/timeline").json()["people"]
    assert row["name"] == "Ada"
    assert row["spans"][0][1] > 1.5
    assert (row["gender"], 20 < row["age"] < 60) == ("female", True)
    assert next(iter(row["emotions"])) == "happiness"
    assert sum(row["emotions"].values()) == pytest.approx(1, abs=0.01)
    (tmp_path / "out.mp4").write_bytes(
        client.http.get(f"/v1/jobs/{job['id']}/video").content
    )
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20
    assert not (tmp_path / "jobs" / str(job["id"]) / "input").exists()

    client.http.delete(f"/v1/people/{person['id']}")
    assert "Ada" not in client.http.get(f"/v1/jobs/{job['id']}/result").text
    assert (
        client.http.get(f"/v1/jobs/{job['id']}/video").json()["type"]
        == "urn:mien:problem:gone"
    )

    assert client.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.http.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.slow
def test_cancel_and_queue_limits(start: Start, long_clip: bytes, tmp_path) -> None:
    client = start(limits={"jobs_per_key": 2})
    first, second = post(client, long_clip), post(client, long_clip)
    full = client.http.post("/v1/videos", files={"file": long_clip})
    assert (full.status_code, full.headers["retry-after"]) == (429, "30")
    assert (
        client.http.get(f"/v1/jobs/{first['id']}/result").json()["type"]
        == "urn:mien:problem:not-ready"
    )
    until(lambda: client.http.get(f"/v1/jobs/{first['id']}").json()["frames"])
    for job in (first, second):
        assert client.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.http.get("/v1/jobs").json() == {"jobs": []}
    until(lambda: client.service.worker._run is None)
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 422),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 422),
        (b"<svg/>", 422),
    ],
)
def test_refuses_what_is_no_video(
    client: Client, content: bytes, status: int, tmp_path
) -> None:
    answer = client.http.post("/v1/videos", files={"file": ("a.mp4", content)})
    assert answer.status_code == status
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("cut", "state"), [(64, "failed"), (None, "done")])
def test_a_damaged_video_fails_with_its_reason(
    client: Client, clip: bytes, cut: int | None, state: str
) -> None:
    job = client.wait(str(post(client, clip[:cut], every=10)["id"]))
    assert job["state"] == state
    if state == "failed":
        assert job["problem"]["type"].startswith("urn:mien:problem:")  # type: ignore[index]
        assert "/" not in job["problem"]["detail"]  # type: ignore[index]


def test_long_videos_are_refused(start: Start, clip: bytes) -> None:
    client = start(limits={"video_s": 1.0})
    job = client.wait(str(post(client, clip)["id"]))
    assert job["problem"]["type"] == "urn:mien:problem:too-large"  # type: ignore[index]


@pytest.mark.slow
def test_jobs_are_kept_for_a_set_time(start: Start, clip: bytes) -> None:
    client = start(limits={"jobs_kept_s": 0.2})
    job = post(client, clip, every=20)

    def gone() -> bool:
        client.service.worker.notify()
        return client.http.get(f"/v1/jobs/{job['id']}").status_code == 404

    until(gone)


@pytest.mark.parametrize(
    ("step_s", "frames", "shown"),
    [(0.04, 2, 0), (0.04, 3, 1), (2.0, 1, 1), (2.0, 3, 1)],
)
def test_a_timeline_counts_seconds_not_frames(
    tmp_path: Path, step_s: float, frames: int, shown: int
) -> None:
    """Of frames a nameless face needs some to be listed; of samples two seconds apart one is enough."""
    times = [i * step_s for i in range(10)]
    records = [
        {"time_s": t, "faces": [{"track_id": 1, "name": None}] if i < frames else []}
        for i, t in enumerate(times)
    ]
    path = tmp_path / "result.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = results.timeline(path, ())
    assert [row.spans for row in found] == [[[0.0, times[frames - 1]]]] * shown
