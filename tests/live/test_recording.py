"""Films in, films out: `mien analyze` and `mien live` on videos, their copies, summaries and statistics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from background import until
from live.clips import moving_face, numbered, write_clip
from live.servers import serving
from mien.cli.copies import AnalyzeInput, copies_of
from mien.cli.videos import VideoJob
from mien.errors import InputError
from mien.media.images import read_image
from mien.models.attributes.heads import AGE, EMOTION
from mien.output.summary import VideoSummary, timeline
from mien.output.video import Sound, VideoRecorder
from mien.pipeline import Analyzer
from mien.server.jobs.worker import Copy
from mien.sources import is_video, open_source
from mien.types import U8, Faces, Frame, FrameResult, Scores

TIMES = [0.0, 0.04, 0.08, 0.3, 0.34, 0.9, 1.0, 1.04, 1.5, 1.98]


@pytest.fixture(scope="module")
def film(astronaut: U8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("film") / "film.mp4", moving_face(astronaut, frames=30)
    )


def with_sound(path: Path, codec: str = "aac") -> Path:
    """Ten frames at uneven times and two seconds of a tone."""
    silent = write_clip(path.with_name("silent.mp4"), numbered(10), times=TIMES)
    with av.open(str(silent)) as given, av.open(str(path), "w") as out:
        video = out.add_stream_from_template(given.streams.video[0])
        sound = out.add_stream(codec, rate=48_000, layout="mono")
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        tone = (np.sin(np.arange(96_000) / 20) * 8000).astype(np.int16)
        for i in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(
                tone[None, i : i + 1024], format="s16", layout="mono"
            )
            piece.sample_rate, piece.pts, piece.time_base = (
                48_000,
                i,
                Fraction(1, 48_000),
            )
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    return path


def decoded(path: Path, kind: str) -> list[float]:
    """The times of all pictures or pieces of sound in a file."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(**{kind: 0})]


COPIED = [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mkv", "libmp3lame")]
ANEW = [
    ("a.mkv", "pcm_s16le"),
    ("a.mp4", "ac3"),
    ("a.ts", "aac"),
    ("a.mkv", "flac"),
    ("a.mkv", "alac"),
    ("a.mkv", "mp2"),
]


@pytest.mark.parametrize(("name", "codec"), [*COPIED, *ANEW])
def test_a_copy_has_the_timing_and_the_sound(
    tmp_path: Path, name: str, codec: str
) -> None:
    given = with_sound(tmp_path / name, codec)
    with (
        open_source(str(given)) as source,
        VideoRecorder(tmp_path / "copy.mp4", rate=25, sound=str(given)) as recorder,
    ):
        for frame in source:
            recorder.write(frame.image, frame.time_s)
    assert np.allclose(decoded(tmp_path / "copy.mp4", "video"), TIMES, atol=2e-3)
    sound = decoded(tmp_path / "copy.mp4", "audio")
    assert sound[0] < 0.07
    assert 1.85 < sound[-1] < 2.1
    with av.open(str(tmp_path / "copy.mp4")) as copy:
        assert (
            copy.streams.video[0].codec_context.name,
            copy.streams.video[0].codec_context.pix_fmt,
        ) == (
            "h264",
            "yuv420p",
        )
        kind = copy.streams.audio[0].codec_context.name
    assert kind == ({"libopus": "opus", "libmp3lame": "mp3float"}.get(codec, "aac"))


def failing(*args: object, **more: object) -> None:
    raise InputError("no space left on the disk")


@pytest.mark.parametrize("where", ["attach", "until"])
def test_what_is_wrong_with_the_sound_leaves_the_film(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither a codec that the container refuses nor packets that cannot be written end it."""
    given = with_sound(tmp_path / "a.mp4")

    def refuse(*args: object, **more: object) -> None:
        raise ValueError("no such codec")

    monkeypatch.setattr(Sound, where, refuse)
    with VideoRecorder(tmp_path / "copy.mp4", rate=25, sound=str(given)) as recorder:
        for image, time_s in zip(numbered(10), TIMES, strict=True):
            recorder.write(image, time_s)
    assert len(decoded(tmp_path / "copy.mp4", "video")) == 10
    assert "sound" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("name", ["x.webm", "x.mpg", "x.ogv", "x.wmv", "x"])
def test_containers_that_hold_no_h264_are_refused_before_the_work(
    name: str, film: Path
) -> None:
    with pytest.raises(InputError, match=r"holds no H\.264; end it in \.mp4"):
        VideoRecorder(Path(name))
    if is_video(name):
        with pytest.raises(InputError, match=r"end it in \.mp4"):
            copies_of("--draw", Path(name), [AnalyzeInput(str(film))])


@pytest.mark.parametrize("part", ["write", "close"])
def test_a_copy_that_fails_leaves_the_results(
    part: str,
    film: Path,
    analyzer: Analyzer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(VideoRecorder, part, failing)
    job = VideoJob(
        analyzer,
        every=10,
        draw=tmp_path / "copy.mp4",
        summary=tmp_path / "no" / "summary.json",
    )
    assert [result.index for result in job.results(str(film))] == [0, 10, 20]
    lost = sorted(job.spare.lost)
    assert len(lost) == 2
    assert "no/summary.json" in lost[0]
    assert lost[1] == "no space left on the disk"


def test_a_job_whose_copy_fails_has_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Copy(VideoRecorder(tmp_path / "annotated.mp4"))
    frames = [Frame(image, i, i / 10) for i, image in enumerate(numbered(3))]
    copy.write(frames[0], result(0))
    assert (tmp_path / "annotated.mp4").exists()
    monkeypatch.setattr(VideoRecorder, "write", failing)
    for frame in frames[1:]:
        copy.write(frame, result(frame.index))
    copy.close()
    assert not (tmp_path / "annotated.mp4").exists()


def test_a_film_is_readable_while_it_is_written_and_has_an_index_after(
    tmp_path: Path,
) -> None:
    """Players and servers without ranges seek by the index; a killed process leaves the fragments."""
    film = tmp_path / "film.mp4"
    with VideoRecorder(film, rate=10) as recorder:
        for i, image in enumerate(numbered(40)):
            recorder.write(image, i / 10)
        (tmp_path / "killed.mp4").write_bytes(film.read_bytes())
    assert len(decoded(tmp_path / "killed.mp4", "video")) >= 20
    with av.open(str(film)) as container:
        assert container.streams.video[0].frames == 40
        assert container.duration / av.time_base == pytest.approx(4.0, abs=0.11)


def test_odd_sizes_and_changes_of_size(tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "odd.mp4") as recorder:
        recorder.write(np.zeros((101, 161, 3), np.uint8), 0.0)
        recorder.write(np.zeros((240, 320, 3), np.uint8), 0.1)
        recorder.write(
            np.zeros((101, 161, 3), np.uint8), 0.1
        )  # no later than the one before: left out
    with open_source(str(tmp_path / "odd.mp4")) as source:
        assert [frame.image.shape for frame in source] == [(100, 160, 3)] * 2


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot write"),
        VideoRecorder(tmp_path / "no" / "x.mp4") as recorder,
    ):
        recorder.write(np.zeros((100, 100, 3), np.uint8), 0.0)


def mien(*args: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from mien.cli import main; main()", *args]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, **more
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_analyze_a_film(film: Path, stream_detector: str, tmp_path: Path) -> None:
    copy, summary = tmp_path / "copy.mp4", tmp_path / "summary.json"
    options = [
        "--detector",
        stream_detector,
        "--only",
        "identity",
        "--draw",
        str(copy),
        "--summary",
        str(summary),
    ]
    done = mien("analyze", str(film), "--format", "jsonl", *options)
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["index"] for r in records] == list(range(30))
    assert [len(r["faces"]) for r in records] == [1] * 30
    assert {f["track_id"] for r in records for f in r["faces"]} == {1}
    assert records[10]["time_s"] == pytest.approx(0.4, abs=0.01)
    assert len(decoded(copy, "video")) == 30
    (person,) = json.loads(summary.read_text())["people"]
    assert person["frames"] == 30
    assert read_image(summary.with_suffix(".png")).shape[1] > 1000


@pytest.mark.slow
def test_live_without_a_window_tells_its_speed(
    film: Path, stream_detector: str, tmp_path: Path
) -> None:
    record = tmp_path / "record.mp4"
    options = [
        "--detector",
        stream_detector,
        "--only",
        "identity",
        "--no-window",
        "--stats",
        "--record",
        str(record),
    ]
    done = mien("live", str(film), *options, "--max-frames", "20")
    assert (done.returncode, done.stderr) == (0, "")
    stats = json.loads(done.stdout)
    assert set(stats) == {"frames", "fps", "p50_ms", "p95_ms", "faces"}
    assert (stats["frames"], stats["faces"]) == (20, 20)
    assert 0 < stats["p50_ms"] <= stats["p95_ms"]
    assert len(decoded(record, "video")) == 20
    quiet = mien("live", str(film), *options[:5], "--max-frames", "3")
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert quiet.stderr.startswith("mien: nothing is shown or kept; add --record")


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_a_film_that_plays(
    stream_detector: str, tmp_path: Path, stop: signal.Signals
) -> None:
    record = tmp_path / "record.mp4"
    with serving() as server:
        command = [
            sys.executable,
            "-c",
            "from mien.cli import main; main()",
            "live",
            f"{server.url}/mjpeg",
        ]
        options = [
            "--detector",
            stream_detector,
            "--only",
            "identity",
            "--no-window",
            "--record",
            str(record),
        ]
        process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True
        )
        until(lambda: record.exists() and record.stat().st_size > 3_000)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert len(decoded(record, "video")) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("live", "97", "--no-window"), "no camera 97"),
        (("live", "nothing.mp4", "--no-window"), "no such file"),
        (("live", "nothing.mp4", "--record", "x.jpg"), "ends in .mp4"),
        (("analyze", "nothing.mp4"), "no such file"),
    ],
)
def test_what_cannot_be_played(
    args: tuple[str, ...], words: str, tmp_path: Path, stream_detector: str
) -> None:
    done = mien(
        *args, "--detector", stream_detector, "--only", "identity", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def result(index: int, *people: tuple[int, str]) -> FrameResult:
    """A frame with some tracks and their moods, four a second."""
    n = len(people)
    moods = np.array(
        [[m == "calm", m == "glad"] for _, m in people], np.float32
    ).reshape(n, 2)
    found = Faces(
        np.zeros((n, 4), np.float32),
        np.ones(n, np.float32),
        np.zeros((n, 5, 2), np.float32),
        track_ids=np.array([i for i, _ in people], np.int64),
        attributes={
            "age": Scores(AGE, np.tile(np.eye(101, dtype=np.float32)[30], (n, 1))),
            "emotion": Scores(replace(EMOTION, labels=("calm", "glad")), moods),
        },
    )
    return FrameResult("film", index, index / 4, 640, 360, found)


def test_a_summary_tells_who_was_there_when() -> None:
    summary = VideoSummary("film")
    for i in range(
        80
    ):  # 20 s: one all the time, one from 5 to 10 s and again from 15 s
        other = [(2, "glad")] if 20 <= i < 40 or i >= 60 else []
        summary.add(result(i, (1, "calm" if i < 40 else "glad"), *other))
    about = summary.to_dict()
    first, second = about["people"]
    assert (about["frames"], about["duration_s"]) == (80, 19.75)
    assert (first["from_s"], first["to_s"], first["seen_s"], first["mean_age"]) == (
        0.0,
        19.75,
        19.75,
        30.0,
    )
    assert first["emotions"] == {"calm": 0.5, "glad": 0.5}
    assert first["emotions_over_time"][0] == {"from_s": 0.0, "calm": 1.0, "glad": 0.0}
    assert second["spans"] == [[5.0, 9.75], [15.0, 19.75]]
    assert timeline(about).shape[0] > 100


def test_a_summary_of_samples_two_seconds_apart() -> None:
    summary = VideoSummary("film")
    for i in range(0, 80, 8):  # 20 s: one all the time but for a sample
        summary.add(result(i, *([(1, "calm")] if i != 32 else [])))
    (person,) = summary.to_dict()["people"]
    assert person["spans"] == [[0.0, 6.0], [10.0, 18.0]]
    assert person["seen_s"] == 16.0


@pytest.mark.slow
def test_a_summary_does_not_grow_with_the_length() -> None:
    summary = VideoSummary("film")
    for i in range(4 * 3600):
        summary.add(result(i, (1, "calm")))
    (person,) = summary.to_dict()["people"]
    assert len(person["emotions_over_time"]) <= 120
    assert person["frames"] == 4 * 3600


def test_a_summary_of_nobody() -> None:
    about = VideoSummary("film").to_dict()
    assert about["people"] == []
    assert timeline(about).shape[2] == 3
