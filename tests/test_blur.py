"""Faces made unrecognisable: in pixels, in files, in films, by commands."""

from __future__ import annotations

import io
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import Inside
from mien import geometry, sources
from mien.blur.cover import STYLES, cover, style_of
from mien.blur.files import write_photo
from mien.blur.film import Covering, blur_film
from mien.blur.live import LiveCover
from mien.blur.trails import Trail, TrailFinder
from mien.blur.whom import FaceFinder, Whom
from mien.cli.blur import BlurJob
from mien.cli.copies import AnalyzeInput
from mien.errors import InputError
from mien.media import images
from mien.pipeline import Analyzer
from mien.types import F32, U8, Faces, Frame

_ORIENTATION, _ARTIST, _MAKER_NOTE, _MODEL = 0x0112, 0x013B, 0x927C, 0x0110


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(Whom())


@pytest.fixture(scope="module")
def knowing(astronaut_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What knows the astronaut and nobody else."""
    folder = tmp_path_factory.mktemp("people")
    shutil.copy(astronaut_file, folder / "Eileen.png")
    return Analyzer(gallery=folder, only=("identity",))


def head_of(finder: FaceFinder, image: U8) -> F32:
    boxes = finder.detector(image).boxes
    assert len(boxes)
    return boxes[:1]


def test_a_look_in_the_mirror_tells_of_the_picture_itself(
    finder: FaceFinder, astronaut: U8
) -> None:
    straight, mirrored = (
        finder.detector.one_view(astronaut, mirrored=way) for way in (False, True)
    )
    assert len(straight) == len(mirrored) == 1
    assert geometry.iou(straight.boxes, mirrored.boxes)[0, 0] > 0.8
    assert np.abs(straight.landmarks - mirrored.landmarks).max() < 8


@pytest.mark.slow
@pytest.mark.parametrize("name", STYLES)
def test_nobody_finds_or_knows_a_covered_face(
    analyzer: Analyzer, finder: FaceFinder, astronaut: U8, name: str
) -> None:
    boxes = head_of(finder, astronaut)
    hidden = cover(astronaut, boxes, STYLES[name], [7])
    assert geometry.iou(boxes, finder.detector(hidden).boxes).max(initial=0) < 0.3
    found = analyzer.detector(astronaut)
    before = analyzer.embed(astronaut, found).embeddings
    after = analyzer.embed(hidden, found).embeddings
    assert before is not None
    assert after is not None
    assert np.linalg.norm(before[0] - after[0]) > analyzer.tolerance + 0.1


def test_only_the_face_is_covered(finder: FaceFinder, astronaut: U8) -> None:
    boxes = head_of(finder, astronaut)
    hidden = cover(astronaut, boxes, STYLES["box"], [7])
    x1, y1, x2, y2 = boxes[0].astype(int)
    assert (hidden[y1:y2, x1:x2] == hidden[(y1 + y2) // 2, (x1 + x2) // 2]).all()
    far = np.ones(astronaut.shape[:2], np.bool_)
    aside = (x2 - x1) // 2
    far[max(0, y1 - aside) : y2 + aside, max(0, x1 - aside) : x2 + aside] = False
    assert (hidden[far] == astronaut[far]).all()


def test_faces_at_the_border_and_small_ones_are_covered(astronaut: U8) -> None:
    boxes = np.array(
        [[-20, -20, 30, 40], [500, 500, 505, 506], [600, 600, 700, 700]], np.float32
    )
    for style in STYLES.values():
        hidden = cover(astronaut, boxes, style, [1, 2, 3])
        assert (hidden[:30, :20] != astronaut[:30, :20]).any()
        assert (hidden[500:506, 500:505] != astronaut[500:506, 500:505]).any()


def test_noise_of_a_face_is_the_same_in_all_frames(astronaut: U8) -> None:
    """What changed from frame to frame could be averaged away."""
    box = np.array([[180, 60, 280, 200]], np.float32)
    first, second, other = (
        cover(astronaut, box, STYLES["pixels"], [seed]) for seed in (1, 1, 2)
    )
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.slow
def test_a_picture_covers_a_face_also_where_it_lets_something_through(
    finder: FaceFinder, astronaut: U8, tmp_path: Path
) -> None:
    sticker = np.zeros((64, 64, 4), np.uint8)
    sticker[16:48, 16:48] = (0, 255, 255, 255)
    cv2.imwrite(str(tmp_path / "sticker.png"), sticker)
    boxes = head_of(finder, astronaut)
    hidden = cover(astronaut, boxes, style_of(str(tmp_path / "sticker.png")), [7])
    x, y = ((boxes[0, :2] + boxes[0, 2:]) / 2).astype(int)
    assert hidden[y, x].tolist() == [0, 255, 255]
    assert geometry.iou(boxes, finder.detector(hidden).boxes).max(initial=0) < 0.3
    with pytest.raises(InputError, match=r"pixel is unknown.*did you mean"):
        style_of("pixel")


def photo_with_secrets(astronaut: U8, *, orientation: int = 1) -> bytes:
    """A JPEG with EXIF of all kinds: a thumbnail and a maker's note that show the face, a place, XMP with a name."""
    rgb = Image.fromarray(astronaut[..., ::-1])
    exif = Image.Exif()
    exif[_ORIENTATION], exif[_ARTIST], exif[_MODEL] = (
        orientation,
        "A. Photographer",
        "Camera",
    )
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", _MAKER_NOTE: b"FACEPREVIEW" * 20}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    small = io.BytesIO()
    rgb.resize((120, 120)).save(small, "JPEG")
    made = io.BytesIO()
    rgb.save(made, "JPEG", quality=88, exif=exif, xmp=b"<x>Region of NAMED PERSON</x>")
    whole = made.getvalue()
    thumbnail = (
        b"\xff\xed" + (len(small.getvalue()) + 2).to_bytes(2, "big") + small.getvalue()
    )
    return whole[:2] + thumbnail + whole[2:]


def test_pictures_hidden_in_a_photo_go_and_what_it_tells_stays_by_choice(
    inside: Inside, astronaut: U8, tmp_path: Path
) -> None:
    photo, copy = tmp_path / "photo.jpg", tmp_path / "copy.jpg"
    content = photo_with_secrets(astronaut)
    photo.write_bytes(content)
    assert inside("blur", photo, "--output", copy).returncode == 0
    blurred = copy.read_bytes()
    assert content.count(b"\xff\xd8\xff") == 2
    assert blurred.count(b"\xff\xd8\xff") == 1
    for secret in (b"FACEPREVIEW", b"NAMED PERSON"):
        assert secret in content
        assert secret not in blurred
    told = Image.open(copy).getexif()
    assert (told[_ARTIST], told.get_ifd(0x8825)[1]) == ("A. Photographer", "N")
    assert told.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert inside("blur", photo, "--output", copy, "--strip-metadata").returncode == 0
    assert not dict(Image.open(copy).getexif())
    assert photo.read_bytes() == content


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".avif"])
def test_photos_of_all_kinds_are_written(
    astronaut: U8, tmp_path: Path, suffix: str
) -> None:
    """Also where Pillow cannot read the original, as of some cameras' raw files."""
    for original in (photo_with_secrets(astronaut), b"a raw file"):
        place = tmp_path / f"copy{suffix}"
        write_photo(place, astronaut, original, strip=False)
        assert images.read_image(place).shape == astronaut.shape
        assert b"FACEPREVIEW" not in place.read_bytes()


def test_damaged_exif_is_left_out(astronaut: U8, tmp_path: Path) -> None:
    content = photo_with_secrets(astronaut)
    at = content.index(b"Exif\0\0") + 6
    damaged = content[: at + 8] + b"\xff" * 40 + content[at + 48 :]
    write_photo(tmp_path / "copy.jpg", astronaut, damaged, strip=False)
    assert images.read_image(tmp_path / "copy.jpg").shape == astronaut.shape


def test_a_turned_photo_is_written_upright_and_as_fine_as_it_was(
    inside: Inside, astronaut: U8, tmp_path: Path
) -> None:
    photo, copy = tmp_path / "photo.jpg", tmp_path / "copy.jpg"
    lying = np.ascontiguousarray(np.rot90(astronaut))
    photo.write_bytes(photo_with_secrets(lying, orientation=6))
    assert inside("blur", photo, "-o", copy, "--style", "box").returncode == 0
    twice = inside("blur", photo, photo, "-o", tmp_path / "twice")
    assert (twice.returncode, "2 faces covered" in twice.stderr) == (0, True)
    with Image.open(photo) as given, Image.open(copy) as made:
        assert _ORIENTATION not in made.getexif()
        assert made.quantization == given.quantization
    image = images.read_image(copy)
    assert image.shape == astronaut.shape
    away = np.abs(image[300:].astype(int) - astronaut[300:]).mean()
    assert away < 4


@pytest.mark.slow
def test_who_is_spared_and_who_is_not(knowing: Analyzer, astronaut: U8) -> None:
    def covered(**whom: object) -> int:
        return len(FaceFinder(Whom(**whom), knowing).covered(astronaut))  # type: ignore[arg-type]

    eileen = frozenset({"Eileen"})
    assert [covered(), covered(only=eileen)] == [1, 1]
    assert [covered(spared=eileen), covered(unknown=True)] == [0, 0]
    with pytest.raises(
        InputError, match=r"nobody .* called 'Elieen'.*did you mean 'Eileen'"
    ):
        covered(spared=frozenset({"Elieen"}))
    with pytest.raises(InputError, match="only a gallery tells"):
        FaceFinder(Whom(unknown=True))


@pytest.mark.slow
def test_what_cannot_be_copied_is_said_and_the_rest_is_done(
    inside: Inside, astronaut_file: Path, face_free: U8, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    shutil.copy(astronaut_file, folder / "a.png")
    cv2.imwrite(str(folder / "nobody.png"), face_free)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    done = inside("blur", folder, "-o", out)
    assert done.returncode == 1
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "nobody.png"]
    assert "1 face covered" in done.stderr
    assert "no face covered in" in done.stderr
    assert "animation" in done.stderr
    both = inside("blur", folder, "-o", out, "--unknown", "--people", "Eileen")
    assert "one kind of them" in both.stderr
    assert inside("blur", folder, "-o", folder).returncode == 2
    assert "address" in inside("blur", "http://127.0.0.1/a.mp4", "-o", "a.mp4").stderr


def test_photos_are_covered_side_by_side_and_told_of_in_their_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = threading.Barrier(2, timeout=60)

    def covers(item: AnalyzeInput, place: Path) -> int:
        both.wait()  # goes on only when two photos are worked at
        if item.name == "2.jpg":
            raise InputError("2.jpg cannot be read")
        return int(place.stem)

    items = [AnalyzeInput(f"{i}.jpg") for i in range(4)]
    done = BlurJob.run(covers, items, lambda item: Path(item.name), 2)  # type: ignore[arg-type]
    assert done == [("0.jpg", 0), ("1.jpg", 1), ("3.jpg", 3)]
    assert capsys.readouterr().err == "mien: 2.jpg cannot be read\n"


@pytest.mark.slow
def test_no_frame_of_a_film_shows_the_face_its_neighbours_show(
    face_film: Path, finder: FaceFinder, tmp_path: Path
) -> None:
    place = tmp_path / "copy.mp4"
    told: list[int] = []
    count = blur_film(
        str(face_film), place, finder, STYLES["blur"], lambda: told.append(1)
    )
    before = list(sources.open_source(str(face_film)))
    after = list(sources.open_source(str(place)))
    assert (count, len(told)) == (1, 2 * len(before))
    assert [f.time_s for f in after] == pytest.approx([f.time_s for f in before])
    for given, made in list(zip(before, after, strict=True))[::10]:
        boxes = head_of(finder, given.image)
        assert (
            geometry.iou(boxes, finder.detector(made.image).boxes).max(initial=0) < 0.3
        )
    assert [p.name for p in tmp_path.iterdir()] == ["copy.mp4"]


@pytest.mark.slow
def test_a_recording_covers_everybody(
    inside: Inside, face_film: Path, finder: FaceFinder, tmp_path: Path
) -> None:
    place = tmp_path / "copy.mp4"
    live = ("live", face_film, "--no-window", "--only", "age", "--max-frames", 20)
    assert inside(*live, "--record", place, "--blur").returncode == 0
    before = list(sources.open_source(str(face_film)))
    after = list(sources.open_source(str(place)))
    assert len(after) == 20
    for given, made in list(zip(before, after, strict=False))[::6]:
        boxes = head_of(finder, given.image)
        found = finder.detector(made.image).boxes
        assert geometry.iou(boxes, found).max(initial=0) < 0.3
    assert "--record" in inside(*live, "--blur").stderr


def test_a_live_cover_stays_where_a_face_was(
    finder: FaceFinder, astronaut: U8, face_free: U8
) -> None:
    """A hand before the face: it is not found, and covered all the same."""
    hand = astronaut.copy()
    x1, y1, x2, y2 = head_of(finder, astronaut)[0].astype(int)
    hand[y1:y2, x1:x2] = cv2.resize(face_free, (x2 - x1, y2 - y1))
    live = LiveCover(finder, STYLES["box"])
    for image in (astronaut, astronaut, astronaut, hand):
        shown = live(image, Faces.empty())
    middle = shown[(y1 + y2) // 2, (x1 + x2) // 2]
    assert middle.tolist() == [24, 24, 24]


def moving(astronaut: U8, count: int) -> list[Frame]:
    """A picture that goes to the right by two pixels a frame."""
    return [
        Frame(np.roll(astronaut, 2 * i, axis=1), i, i / 25, "film")
        for i in range(count)
    ]


def seen(box: F32, at: int) -> Faces:
    boxes = box[None] + np.array([2 * at, 0, 2 * at, 0], np.float32)
    return Faces(boxes, np.ones(1, np.float32), geometry.mean_landmarks(boxes))


@pytest.mark.slow
def test_a_face_is_followed_before_its_first_sight_after_its_last_and_in_between(
    finder: FaceFinder, astronaut: U8
) -> None:
    box = head_of(finder, astronaut)[0]
    trails = TrailFinder()
    for frame in moving(astronaut, 70):
        looked = frame.index in {30, 31, 32, 37, 38}
        trails.step(frame, seen(box, frame.index) if looked else Faces.empty())
    (trail,) = trails.trails
    assert (trail.start, trail.end) == (5, 64)  # a second before and after
    for index in (5, 20, 34, 50, 63):
        there = box + np.array([2 * index, 0, 2 * index, 0], np.float32)
        assert geometry.iou(trail.box(index)[None], there[None])[0, 0] > 0.8


@pytest.mark.slow
def test_a_cut_ends_what_is_followed(
    finder: FaceFinder, astronaut: U8, face_free: U8
) -> None:
    box = head_of(finder, astronaut)[0]
    other = cv2.resize(face_free, astronaut.shape[1::-1])
    trails = TrailFinder()
    for i in range(60):
        face = 20 <= i < 40
        image = astronaut if face else np.asarray(other, np.uint8)
        found = seen(box, 0) if face else Faces.empty()
        trails.step(Frame(image, i, i / 25, "film"), found)
    (trail,) = trails.trails
    assert (trail.start, trail.end) == (20, 40)


def test_what_was_hardly_a_face_is_not_held_for_long(astronaut: U8) -> None:
    box = np.array([100, 100, 140, 150], np.float32)
    trails = TrailFinder()
    for frame in moving(astronaut, 60):
        found = seen(box, 30)
        weak = Faces(found.boxes, np.full(1, 0.4, np.float32), found.landmarks)
        trails.step(frame, weak if frame.index == 30 else Faces.empty())
    (trail,) = trails.trails
    assert not trail.sure
    assert trail.start >= 25
    assert trail.end <= 37


def test_a_face_is_spared_only_between_two_looks_that_spare_it() -> None:
    trail = Trail(0)
    trail.names = [(1.0, "Ada"), (2.0, "Ada"), (3.0, None), (4.0, "Ada")]
    but_ada = Covering([], Whom(spared=frozenset({"Ada"})))
    covered = {t: but_ada.covers(trail, t) for t in (0.5, 1.5, 2.5, 3.5, 4.5, 9.0)}
    assert covered == {
        0.5: False,
        1.5: False,
        2.5: True,
        3.5: True,
        4.5: False,
        9.0: True,
    }
    assert but_ada.covers(Trail(0), 1.0)
    only_ada = Covering([], Whom(only=frozenset({"Ada"})))
    assert [only_ada.covers(trail, t) for t in (2.5, 3.5, 9.0)] == [True] * 3
    assert not only_ada.covers(Trail(0), 1.0)


def test_who_a_face_is_that_the_detector_doubts_is_not_asked(
    knowing: Analyzer, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide = FaceFinder(Whom(only=frozenset({"Eileen"})), knowing)
    faces = knowing.detector(astronaut)
    assert faces.angles is not None
    monkeypatch.setattr(knowing, "angle", None)  # the detector has asked it
    assert hide.names(astronaut, faces) == ("Eileen",)
    doubted = replace(faces, angles=np.full(1, np.nan, np.float32))
    assert hide.names(astronaut, doubted) == (None,)


def test_the_mirror_keeps_what_the_detector_says_of_angles(
    finder: FaceFinder, astronaut: U8
) -> None:
    seen, mirrored = (
        finder.detector.one_view(astronaut, mirrored=way).angles
        for way in (False, True)
    )
    assert seen is not None
    assert mirrored is not None
    assert abs(seen[0] - mirrored[0]) < 5


@pytest.mark.slow
def test_a_film_spares_the_people_it_is_told_to(
    face_film: Path, knowing: Analyzer, tmp_path: Path
) -> None:
    spare = FaceFinder(Whom(spared=frozenset({"Eileen"})), knowing)
    place = tmp_path / "copy.mp4"
    assert blur_film(str(face_film), place, spare, STYLES["blur"]) == 0
    hide = FaceFinder(Whom(only=frozenset({"Eileen"})), knowing)
    assert blur_film(str(face_film), place, hide, STYLES["blur"]) == 1
