"""The commands as people use them: real processes, real photos, real exit codes."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from background import until
from commands import MIEN, Inside, in_own_process
from mien.cli import _COMMANDS, LazyGroup
from mien.cli.copies import AnalyzeInput, jobs_for
from mien.cli.options import SharedOptions
from mien.cli.people_enroll import Enrolment
from mien.errors import ModelError
from mien.gallery import Photo, SqliteGallery
from mien.media import images
from mien.models.attributes.heads import AGE_GROUPS
from mien.pipeline import Analyzer
from mien.runtime import default_threads
from mien.types import U8, Frame, FrameResult
from mien.zoo import DLIB

FAST = ("--only", "identity")
COMMANDS = tuple(_COMMANDS)


def records(result: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_help_lists_every_command_and_imports_none() -> None:
    heavy = "{'numpy', 'cv2', 'av', 'onnxruntime', 'pydantic', 'sqlalchemy', 'scipy'}"
    code = f"import atexit, sys; atexit.register(lambda: print('imported', {heavy} & set(sys.modules)));"
    command = [
        sys.executable,
        "-c",
        f"{code} from mien.cli import main; main()",
        "--help",
    ]
    said = subprocess.check_output(command, text=True)
    assert all(f" {name} " in said for name in COMMANDS)
    assert said.splitlines()[-1] == "imported set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_all_says_what_the_help_of_each_says(command: str) -> None:
    own = LazyGroup().get_command(None, command).help
    assert " ".join(own.partition("\n\n")[0].split()) == _COMMANDS[command][1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, inside: Inside) -> None:
    result = inside(command, "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout


@pytest.mark.slow
def test_the_json_of_one_photo(astronaut_file: Path) -> None:
    result = in_own_process("analyze", astronaut_file, "--embeddings")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (record,) = records(result)
    assert list(record) == ["source", "index", "time_s", "width", "height", "faces"]
    assert (record["source"], record["width"], record["height"]) == (
        str(astronaut_file),
        512,
        512,
    )
    (face,) = record["faces"]  # type: ignore[misc]
    x1, y1, x2, y2 = face["box"]
    assert 130 < x1 < 220 < x2 < 300
    assert 30 < y1 < 110 < y2 < 210
    assert 0.5 <= face["score"] <= 1
    assert np.shape(face["landmarks"]) == (5, 2)
    assert (face["track_id"], face["name"], face["distance"]) == (None, None, None)
    assert 15 < face["age"] < 60
    assert tuple(face["age_group_probs"]) == AGE_GROUPS.labels
    assert face["age_group"] in AGE_GROUPS.labels
    assert face["gender"] == "female"
    assert face["emotion"] == "happiness"
    for name in ("age_group_probs", "gender_probs", "emotion_probs"):
        assert sum(face[name].values()) == pytest.approx(1, abs=0.01)
    assert len(face["embedding"]) == 128


@pytest.mark.parametrize(
    ("only", "present", "absent"),
    [
        (
            "identity",
            {"name", "distance"},
            {"age", "age_group", "gender", "emotion", "embedding"},
        ),
        (
            "age",
            {"age", "age_group", "age_group_probs"},
            {"name", "distance", "gender", "emotion"},
        ),
        (
            "gender,emotion",
            {"gender", "emotion_probs"},
            {"name", "age", "age_group_probs"},
        ),
    ],
)
def test_only(
    astronaut_file: Path, only: str, present: set[str], absent: set[str], inside: Inside
) -> None:
    (record,) = records(inside("analyze", astronaut_file, "--only", only))
    (face,) = record["faces"]  # type: ignore[misc]
    assert present <= face.keys()
    assert not absent & face.keys()


@pytest.mark.slow
def test_formats_and_outputs(
    astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    table = inside("analyze", astronaut_file, *FAST, "--format", "table")
    assert "astronaut.png" in table.stdout
    listed = inside("analyze", astronaut_file, *FAST, "--format", "json")
    assert len(json.loads(listed.stdout)[0]["faces"]) == 1
    (row,) = csv.DictReader(
        io.StringIO(inside("analyze", astronaut_file, *FAST, "--format", "csv").stdout)
    )
    assert float(row["x1"]) > 100
    out = tmp_path / "faces.csv"
    written = inside("analyze", astronaut_file, *FAST, "--output", out)
    assert written.stdout == ""
    assert len(list(csv.DictReader(out.open()))) == 1


def test_parquet(astronaut_file: Path, tmp_path: Path, inside: Inside) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "faces.parquet"
    assert (
        inside(
            "analyze", astronaut_file, *FAST, "--output", out, "--embeddings"
        ).returncode
        == 0
    )
    table = parquet.read_table(out).to_pylist()
    assert len(table) == 1
    assert len(table[0]["embedding"]) == 128
    assert (
        inside("analyze", astronaut_file, *FAST, "--format", "parquet").returncode == 2
    )


@pytest.mark.slow
def test_folders_some_bad_inputs_and_drawing(
    astronaut: U8, face_free: U8, tmp_path: Path
) -> None:
    photos = tmp_path / "my phötos"
    (photos / "inside").mkdir(parents=True)
    images.write_image(photos / "Ada 1.jpg", astronaut)
    images.write_image(photos / "inside" / "coffee.png", face_free)
    (photos / "inside" / "broken.jpg").write_bytes(b"no picture")
    (photos / "inside" / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("not looked at")
    drawn = tmp_path / "drawn"
    result = in_own_process("analyze", photos, *FAST, "--draw", drawn, "--jobs", 2)
    assert result.returncode == 1
    found = {str(r["source"]): r for r in records(result)}
    assert list(found) == [
        f"{photos}/{name}"
        for name in (
            "Ada 1.jpg",
            "inside/broken.jpg",
            "inside/coffee.png",
            "inside/empty.jpg",
        )
    ]
    assert [len(r["faces"]) for r in found.values()] == [1, 0, 0, 0]  # type: ignore[arg-type]
    assert ["error" in r for r in found.values()] == [False, True, False, True]
    assert "broken.jpg is no picture" in result.stderr
    assert "empty.jpg is empty" in result.stderr
    copy = cv2.imread(str(drawn / "Ada 1.jpg"))
    assert copy.shape == astronaut.shape
    assert np.abs(copy.astype(int) - astronaut).mean() > 0.5
    assert (drawn / "inside" / "coffee.png").is_file()
    assert not (drawn / "inside" / "broken.jpg").exists()


@pytest.mark.slow
def test_names_that_are_no_utf8_and_names_that_look_like_markup(
    astronaut: U8, tmp_path: Path, inside: Inside
) -> None:
    photo = tmp_path / "photos" / "[red]" / "[b] caf\udce9.jpg"
    photo.parent.mkdir(parents=True)
    images.write_image(tmp_path / "a.jpg", astronaut)
    try:
        (tmp_path / "a.jpg").rename(photo)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    source = f"{tmp_path}/photos/[red]/[b] caf\\xe9.jpg"
    drawn, crops, people = (
        tmp_path / name for name in ("drawn", "crops", "people.json")
    )
    result = inside(
        "analyze",
        tmp_path / "photos",
        *FAST,
        "--draw",
        drawn,
        "--gallery",
        photo.parent,
    )
    (record,) = records(result)
    assert record["source"] == source
    assert record["faces"][0]["name"] == "[b] caf\\xe9"  # type: ignore[index]
    assert (drawn / "[red]" / photo.name).is_file()
    assert inside("crop", tmp_path / "photos", "--into", crops).returncode == 0
    assert (crops / "[red]" / "[b] caf\\xe9.jpg").is_file()
    assert inside("people", "export", people, "--gallery", photo.parent).returncode == 0
    assert json.loads(people.read_text())["photos"][0]["name"] == "[b] caf\\xe9"


@pytest.mark.parametrize(
    "arguments",
    [
        ("analyze",),
        ("analyze", "no-such.jpg"),
        ("analyze", ""),
        ("analyze", "PHOTO", "--gallery", "EMPTY/people.db"),
        ("analyze", "PHOTO", "--output", "PHOTO"),
        ("analyze", "PHOTO", "--output", "EMPTY/faces.yaml"),
        ("analyze", "PHOTO", "--output", "EMPTY/faces.csv", "--format", "json"),
        ("analyze", "PHOTO", "--only", "shoe size"),
        ("analyze", "PHOTO", "--detector", "nobody"),
        ("analyze", "PHOTO", "--format", "yaml"),
        ("analyze", "PHOTO", "--device", "abacus"),
        ("analyze", "PHOTO", "--emotion-model", "PHOTO"),
        ("analyze", "EMPTY"),
        ("enroll", "Ada", "PHOTO", "--gallery", "none"),
        ("people", "--gallery", "none"),
        ("people", "remove", "Nobody", "--gallery", "EMPTY/people.db"),
        ("people", "photos", "Ada", "--into", "EMPTY/x", "--remove", "3f"),
        ("people", "import", "PHOTO", "--name", "Ada"),
        ("models", "get", "nothing"),
        ("dance",),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_bad_usage_exits_2_with_one_clear_line(
    arguments: tuple[str, ...], astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    given = [
        a.replace("PHOTO", str(astronaut_file)).replace("EMPTY", str(tmp_path))
        for a in arguments
    ]
    result = inside(*given)
    assert result.returncode == 2
    assert all(json.loads(line)["error"] for line in result.stdout.splitlines())
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("place", ["people", "people.db"], ids=["folder", "database"])
def test_a_gallery_from_enrolment_to_removal(
    place: str,
    astronaut: U8,
    astronaut_file: Path,
    face_free: U8,
    tmp_path: Path,
    inside: Inside,
) -> None:
    gallery = {"MIEN_GALLERY": str(tmp_path / place)}
    twins, nobody = tmp_path / "twins.png", tmp_path / "nobody.png"
    images.write_image(
        twins, np.hstack([astronaut, cv2.resize(astronaut, None, fx=0.8, fy=1)])
    )
    images.write_image(nobody, face_free)
    assert inside("enroll", "Ada Lövelace", astronaut_file, **gallery).returncode == 0
    refused = inside("enroll", "Ada Lövelace", nobody, twins, **gallery)
    assert refused.returncode == 2
    assert "no face found" in refused.stderr
    assert "2 faces found" in refused.stderr
    assert (
        inside("enroll", "Grace", nobody, twins, "--largest", **gallery).returncode == 1
    )
    everybody = json.loads(inside("people", "--json", **gallery).stdout)
    assert [(p["name"], p["photos"]) for p in everybody] == [
        ("Ada Lövelace", 1),
        ("Grace", 1),
    ]
    (record,) = records(inside("analyze", twins, *FAST, **gallery))
    assert {face["name"] for face in record["faces"]} == {"Ada Lövelace", "Grace"}  # type: ignore[attr-defined]
    assert inside("people", "merge", "Grace", "Ada Lövelace", **gallery).returncode == 0
    assert (
        inside("people", "rename", "Ada Lövelace", "Ada/L.", **gallery).returncode == 0
    )
    (record,) = records(inside("analyze", astronaut_file, *FAST, **gallery))
    assert record["faces"][0]["name"] == "Ada/L."  # type: ignore[index]
    assert record["faces"][0]["distance"] == 0  # type: ignore[index]
    assert inside("people", "remove", "Ada/L.", "--yes", **gallery).returncode == 0
    assert json.loads(inside("people", "--json", **gallery).stdout) == []


@pytest.mark.slow
def test_unknown_people_from_keeping_to_forgetting(
    astronaut: U8, tmp_path: Path, inside: Inside
) -> None:
    photos, people = tmp_path / "photos", ("--gallery", tmp_path / "people.db")
    photos.mkdir()
    for i in range(4):
        cv2.imwrite(str(photos / f"{i}.png"), astronaut[3 * i :, 2 * i :])
    done = inside("analyze", photos, *people, *FAST, "--keep-unknown", 30)
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(
        inside("people", "unknown", *people, "--format", "json").stdout
    )
    assert [Path(face["source"]).name for face in group["faces"]] == [
        "3.png",
        "2.png",
        "1.png",
        "0.png",
    ]
    assert group["id"] in inside("people", "unknown", *people).stdout
    saved = inside(
        "people", "unknown", "save", group["id"], "--into", tmp_path / "faces", *people
    )
    assert len(saved.stdout.split()) == len(list((tmp_path / "faces").iterdir())) == 4
    two = [face["id"] for face in group["faces"][:2]]
    (made,) = json.loads(
        inside(
            "people", "unknown", "split", group["id"], *two, *people, "--format", "json"
        ).stdout
    )
    assert [face["id"] for face in made["faces"]] == two
    assert (
        inside(
            "people", "unknown", "merge", made["id"], group["id"], *people
        ).returncode
        == 0
    )
    assert (
        inside("people", "unknown", "name", group["id"], "Ada", *people).returncode == 0
    )
    assert (
        records(inside("analyze", photos / "0.png", *people, *FAST))[0]["faces"][0][
            "name"
        ]
        == "Ada"
    )  # type: ignore[index]
    assert "name" in inside("people", "unknown", "undo", *people).stderr
    assert inside("people", *people, "--json").stdout.strip() == "[]"
    assert (
        inside("people", "unknown", "forget", group["id"], *people).stderr
        == "4 faces deleted\n"
    )
    assert (
        json.loads(inside("people", "unknown", *people, "--format", "json").stdout)
        == []
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("analyze", "x.png", "--gallery", "none", "--keep-unknown", "30"),
            "needs a gallery",
        ),
        (
            ("analyze", "x.png", "--gallery", "p.db", "--keep-unknown", "nan"),
            "no number of days",
        ),
        (
            ("analyze", "x.png", "--gallery", "p.db", "--keep-unknown", "0"),
            "no number of days",
        ),
        (
            (
                "analyze",
                "x.png",
                "--gallery",
                "p.db",
                "--only",
                "age",
                "--keep-unknown",
                "30",
            ),
            "identity",
        ),
        (("people", "unknown", "name", "none", "Ada", "--gallery", "p.db"), "no group"),
        (("people", "unknown", "undo", "--gallery", "p.db"), "nothing to take back"),
        (("people", "unknown", "forget", "--gallery", "p.db"), "--all"),
        (("people", "unknown", "--format", "yaml", "--gallery", "p.db"), "yaml"),
    ],
)
def test_unknown_people_bad_usage(
    arguments: tuple[str, ...],
    words: str,
    astronaut: U8,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inside: Inside,
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("x.png", astronaut)
    SqliteGallery(Path("p.db"), space=DLIB).close()
    result = inside(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_check_tells_whose_photos_are_numbers_alone(
    tmp_path: Path, inside: Inside
) -> None:
    file = tmp_path / "ada.json"
    file.write_text(json.dumps({"Ada": [[0.1] * 128, [0.2] * 128]}))
    place = ["--gallery", tmp_path / "people.db"]
    inside("people", "import", file, *place)
    report = json.loads(inside("people", "check", "--format", "json", *place).stdout)
    assert report["one_view"] == [{"name": "Ada", "photos": 2}]
    shown = " ".join(inside("people", "check", *place).stdout.split())
    assert "enrol these photos once more" in shown


def test_check_decides_as_everything_else_does(tmp_path: Path, inside: Inside) -> None:
    gallery = SqliteGallery(tmp_path / "people.db", space=DLIB)
    for name, row in zip(("Ada", "Eve"), np.eye(128, dtype=np.float32), strict=False):
        gallery.enroll(name, [Photo(row, name, f"{name}.jpg")])
    gallery.close()
    check = ("people", "check", "--gallery", tmp_path / "people.db", "--json")

    def tolerance(*said: str, **environment: str) -> float:
        return float(
            json.loads(inside(*check, *said, **environment).stdout)["tolerance"]
        )

    assert DLIB.rates is not None
    assert tolerance() == 0.6
    rare = {"MIEN_FALSE_NAMES": "0.001"}
    assert tolerance(**rare) == round(DLIB.rates.tolerance(0.001, 2), 4) < 0.6
    assert tolerance("--tolerance", "0.5", **rare) == 0.5
    for wrong in ("nan", "inf"):
        assert "a distance from 0" in inside(*check, "--tolerance", wrong).stderr


def test_an_option_takes_the_place_of_a_setting_that_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chosen(**said: float) -> tuple[float | None, float | None]:
        choices = SharedOptions(gallery="none", **said).choices()
        return choices["tolerance"], choices["false_names"]

    monkeypatch.setenv("MIEN_TOLERANCE", "0.5")
    assert chosen() == (0.5, None)
    assert chosen(false_names=0.01) == (None, 0.01)
    monkeypatch.delenv("MIEN_TOLERANCE")
    monkeypatch.setenv("MIEN_FALSE_NAMES", "0.02")
    assert chosen(tolerance=0.4) == (0.4, None)
    assert chosen(tolerance=0.4, false_names=0.01) == (0.4, 0.01)  # refused later


def test_enrolling_one_person_under_two_names_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = SqliteGallery(tmp_path / "people.db", space=DLIB)
    rows = np.eye(128, dtype=np.float32)
    photos = [Photo(rows[0] + 0.01 * i * rows[1], str(i), f"{i}.jpg") for i in range(3)]
    gallery.enroll("Ada", photos[:1])
    for name in ("Ada", "Countess"):
        enrolment = Enrolment(gallery, name, lambda _: photos[1:], strict=False)
        assert all(one.enrolled for one in enrolment.add_all(["film.mp4"]))
        told = capsys.readouterr().err.splitlines()
        assert len(told) == (name == "Countess")  # once, not for each photo
    assert told[0].startswith("mien: 1.jpg looks like Ada, too (0.0")
    gallery.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", ["faces.csv", "faces.jsonl", "faces.json"])
def test_a_full_disk_is_said_in_a_line(
    name: str, astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    full = inside("analyze", astronaut_file, *FAST, "--output", tmp_path / name)
    assert full.returncode == 2
    assert full.stderr.splitlines()[-1].endswith("No space left on device")


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path, inside: Inside) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    place = ["--gallery", tmp_path / "people.db"]
    for command in (
        ["enroll", "Ada", broken, *place],
        ["find", broken, "--in", tmp_path],
        ["blur", broken, "--output", tmp_path / "copy.jpg"],
    ):
        assert f"{broken} is no picture" in inside(*command).stderr


@pytest.mark.slow
def test_people_in_postgresql_are_checked_and_indexed(
    postgres_url: str, astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    gallery = {"MIEN_GALLERY": postgres_url}
    for name in ("Ada", "Ada again"):
        assert inside("enroll", name, astronaut_file, **gallery).returncode == 0
    report = json.loads(inside("people", "check", "--format", "json", **gallery).stdout)
    assert (report["people"], report["photos"], report["suggestion"]) == (2, 2, None)
    assert [
        (pair["first"], pair["second"], pair["nearest"])
        for pair in report["duplicates"]
    ] == [("Ada", "Ada again", 0)]
    shown = inside("people", "check", **gallery)
    assert shown.returncode == 0
    assert "Ada again" in shown.stdout
    assert inside("people", "check", "--format", "xml", **gallery).returncode == 2
    assert inside("people", "index", **gallery).returncode == 0
    (record,) = records(inside("analyze", astronaut_file, *FAST, **gallery))
    assert record["faces"][0]["name"] in {"Ada", "Ada again"}  # type: ignore[index]
    assert (
        inside("people", "index", "--gallery", tmp_path / "people.db").returncode == 2
    )
    exported = tmp_path / "people.json"
    assert inside("people", "export", exported, **gallery).returncode == 0
    assert (
        inside(
            "people", "import", exported, "--gallery", tmp_path / "folder"
        ).returncode
        == 0
    )
    everybody = json.loads(
        inside("people", "--json", "--gallery", tmp_path / "folder").stdout
    )
    assert [(person["name"], person["photos"]) for person in everybody] == [
        ("Ada", 1),
        ("Ada again", 1),
    ]
    (record,) = records(
        inside("analyze", astronaut_file, *FAST, "--gallery", tmp_path / "folder")
    )
    assert record["faces"][0]["distance"] == 0  # type: ignore[index]


@pytest.mark.slow
def test_people_travel_as_json_and_npy(
    astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    first, second = (str(tmp_path / f"{n}.db") for n in (1, 2))
    exported, array = tmp_path / "people.json", tmp_path / "Grace.npy"
    assert inside("enroll", "Ada", astronaut_file, "--gallery", first).returncode == 0
    assert inside("people", "export", exported, "--gallery", first).returncode == 0
    assert inside("people", "import", exported, "--gallery", second).returncode == 0
    np.save(array, np.full((2, 128), 0.1))
    assert inside("people", "import", array, "--gallery", second).returncode == 0
    everybody = json.loads(inside("people", "--json", "--gallery", second).stdout)
    assert [(p["name"], p["photos"]) for p in everybody] == [("Ada", 1), ("Grace", 1)]
    (record,) = records(inside("analyze", astronaut_file, *FAST, "--gallery", second))
    assert record["faces"][0]["name"] == "Ada"  # type: ignore[index]
    (tmp_path / "evil.npy").write_bytes(b"\x80\x04\x95cos\nsystem\n")
    assert (
        inside(
            "people", "import", tmp_path / "evil.npy", "--gallery", second
        ).returncode
        == 2
    )


def gallery_of(place: Path, *names: str) -> Path:
    """A gallery of people who are numbers only."""
    gallery = SqliteGallery(place, space=DLIB)
    for i, name in enumerate(names):
        gallery.enroll(name, [Photo(np.full(128, i / 9, np.float32), f"{i}")])
    gallery.close()
    return place


def test_what_was_done_to_people_is_said(tmp_path: Path, inside: Inside) -> None:
    place = gallery_of(tmp_path / "p.db", "Ada", "Grace", "Alan")
    assert (
        inside("people", "rename", "Ada", "Ada L.", "--gallery", place).stdout
        == "Ada is called Ada L. now\n"
    )
    assert (
        inside("people", "merge", "Grace", "Alan", "--gallery", place).stdout
        == "Grace is Alan now, with 2 photos\n"
    )
    same = inside("people", "merge", "Alan", " Alan", "--gallery", place)
    assert (same.returncode, "name another" in same.stderr) == (2, True)
    gone = inside("people", "remove", "Alan", "--yes", "--gallery", place)
    assert gone.stdout == "Alan is forgotten, with 2 photos\n"
    assert inside("people", "--json", "--gallery", place).stdout.count("name") == 1


@pytest.mark.slow
def test_the_photos_of_a_person(tmp_path: Path, inside: Inside) -> None:
    place = gallery_of(tmp_path / "p.db", "Grace")
    picture = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    row = np.ones(128, np.float32)
    gallery = SqliteGallery(place, space=DLIB)
    gallery.enroll(
        "Ada",
        [
            Photo(row, "a1" * 32, "ada.jpg", thumbnail=picture),
            Photo(row / 2, "a2" * 32, "old.jpg"),
        ],
    )
    gallery.close()
    asked = ("people", "photos", "Ada", "--gallery", place)
    told = inside(*asked)
    assert [line.split()[:2] for line in told.stdout.splitlines()[1:]] == [
        ["a1" * 6, "ada.jpg"],
        ["a2" * 6, "old.jpg"],
    ]
    assert "enrol the photo once more" in told.stderr
    assert [
        one["thumbnail"] for one in json.loads(inside(*asked, "--json").stdout)
    ] == [True, False]
    assert inside(*asked, "--into", tmp_path / "faces").returncode == 0
    assert {
        file.name: file.read_bytes() for file in (tmp_path / "faces").iterdir()
    } == {f"{'a1' * 6}.jpg": picture}

    inside("people", "export", tmp_path / "p.json", "--gallery", place)
    inside("people", "import", tmp_path / "p.json", "--gallery", tmp_path / "folder")
    moved = (
        "people",
        "photos",
        "Ada",
        "--gallery",
        tmp_path / "folder",
        "--into",
        tmp_path / "moved",
    )
    assert inside(*moved).returncode == 0
    assert [file.read_bytes() for file in (tmp_path / "moved").iterdir()] == [picture]

    assert "several photos begin so" in inside(*asked, "--remove", "a", "--yes").stderr
    assert inside(*asked, "--remove", "b", "--yes").returncode == 2
    assert (
        inside(*asked, "--remove", "a1", "--yes").stdout
        == "Ada: 1 photo removed, 1 photo left\n"
    )
    assert "forgotten" in inside(*asked, "--remove", "a2", "--yes").stdout
    assert [
        person["name"]
        for person in json.loads(inside("people", "--json", "--gallery", place).stdout)
    ] == ["Grace"]


@pytest.mark.parametrize(
    ("answer", "terminal", "left"),
    [
        ("y\n", True, 0),
        ("n\n", True, 1),
        ("\n", True, 1),
        ("", True, 1),
        ("y\n", False, 0),
        ("n\n", False, 1),
        ("\n", False, 1),
        ("", False, 0),  # in a pipe in which no answer comes the command itself says so
    ],
)
def test_remove_asks(
    answer: str,
    terminal: bool,
    left: int,
    tmp_path: Path,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = gallery_of(tmp_path / "p.db", "Ada")
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdin", stdin)
    asked = inside("people", "remove", "Ada", "--gallery", place)
    assert "Forget Ada with 1 photo?" in asked.stderr
    assert (asked.returncode == 0) == (left == 0)
    assert (asked.returncode == 130) == (terminal and not answer)  # nobody is there
    everybody = inside("people", "--json", "--gallery", place).stdout
    assert len(json.loads(everybody)) == left


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("analyse", "x.jpg"), "did you mean 'analyze'?"),
        (
            ("people", "remove", "Ada Lovelance", "--yes"),
            "did you mean 'Ada Lovelace'?",
        ),
        (("people", "rename", "ada lovelace", "Ada"), "did you mean 'Ada Lovelace'?"),
        (("analyze", "x.jpg", "--detector", "yunnet"), "did you mean 'yunet'?"),
        (("analyze", "x.jpg", "--only", "emotoin"), "did you mean 'emotion'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_did_you_mean(
    arguments: tuple[str, ...], words: str, tmp_path: Path, inside: Inside
) -> None:
    place = gallery_of(tmp_path / "p.db", "Ada Lovelace", "Grace Hopper")
    result = inside(
        *arguments, *(("--gallery", place) if arguments[0] == "people" else ())
    )
    assert result.returncode == 2
    assert words in result.stderr


@pytest.mark.slow
def test_a_dash_is_standard_input(
    astronaut_file: Path,
    tmp_path: Path,
    inside: Inside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for arguments in (("enroll", "Ada", "-"), ("analyze", "-", *FAST)):
        monkeypatch.setattr(
            sys, "stdin", io.TextIOWrapper(io.BytesIO(astronaut_file.read_bytes()))
        )
        done = inside(*arguments, "--gallery", tmp_path / "people.db")
        assert done.returncode == 0, done.stderr
    (record,) = records(done)
    assert (record["source"], record["faces"][0]["name"]) == ("-", "Ada")  # type: ignore[index]


@pytest.mark.parametrize(
    "arguments", [("-h",), ("people", "-h"), ("people", "remove", "-h")], ids=" ".join
)
def test_h_is_help(arguments: tuple[str, ...], inside: Inside) -> None:
    assert "Usage: mien" in inside(*arguments).stdout


def test_python_m_mien() -> None:
    command = [sys.executable, "-m", "mien", "--version"]
    assert subprocess.check_output(command, text=True).startswith("mien ")


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(astronaut: U8, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out.jsonl"
    photos.mkdir()
    for i in range(400):
        images.write_image(photos / f"{i:03d}.jpg", astronaut)
    command = [*MIEN, "analyze", str(photos), "--output", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until(lambda: out.exists() and out.stat().st_size)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert 0 < len(lines) < 400


def test_looking_makes_no_gallery(
    astronaut_file: Path, tmp_path: Path, inside: Inside
) -> None:
    mistyped = tmp_path / "peple.db"
    assert (
        "there is no gallery at"
        in inside("analyze", astronaut_file, "--gallery", mistyped).stderr
    )
    assert "there is no gallery at" in inside("people", "--gallery", mistyped).stderr
    assert not mistyped.exists()


@pytest.mark.parametrize(
    "photos",
    ["", ', "photos": 3', ', "photos": [{"x": 1}]'],
    ids=["none", "number", "nameless"],
)
def test_a_damaged_export_is_refused(
    photos: str, tmp_path: Path, inside: Inside
) -> None:
    file = tmp_path / "people.json"
    file.write_text(
        '{"format": "mien people 1", "embedder": "dlib_resnet"' + photos + "}"
    )
    result = inside("people", "import", file, "--gallery", tmp_path / "people.db")
    assert result.returncode == 2
    assert "is damaged" in result.stderr


def test_an_export_of_somebody_else_names_no_files(
    tmp_path: Path, inside: Inside
) -> None:
    picture = base64.b64encode(
        images.small_jpeg(np.zeros((8, 8, 3), np.uint8), side=8, quality=80)
    ).decode()
    photo = {"name": "Ada", "sha256": "../../out", "embedding": [0.1] * 128}
    document = {
        "format": "mien people 1",
        "embedder": "dlib_resnet",
        "photos": [{**photo, "thumbnail": picture}],
    }
    file, place = tmp_path / "people.json", tmp_path / "people.db"
    file.write_text(json.dumps(document))
    assert inside("people", "import", file, "--gallery", place).returncode == 0
    into = tmp_path / "a" / "b"
    saved = inside("people", "photos", "Ada", "--into", into, "--gallery", place)
    assert (saved.returncode, len(list(into.iterdir()))) == (0, 1)
    assert not (tmp_path / "out.jpg").exists()


def test_an_export_with_a_name_that_is_none_leaves_no_gallery(
    tmp_path: Path, inside: Inside
) -> None:
    file, place = tmp_path / "people.json", tmp_path / "people.db"
    file.write_text(json.dumps({"n" * 300: [[0.1] * 128]}))
    done = inside("people", "import", file, "--gallery", place)
    assert (done.returncode, "at most 200" in done.stderr) == (2, True)
    assert not place.exists()


def test_a_picture_that_breaks_the_analysis_is_one_failed_input(
    astronaut_file: Path, monkeypatch: pytest.MonkeyPatch, inside: Inside
) -> None:
    look = Analyzer.analyze_frame

    def breaks_once(self: Analyzer, frame: Frame) -> FrameResult:
        if frame.image.shape[0] == 1:
            raise ModelError("out of memory")
        return look(self, frame)

    monkeypatch.setattr(Analyzer, "analyze_frame", breaks_once)
    line = astronaut_file.with_name("line.png")
    images.write_image(line, np.zeros((1, 9, 3), np.uint8))
    result = inside("analyze", line, astronaut_file, *FAST)
    assert result.returncode == 1
    assert [len(record["faces"]) for record in records(result)] == [0, 1]  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(
    astronaut_file: Path, tmp_path: Path
) -> None:
    shell = (
        f'"{sys.executable}" -c "from mien.cli import main; main()" models | head -1'
    )
    result = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in result.stderr


def test_importing_mien_is_free() -> None:
    code = "import sys, mien; print(sorted({'numpy', 'cv2', 'onnxruntime', 'onnx', 'pydantic'} & set(sys.modules)))"
    assert (
        subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    )


@pytest.mark.slow
def test_a_stream_without_a_window_makes_no_gallery_of_its_own(
    inside: Inside, face_film: Path, tmp_path: Path
) -> None:
    one = ("live", face_film, "--no-window", "--stats", "--max-frames", 1)
    done = inside(*one, MIEN_DATA=str(tmp_path))
    assert json.loads(done.stdout)["frames"] == 1
    assert not list(tmp_path.rglob("*.db"))
    named = tmp_path / "new" / "people.db"
    inside(*one, "--gallery", named, MIEN_DATA=str(tmp_path))
    assert named.exists()


@pytest.mark.slow
def test_one_photo_loads_nothing_of_films_addresses_copies_and_rare_formats(
    astronaut: U8, tmp_path: Path
) -> None:
    photo = tmp_path / "a.jpg"
    images.write_image(photo, astronaut)
    code = """
import sys
from mien.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {"av", "rich.progress", "rich.table", "PIL.PdfImagePlugin", "sqlalchemy"}
heavy |= {"PIL.ImageFont", "http.client", "mien.gallery.folder", "mien.tracking"}
heavy |= {"importlib.metadata", "pydantic", "tomllib"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "analyze", str(photo)],
        env={**os.environ, "MIEN_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(records(done)) == 1
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        (["a.jpg"], 1),
        ([f"{i}.jpg" for i in range(99)], default_threads()),
        ([*(f"{i}.jpg" for i in range(99)), "film.mp4"], 1),
    ],
    ids=["one photo", "many photos", "a video among them"],
)
def test_photos_are_looked_at_by_all_cores(names: list[str], jobs: int) -> None:
    assert jobs_for([AnalyzeInput(name) for name in names]) == jobs


LONG = "9" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["analyze", LONG],
        ["live", LONG, "--no-window"],
        ["blur", LONG, "--output", "safe.jpg"],
        ["tag", LONG, "--gallery", "people.db"],
        ["analyze", "a.jpg", "--gallery", LONG],
        ["analyze", "a.jpg", "--draw", f"{LONG}.jpg"],
        ["people", "import", LONG],
        ["models", "import", LONG],
        ["batch", LONG, "--output", "result"],
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_names_longer_than_the_system_takes_are_said(
    inside: Inside,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = inside(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "mien: " in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there completion is PowerShell's")
def test_completion_is_installed_at_the_tests_home_and_not_at_the_users(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    import shellingham

    # The shell that is above this process, which is none where nobody types.
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))
    users = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".bashrc"
    before = users.read_bytes() if users.exists() else None
    assert inside("--install-completion", "bash").returncode == 0
    assert Path.home() != users.parent
    assert "mien" in (Path.home() / ".bashrc").read_text()
    assert (users.read_bytes() if users.exists() else None) == before
