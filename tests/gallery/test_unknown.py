"""Unknown people: how faces are grouped, and what is kept, named and really deleted."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mien.errors import GalleryError, InputError, UnknownNotFound
from mien.gallery import FolderGallery, Photo, PostgresGallery, SqliteGallery
from mien.gallery.unknown import (
    KeptFaces,
    Sighting,
    UnknownFaces,
    group,
    open_unknown,
    regroup,
    tell_unknown,
)
from mien.types import F32, Faces
from mien.zoo import DLIB

DAY = 86_400.0


def person(seed: int) -> F32:
    """Where the faces of a person lie: strangers are about 0.8 apart."""
    row = np.random.default_rng(seed).normal(size=128)
    return np.asarray(0.57 * row / np.linalg.norm(row), np.float32)


def look(seed: int, take: int, *, spread: float = 0.3) -> F32:
    """One face of a person; two of them are about `spread` * 1.4 apart."""
    row = np.random.default_rng([seed, take]).normal(size=128)
    return np.asarray(person(seed) + spread * row / np.linalg.norm(row), np.float32)


@dataclass
class Time:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Unknown faces in a file, with a clock of the test's."""

    path: Path
    time: Time = field(default_factory=Time)

    def open(self) -> UnknownFaces:
        return UnknownFaces(
            self.path, space=replace(DLIB, name="test"), clock=self.time
        )

    def seen(
        self, seed: int, take: int, *, photo: str = "", days: float = 30
    ) -> Sighting:
        return Sighting(
            look(seed, take),
            photo or f"{seed}-{take}",
            f"{seed}-{take}.jpg",
            self.time.now,
            self.time.now + days * DAY,
            quality=0.5 + take / 100,
            thumbnail=picture(seed, take),
        )


def picture(seed: int, take: int) -> bytes:
    """A picture file whose pixels tell the seed, so that `describe` below finds the person."""
    return bytes(
        cv2.imencode(".png", np.full((4, 4, 3), (seed, take, 0), np.uint8))[1].tobytes()
    )


def describe(content: bytes) -> Faces:
    seed = int(
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[0, 0, 0]
    )
    box = np.array([[0, 0, 4, 4]], np.float32)
    return Faces(
        box,
        np.ones(1, np.float32),
        np.zeros((1, 5, 2), np.float32),
        embeddings=person(seed)[None],
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "people.db")


@pytest.fixture
def unknown(world: World) -> UnknownFaces:
    return world.open()


@pytest.fixture
def gallery(world: World) -> SqliteGallery:
    return SqliteGallery(world.path, space=replace(DLIB, name="test"))


def sources(unknown: UnknownFaces) -> list[list[str]]:
    """The people of the listed groups, by the pictures they were seen in."""
    return sorted(
        sorted(face.source.removesuffix(".jpg") for face in g.faces)
        for g in unknown.groups()
    )


# -- grouping


def kept(rows: list[tuple[F32, str, str]]) -> KeptFaces:
    return KeptFaces(
        np.stack([r[0] for r in rows]),
        [r[1] for r in rows],
        [""] * len(rows),
        [r[2] for r in rows],
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, 0, "a", ""), (1, 1, "b", ""), (2, 0, "c", "")], [0, 0, 1]),
        ([(1, 0, "a", ""), (1, 1, "a", ""), (2, 0, "c", "")], [0, 1, 2]),
        (
            [(1, 0, "a", ""), (2, 1, "a", ""), (1, 2, "b", ""), (2, 3, "b", "")],
            [0, 1, 0, 1],
        ),
        ([(1, 0, "a", "x"), (1, 1, "b", "y"), (1, 2, "c", "y")], [0, 1, 1]),
        ([(1, 0, "a", "x"), (2, 1, "b", "x"), (1, 2, "c", "")], [0, 0, 1]),
    ],
    ids=[
        "one person and another",
        "one picture",
        "two people in two pictures",
        "put apart",
        "put together",
    ],
)
def test_who_is_together(
    rows: list[tuple[int, int, str, str]], expected: list[int]
) -> None:
    table = kept([(look(seed, take), photo, pin) for seed, take, photo, pin in rows])
    assert group(table, reach=DLIB.linkage).tolist() == expected


def test_nobody_is_no_group() -> None:
    empty = KeptFaces(np.zeros((0, 128), np.float32), [], [], [])
    assert group(empty, reach=DLIB.linkage).tolist() == []
    assert regroup(empty, np.zeros(0, np.int64), reach=DLIB.linkage)[1].tolist() == []


def test_a_chain_of_strangers_is_not_one_person() -> None:
    """Each is near the next, the first and the last are far apart: what single linkage would join."""
    steps = np.zeros((9, 128), np.float32)
    steps[:, 0] = 0.4 * np.arange(9)
    labels = group(
        KeptFaces(steps, [str(i) for i in range(9)], [""] * 9, [""] * 9),
        reach=DLIB.linkage,
    )
    assert labels.max() >= 3
    assert all(
        np.ptp(steps[labels == label, 0]) <= 1.0 for label in set(labels.tolist())
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(2, 40), st.integers(1, 8), st.floats(0.2, 0.5), st.integers(0, 999))
def test_one_by_one_in_any_order_ends_like_all_at_once(
    faces: int, people: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        (
            look(int(rng.integers(people)), i, spread=spread),
            str(rng.integers(faces)),
            "",
        )
        for i in range(faces)
    ]
    at_once = group(kept(rows), reach=DLIB.linkage)
    order = rng.permutation(faces)
    groups: list[str] = []
    for n in range(1, faces + 1):
        some = [rows[i] for i in order[:n]]
        groups.append("")
        table = KeptFaces(
            np.stack([r[0] for r in some]), [r[1] for r in some], list(groups), [""] * n
        )
        near, labels = regroup(table, np.array([n - 1]), reach=DLIB.linkage)
        for i, label in zip(near, labels, strict=True):
            groups[i] = f"{near[labels == label][0]}"
    pairs = {(int(at_once[i]), name) for i, name in zip(order, groups, strict=True)}
    assert len(pairs) == len(set(at_once.tolist())) == len(set(groups))


# -- keeping


def test_three_faces_make_a_group_and_a_later_one_joins(
    world: World, unknown: UnknownFaces
) -> None:
    unknown.add([world.seen(1, 0)])
    unknown.add([world.seen(1, 1), world.seen(2, 0, photo="1-1")])
    assert (unknown.groups(), unknown.waiting()) == ([], 3)
    unknown.add([world.seen(1, 2)])
    (found,) = unknown.groups()
    assert sources(unknown) == [["1-0", "1-1", "1-2"]]
    assert unknown.waiting() == 1
    unknown.add([world.seen(1, 3)])
    assert unknown.group(found.id).id == unknown.groups()[0].id == found.id
    assert [len(g.faces) for g in world.open().groups()] == [4]


def test_a_picture_counts_once(world: World, unknown: UnknownFaces) -> None:
    assert unknown.add([world.seen(1, 0), world.seen(2, 0, photo="1-0")]) == 2
    assert unknown.add([world.seen(1, 0)]) == 0
    assert unknown.waiting() == 2


def test_other_embedders_are_not_mixed(world: World, unknown: UnknownFaces) -> None:
    unknown.add([world.seen(1, i) for i in range(3)])
    other = UnknownFaces(
        world.path, space=replace(DLIB, name="another"), clock=world.time
    )
    assert other.groups() == []
    other.add([world.seen(1, 0)])
    assert (other.waiting(), unknown.waiting()) == (1, 0)


def test_days_pass(world: World, unknown: UnknownFaces) -> None:
    unknown.add([world.seen(1, i, days=7) for i in range(3)])
    world.time.now += 6 * DAY
    unknown.add([world.seen(1, i, days=30) for i in range(3, 6)])
    world.time.now += 2 * DAY
    assert sources(unknown) == [["1-3", "1-4", "1-5"]]
    assert unknown.sweep() == 3
    assert unknown.sweep(days=1) == 3
    assert unknown.groups() == []


@pytest.mark.slow
def test_two_processes_keep_the_same_people(
    world: World, unknown: UnknownFaces
) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_keep_some, args=(str(world.path), part))
        for part in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [len(g.faces) for g in unknown.groups()] == [12, 12]


def _keep_some(path: str, part: int) -> None:
    there = World(Path(path))
    unknown = there.open()
    for take in range(4 * part, 4 * part + 4):
        unknown.add([there.seen(1, take), there.seen(2, take)])


# -- deciding


def test_name_and_undo(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery
) -> None:
    unknown.add([world.seen(1, i) for i in range(3)])
    (found,) = unknown.groups()
    assert unknown.name(found.id, " Ada ", gallery) == 3
    assert gallery.search(look(1, 9)[None], tolerance=0.6).names == ("Ada",)
    assert (unknown.groups(), unknown.waiting()) == ([], 0)
    assert unknown.add([world.seen(1, 0)]) == 0
    done = unknown.undo(gallery)
    assert done is not None
    assert (done.kind, done.group, done.name) == ("name", found.id, "Ada")
    assert gallery.people() == []
    assert [g.id for g in unknown.groups()] == [found.id]
    assert unknown.undo(gallery) is None


def test_undo_leaves_the_photos_somebody_had_before(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery
) -> None:
    gallery.enroll("Ada", [Photo(person(1), "before")])
    unknown.add([world.seen(1, i) for i in range(3)])
    unknown.name(unknown.groups()[0].id, "Ada", gallery)
    assert [p.photos for p in gallery.people()] == [4]
    gallery.rename("Ada", "Ada King")
    unknown.relabel("Ada", "Ada King")
    unknown.undo(gallery)
    assert [(p.name, p.photos) for p in gallery.people()] == [("Ada King", 1)]


def test_the_best_faces_are_enrolled(world: World, unknown: UnknownFaces) -> None:
    unknown.add([world.seen(1, i) for i in range(20)])
    given: list[Photo] = []

    class Taking:
        def enroll(self, name: str, photos: list[Photo]) -> int:
            given.extend(photos)
            return len(photos)

        def discard(self, name: str, sha256s: list[str]) -> int:
            return 0

    assert unknown.name(unknown.groups()[0].id, "Ada", Taking()) == 12
    best = np.stack([look(1, take) for take in range(19, 7, -1)])
    assert np.array_equal(np.stack([photo.embedding for photo in given]), best)


def test_a_name_can_be_taken_back_for_a_day(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery
) -> None:
    unknown.add([world.seen(1, i) for i in range(3)])
    unknown.name(unknown.groups()[0].id, "Ada", gallery)
    world.time.now += 1.01 * DAY
    assert unknown.undo(gallery) is None
    assert [p.name for p in gallery.people()] == ["Ada"]
    assert unknown.sweep() == 3


def test_forgetting_somebody_leaves_nothing_to_take_back(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery, tmp_path: Path
) -> None:
    unknown.add([world.seen(1, i) for i in range(3)])
    unknown.name(unknown.groups()[0].id, "Ada", gallery)
    gallery.remove("Ada")
    tell_unknown(gallery, data=tmp_path, old="Ada", new=None)
    assert unknown.undo(gallery) is None
    assert look(1, 0).tobytes() not in world.path.read_bytes()


def test_split_holds_and_later_faces_join_the_nearer(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery
) -> None:
    unknown.add([world.seen(1, i) for i in range(6)])
    (found,) = unknown.groups()
    chosen = [face.id for face in found.faces if face.source in {"1-0.jpg", "1-1.jpg"}]
    made = unknown.split(found.id, chosen)
    assert sources(unknown) == [["1-0", "1-1"], ["1-2", "1-3", "1-4", "1-5"]]
    unknown.add([world.seen(1, 6)])
    assert sorted(len(g.faces) for g in unknown.groups()) in ([2, 5], [3, 4])
    assert unknown.group(made.id).by_hand
    unknown.undo(gallery)
    assert [len(g.faces) for g in unknown.groups()] == [7]


def test_merge_holds_and_is_undone(
    world: World, unknown: UnknownFaces, gallery: SqliteGallery
) -> None:
    unknown.add([world.seen(seed, i) for seed in (1, 2) for i in range(3)])
    first, second = unknown.groups()
    merged = unknown.merge(first.id, second.id)
    assert (merged.id, len(merged.faces)) == (second.id, 6)
    unknown.add([world.seen(3, i) for i in range(3)])
    unknown.add([world.seen(1, 9)])
    assert max(len(g.faces) for g in unknown.groups()) >= 6
    unknown.undo(gallery)
    assert sources(unknown) == [
        ["1-0", "1-1", "1-2", "1-9"],
        ["2-0", "2-1", "2-2"],
        ["3-0", "3-1", "3-2"],
    ]
    assert {first.id, second.id} <= {g.id for g in unknown.groups()}


def test_two_faces_of_one_picture_are_never_merged(
    world: World, unknown: UnknownFaces
) -> None:
    unknown.add(
        [world.seen(seed, i, photo=f"both-{i}") for i in range(3) for seed in (1, 2)]
    )
    first, second = unknown.groups()
    with pytest.raises(InputError, match="one picture"):
        unknown.merge(first.id, second.id)
    assert [len(g.faces) for g in unknown.groups()] == [3, 3]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda u, g: u.group("nothing"), UnknownNotFound),
        (lambda u, g: u.forget("nothing"), UnknownNotFound),
        (lambda u, g: u.thumbnail(999), UnknownNotFound),
        (lambda u, g: u.split(g, [999]), UnknownNotFound),
        (lambda u, g: u.split(g, []), InputError),
        (lambda u, g: u.split(g, [face.id for face in u.group(g).faces]), InputError),
        (lambda u, g: u.merge(g, g), InputError),
        (lambda u, g: u.merge(g, "nothing"), UnknownNotFound),
        (lambda u, g: u.name(g, "  ", None), InputError),
        (lambda u, g: u.name("nothing", "Ada", None), UnknownNotFound),
    ],
    ids="group forget thumbnail split-others split-none split-all merge-self merge-none no-name name-none".split(),
)
def test_changes_that_cannot_be(
    world: World,
    unknown: UnknownFaces,
    change: Callable[[UnknownFaces, str], object],
    error: type[Exception],
) -> None:
    unknown.add([world.seen(1, i) for i in range(3)])
    (found,) = unknown.groups()
    with pytest.raises(error):
        change(unknown, found.id)
    assert unknown.groups() == [found]


def test_forgotten_faces_leave_no_bytes_in_the_file(
    world: World, unknown: UnknownFaces
) -> None:
    unknown.add([world.seen(seed, i) for seed in (1, 2) for i in range(3)])
    gone = next(g for g in unknown.groups() if g.faces[0].source.startswith("1-"))
    assert look(1, 0).tobytes() in world.path.read_bytes()
    assert unknown.forget(gone.id) == 3
    assert look(1, 0).tobytes() not in world.path.read_bytes()
    assert look(2, 0).tobytes() in world.path.read_bytes()
    assert unknown.forget_all() == 3
    assert look(2, 0).tobytes() not in b"".join(
        p.read_bytes() for p in world.path.parent.iterdir()
    )


# -- beside each gallery


def test_a_folder_gets_the_small_pictures(tmp_path: Path) -> None:
    folder = FolderGallery(
        tmp_path / "people", space=replace(DLIB, name="test"), describe=describe
    )
    unknown = open_unknown(folder, data=tmp_path / "data")
    there = World(tmp_path, Time(unknown.clock()))
    unknown.add([there.seen(1, i) for i in range(3)])
    assert not (tmp_path / "people").exists()
    unknown.name(unknown.groups()[0].id, "Ada", folder)
    assert folder.search(person(1)[None], tolerance=0.6).names == ("Ada",)
    files = (tmp_path / "people" / "Ada").iterdir()
    assert sorted(f.read_bytes() for f in files) == sorted(
        picture(1, i) for i in range(3)
    )
    unknown.undo(folder)
    assert folder.people() == []


def test_a_folder_gets_descriptors_where_there_is_no_picture(
    tmp_path: Path, world: World, unknown: UnknownFaces
) -> None:
    unknown.add(
        [
            Sighting(look(1, i), str(i), "", world.time.now, world.time.now + DAY)
            for i in range(3)
        ]
    )
    folder = FolderGallery(
        tmp_path / "people", space=replace(DLIB, name="test"), describe=describe
    )
    unknown.name(unknown.groups()[0].id, "Ada", folder)
    assert folder.search(look(1, 0)[None], tolerance=0.1).names == ("Ada",)
    unknown.undo(folder)
    assert folder.people() == []


@pytest.mark.slow
def test_beside_postgresql(postgres_url: str, tmp_path: Path) -> None:
    gallery = PostgresGallery(postgres_url, space=replace(DLIB, name="test"))
    unknown = open_unknown(gallery, data=tmp_path / "data")
    there = World(tmp_path, Time(unknown.clock()))
    unknown.add([there.seen(seed, i) for seed in (1, 2) for i in range(3)])
    first, second = unknown.groups()
    assert len(unknown.merge(first.id, second.id).faces) == 6
    assert unknown.undo(gallery).kind == "merge"  # type: ignore[union-attr]
    assert len(unknown.split(first.id, [first.faces[0].id]).faces) == 1
    assert unknown.undo(gallery).kind == "split"  # type: ignore[union-attr]
    assert {g.id: len(g.faces) for g in unknown.groups()} == {first.id: 3, second.id: 3}
    seed = int(first.faces[0].source[0])
    assert unknown.name(first.id, "Ada", gallery) == 3
    assert gallery.search(look(seed, 9)[None], tolerance=0.6).names == ("Ada",)
    unknown.undo(gallery)
    assert gallery.people() == []
    assert (
        cv2.imdecode(np.frombuffer(unknown.thumbnail(first.faces[0].id), np.uint8), 1)[
            0, 0, 0
        ]
        == seed
    )
    workers = [
        threading.Thread(target=_keep_four, args=(gallery, there, part))
        for part in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(len(g.faces) for g in unknown.groups()) == [3, 3, 12]
    assert unknown.forget_all() == 18
    unknown.close()
    gallery.close()


def _keep_four(gallery: PostgresGallery, there: World, part: int) -> None:
    unknown = open_unknown(gallery, data=there.path)
    for take in range(4 * part, 4 * part + 4):
        unknown.add([there.seen(3, take)])
    unknown.close()


def test_telling_a_folder_that_kept_nobody_makes_no_file(tmp_path: Path) -> None:
    folder = FolderGallery(
        tmp_path / "people", space=replace(DLIB, name="test"), describe=describe
    )
    tell_unknown(folder, data=tmp_path / "data", old="Ada", new=None)
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(GalleryError, match=r"people\.db"):
        UnknownFaces(tmp_path / "people.db", space=replace(DLIB, name="test"))
