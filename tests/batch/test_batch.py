"""Batches on one machine: real photos, real worker processes, real crashes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from background import until
from batch import archives
from mien.batch import Archive, BatchSummary, Progress, run_batch
from mien.batch.dataset import TABLES, TOLD, faces_schema, make_outcome
from mien.errors import InputError, MienError
from mien.media import images
from mien.output.schemas import frame_record
from mien.output.video import VideoRecorder
from mien.pipeline import Analyzer
from mien.types import U8


def parts(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


@pytest.fixture
def photos(tmp_path: Path, astronaut: U8, face_free: U8) -> Path:
    folder = tmp_path / "my phötos"
    (folder / "inside").mkdir(parents=True)
    archives.write_with_exif(folder / "Ada 1.jpg", astronaut)
    images.write_image(folder / "inside" / "coffee.png", face_free)
    images.write_image(
        folder / "inside" / "twins.jpg", np.hstack([astronaut[:256], astronaut[:256]])
    )
    (folder / "inside" / "broken.jpg").write_bytes(b"no picture")
    (folder / "inside" / "empty.jpg").write_bytes(b"")
    return folder


@pytest.mark.slow
def test_the_rows_are_those_of_the_analyzer_and_are_made_once(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    heard: list[Progress] = []
    options = archives.options(choices=archives.CHOICES, jobs=2, shard_files=2)
    summary = run_batch([str(photos)], out, options, heard.append)
    assert (summary.analyzed, summary.faces, summary.unchanged) == (5, 3, 0)
    assert [error.split(" ")[-2:] for error in sorted(summary.errors)] == [
        ["AVIF,", "…)"],
        ["(0", "bytes)"],
    ]
    assert all(str(photos / "inside") in error for error in summary.errors)
    assert (heard[-1].files, heard[-1].size) == (heard[-1].of_files, heard[-1].of_size)
    _check_faces(out, photos)
    _check_sources(out, photos)
    before = parts(out)
    again = run_batch([str(photos)], out, options)
    assert again == BatchSummary(unchanged=5, failed_before=2)
    assert parts(out) == before
    assert archives.debris(out) == []


def _check_faces(out: Path, photos: Path) -> None:
    faces = archives.rows(out)
    assert faces.schema.equals(faces_schema(TOLD))
    assert faces.schema.metadata == faces_schema(TOLD).metadata
    result = Analyzer(threads=1, device="cpu").analyze(photos / "Ada 1.jpg")
    (expected,) = frame_record(result, embeddings=True).faces
    row = faces.to_pylist()[0]
    assert [row[key] for key in ("x1", "y1", "x2", "y2")] == pytest.approx(expected.box)
    assert row["embedding"] == pytest.approx(expected.told["embedding"], abs=1e-4)
    assert dict(row["emotion_probs"]) == pytest.approx(
        expected.told["emotion_probs"], abs=1e-3
    )
    assert (row["gender"], row["emotion"], row["schema_version"]) == (
        "female",
        "happiness",
        1,
    )
    assert row["age"] == pytest.approx(expected.told["age"], abs=0.2)
    assert "compact@" in row["models"]
    assert [r["face"] for r in faces.to_pylist()] == [0, 0, 1]


def _check_sources(out: Path, photos: Path) -> None:
    found = {
        Path(row["source"]).name: row
        for row in archives.rows(out, "sources").to_pylist()
    }
    assert {name: (row["faces"], row["status"]) for name, row in found.items()} == {
        "Ada 1.jpg": (1, "done"),
        "coffee.png": (0, "done"),
        "twins.jpg": (2, "done"),
        "broken.jpg": (0, "failed"),
        "empty.jpg": (0, "failed"),
    }
    assert found["Ada 1.jpg"]["taken_at"] == datetime(2019, 7, 4, 12, 30)
    assert found["twins.jpg"]["taken_at"] is None
    assert (found["twins.jpg"]["width"], found["twins.jpg"]["height"]) == (1024, 256)
    assert all(
        row["root"] == str(photos) and len(row["content_hash"]) == 64
        for row in found.values()
    )


@pytest.mark.slow
def test_changed_new_and_removed_files(
    photos: Path, astronaut: U8, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    run_batch([str(photos)], out, archives.options(shard_files=3))
    images.write_image(photos / "Ada 1.jpg", astronaut[:, ::-1])
    images.write_image(photos / "inside" / "broken.jpg", astronaut)
    images.write_image(photos / "new.jpg", astronaut)
    (photos / "inside" / "twins.jpg").unlink()
    summary = run_batch([str(photos)], out, archives.options(shard_files=3))
    assert (summary.analyzed, summary.unchanged, summary.removed, summary.errors) == (
        3,
        2,
        1,
        [],
    )
    run_batch([str(photos)], fresh, archives.options())
    assert len(archives.rows(out)) == 3
    assert archives.same_rows(out, fresh)


@pytest.mark.slow
def test_other_inputs_are_kept_and_touched_files_can_be_compared_by_content(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch([str(photos / "inside")], out, archives.options())
    summary = run_batch([str(photos / "Ada 1.jpg")], out, archives.options())
    assert (summary.analyzed, summary.removed) == (1, 0)
    assert len(archives.rows(out)) == 3
    os.utime(photos / "Ada 1.jpg", (1e9, 1e9))
    assert (
        run_batch(
            [str(photos / "Ada 1.jpg")], out, archives.options(by_content=True)
        ).unchanged
        == 1
    )
    assert run_batch([str(photos / "Ada 1.jpg")], out, archives.options()).analyzed == 1
    assert (
        run_batch(
            [str(photos / "inside")], out, archives.options(retry_failed=True)
        ).analyzed
        == 2
    )
    assert len(archives.rows(out, "errors")) == 2


@pytest.mark.slow
def test_videos_and_addresses(astronaut: U8, tmp_path: Path) -> None:
    with VideoRecorder(tmp_path / "film ä.mp4", rate=25.0) as recorder:
        for i in range(12):
            recorder.write(np.roll(astronaut, 2 * i, axis=1), i / 25)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "film ä.mp4").read_bytes()[:400])
    summary = run_batch(
        [f"{tmp_path.as_uri()}/*.mp4"], tmp_path / "out", archives.options(every=3)
    )
    assert summary.errors == [
        f"{tmp_path.as_uri()}/cut.mp4 is no video that can be read, or is damaged"
    ]
    faces = archives.rows(tmp_path / "out").to_pylist()
    assert {row["source"] for row in faces} == {f"{tmp_path.as_uri()}/film ä.mp4"}
    assert {row["index"] for row in faces} <= {0, 3, 6, 9}
    assert len(faces) >= 3
    assert len({row["track_id"] for row in faces}) == 1
    assert faces[-1]["time_s"] == pytest.approx(faces[-1]["index"] / 25, abs=0.01)
    done = [
        row
        for row in archives.rows(tmp_path / "out", "sources").to_pylist()
        if row["status"] == "done"
    ]
    assert [(row["kind"], row["frames"], row["width"]) for row in done] == [
        ("video", 4, 512)
    ]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_file_that_kills_its_worker_twice_is_an_error_and_the_others_are_done(
    photos: Path, tmp_path: Path
) -> None:
    trap = photos / "inside" / "d trap.jpg"
    os.mkfifo(
        trap
    )  # a worker that reads it hangs, and is killed as the system kills one that takes too much memory
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            run_batch, [str(photos)], tmp_path / "out", archives.options()
        )
        for _ in range(2):
            _kill_the_reader_of(trap)
        summary = running.result(timeout=120)
    assert (summary.analyzed, summary.faces) == (6, 3)
    (error,) = (error for error in summary.errors if "trap" in error)
    assert "ended the process that read it, 2 times (SIGKILL)" in error
    status = {
        Path(row["source"]).name: row["status"]
        for row in archives.rows(tmp_path / "out", "sources").to_pylist()
    }
    assert (status["d trap.jpg"], status["twins.jpg"]) == ("failed", "done")


def _kill_the_reader_of(pipe: Path) -> None:
    until(lambda: _is_read(pipe))
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    (worker,) = multiprocessing.active_children()
    worker.kill()  # and not joined: whose worker it is learns how it ended
    os.close(writer)
    until(lambda: not _is_read(pipe))


def _is_read(pipe: Path) -> bool:
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@pytest.mark.slow
def test_a_folder_made_otherwise_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(MienError, match="not a part or an attribute"):
        run_batch(
            [str(photos)],
            out,
            archives.options(choices={**archives.CHOICES, "only": ("shoe size",)}),
        )
    run_batch([str(photos)], out, archives.options())
    before = parts(out)
    with pytest.raises(
        InputError, match=r"was made with detector compact, now hog; .*another --output"
    ):
        run_batch(
            [str(photos)],
            out,
            archives.options(choices={**archives.IDENTITY, "detector": "hog"}),
        )
    with pytest.raises(InputError, match="every 1, now 2"):
        run_batch([str(photos)], out, archives.options(every=2))
    assert parts(out) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_two_writers_at_once_are_refused(photos: Path, tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with Archive.writing(tmp_path / "out", {}):
            inside.set()
            done.wait(30)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert inside.wait(30)
        with pytest.raises(InputError, match="another 'mien batch' is writing"):
            run_batch([str(photos)], tmp_path / "out", archives.options())
        done.set()


def test_nothing_to_do_and_places_that_cannot_be_written(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no photos or videos"):
        run_batch([str(tmp_path / "empty")], tmp_path / "out", archives.options())
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MienError, match="cannot write"):
        run_batch([str(photos)], tmp_path / "file", archives.options())
    with pytest.raises(InputError, match="no result of 'mien batch'"):
        Archive.open(tmp_path / "empty")


@pytest.mark.slow
def test_what_a_crash_between_two_files_leaves_is_repaired(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_batch([str(photos)], out, archives.options())
    (part,) = (path.name for path in (out / "sources").iterdir())
    whole = {table: pq.read_table(out / table / part) for table in TABLES}
    (
        out / "sources" / part
    ).unlink()  # killed before the commit: the faces are there, the sources not
    (out / "faces" / f".{part}.tmp").write_bytes(b"half a file")
    assert len(Archive.open(out).table("faces")) == 0
    run_batch([str(photos)], out, archives.options())
    assert {table: pq.read_table(out / table / part) for table in TABLES} == whole
    os.utime(
        photos / "Ada 1.jpg", (1e9, 1e9)
    )  # killed while the old rows of a changed file were dropped
    kept = whole["faces"].slice(1)
    pq.write_table(kept, out / "faces" / part)
    run_batch([str(photos)], out, archives.options())
    assert len(archives.rows(out)) == 3
    assert len(archives.rows(out, "sources")) == 5
    assert archives.debris(out) == []


@pytest.mark.slow
def test_workers_do_not_outlive_the_batch(photos: Path, tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    run_batch([str(photos)], tmp_path / "out", archives.options(jobs=2, shard_files=1))
    assert multiprocessing.active_children() == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_an_archive_of_mien_0_1_goes_on(tmp_path: Path) -> None:
    """What is called crops now was called looks."""
    with Archive.writing(tmp_path, {"crops": 1}) as archive:
        archive.commit(make_outcome([], [], []))
    file = tmp_path / "mien-batch.json"
    file.write_text(file.read_text().replace('"crops"', '"looks"'))
    with Archive.writing(tmp_path, {"crops": 1}) as archive:
        assert archive.settings() == {"crops": 1}
    with (
        pytest.raises(InputError, match="crops 1, now 12"),
        Archive.writing(tmp_path, {"crops": 12}),
    ):
        pass
