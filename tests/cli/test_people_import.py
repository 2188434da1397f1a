"""People of other programs, in the layouts that these write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from background import served
from commands import Inside
from mien.cli.people_import import open_library
from mien.errors import InputError, SourceError

KEY = "f5e06ab3-ef59-495e-9731-82cd52f28aa1"


@pytest.fixture(scope="module")
def photos(shared: Path) -> Path:
    return shared / "fixtures" / "photos"


def put(place: Path, photo: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(photo, place)


@pytest.fixture
def frigate(tmp_path: Path, photos: Path) -> Path:
    """/media/frigate: faces by name, and attempts that nobody has confirmed."""
    faces = tmp_path / "frigate" / "clips" / "faces"
    put(faces / "Ada_Lovelace" / "Ada_Lovelace-1737000000.1.webp", photos / "002_A.jpg")
    put(faces / "Ben" / "Ben-1737000001.2.webp", photos / "007_B.jpg")
    put(faces / "Ben" / "Ben-1737000001.3.webp", photos / "free-mountain-vector-01.jpg")
    attempt = "1737000002.1-abc-1737000003.4-unknown-0.3.webp"
    put(faces / "train" / attempt, photos / "009_C.jpg")
    return tmp_path / "frigate"


def test_frigate_s_library_but_not_its_attempts(frigate: Path) -> None:
    for given in (frigate, frigate / "clips" / "faces"):
        library = open_library(str(given), key="")
        assert library.program == "Frigate"
        assert list(library.people) == ["Ada Lovelace", "Ben"]
        assert [len(some) for some in library.people.values()] == [1, 2]
        assert any("nobody has confirmed" in one for one in library.passed_over)


def test_double_take_s_storage_but_not_its_matches(
    tmp_path: Path, photos: Path
) -> None:
    put(tmp_path / "train" / "ada_l" / "door-1737000000.jpg", photos / "002_A.jpg")
    put(tmp_path / "matches" / "e1c1.jpg", photos / "007_B.jpg")
    library = open_library(str(tmp_path), key="")
    assert (library.program, list(library.people)) == ("double-take", ["ada_l"])
    assert any("matches nobody has confirmed" in one for one in library.passed_over)


def test_a_folder_of_nobody_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nobody")
    with pytest.raises(InputError, match="clips/faces"):
        open_library(str(tmp_path), key="")


@pytest.mark.slow
def test_everybody_is_taken_and_what_is_not_is_told(
    inside: Inside, frigate: Path, tmp_path: Path
) -> None:
    place = tmp_path / "people.db"
    tried = inside(
        "people", "import", str(frigate), "--gallery", str(place), "--dry-run"
    )
    assert "Ada Lovelace: 1 of 1 photo would be taken" in tried.stdout, tried.stderr
    assert not place.exists(), "a try makes no gallery"
    done = inside("people", "import", str(frigate), "--gallery", str(place))
    assert done.returncode == 1, "a photo without a face could not be used"
    assert "Ben: 1 of 2 photos taken" in done.stdout
    assert "no face found" in done.stderr
    assert "nobody has confirmed" in done.stderr
    listed = json.loads(inside("people", "--json", "--gallery", str(place)).stdout)
    assert [(one["name"], one["photos"]) for one in listed] == [
        ("Ada Lovelace", 1),
        ("Ben", 1),
    ]


class CompreFace(BaseHTTPRequestHandler):
    """Answers as CompreFace's REST description says."""

    examples: list[tuple[str, str]]
    pages: object = 2
    content: bytes

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        if self.headers.get("x-api-key") != KEY:
            self.send_error(401)
            return
        if at.path == "/api/v1/recognition/faces":
            said = {name: int(value[0]) for name, value in parse_qs(at.query).items()}
            page, size = said["page"], 2
            faces = [
                {"image_id": image, "subject": subject}
                for image, subject in self.examples[page * size : (page + 1) * size]
            ]
            body = {"faces": faces, "page_number": page, "page_size": size}
            body |= {"total_pages": self.pages, "total_elements": len(self.examples)}
            self._answer(json.dumps(body).encode())
        elif at.path.endswith("/img"):
            self._answer(self.content)
        else:
            self.send_error(404)

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def compreface(photos: Path) -> Iterator[str]:
    CompreFace.pages = 2
    CompreFace.examples = [("id-1", "Ada"), ("id-2", "Ben"), ("id-3", "Ada")]
    CompreFace.content = (photos / "002_A.jpg").read_bytes()
    with served(HTTPServer(("127.0.0.1", 0), CompreFace)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_compreface_s_examples_page_by_page(compreface: str) -> None:
    library = open_library(f"{compreface}/", key=KEY)
    assert {name: list(some) for name, some in library.people.items()} == {
        "Ada": ["id-1.jpg", "id-3.jpg"],
        "Ben": ["id-2.jpg"],
    }
    assert library.people["Ben"]["id-2.jpg"]() == CompreFace.content
    with pytest.raises(InputError, match="COMPREFACE_KEY"):
        open_library(compreface, key="")
    with pytest.raises(SourceError, match="401"):
        open_library(compreface, key="wrong")


def test_a_folder_whose_name_is_none_is_left_out_and_told(tmp_path: Path) -> None:
    for name in ("a\nb", "Ada"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    library = open_library(str(tmp_path), key="")
    assert list(library.people) == ["Ada"]
    (reason,) = library.passed_over
    assert "cannot be printed" in reason


def test_a_subject_whose_name_is_none_is_left_out_and_told(compreface: str) -> None:
    CompreFace.examples[0] = ("id-1", "x" * 201)
    library = open_library(compreface, key=KEY)
    assert list(library.people) == ["Ben", "Ada"]
    assert len(library.passed_over) == 1


def test_an_address_that_is_none_is_said_by_import() -> None:
    with pytest.raises(SourceError, match="is no address"):
        open_library("http://[::1", key=KEY)
    with pytest.raises(SourceError, match="is no address"):
        open_library("http://127.0.0.1:99999", key=KEY)


@pytest.mark.parametrize("pages", [10**12, "1" * 5000, 1e999, None])
def test_a_compreface_that_never_ends_is_said(compreface: str, pages: object) -> None:
    CompreFace.pages = pages
    with pytest.raises(
        SourceError, match=r"does not come to an end|does not answer as"
    ):
        open_library(compreface, key=KEY)
