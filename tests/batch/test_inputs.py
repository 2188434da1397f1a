"""What is found under files, folders, globs and addresses."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from mien.batch import inputs
from mien.errors import InputError

NAMES = ("a b.jpg", "Ürümqi/c.PNG", "Ürümqi/deep/d.mp4", "Ürümqi/[1].webp")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "my phötos"
    for name in (*NAMES, "notes.txt", ".hidden/e.jpg", "Ürümqi/.f.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", NAMES),
        ("/", NAMES),
        ("/*.jpg", NAMES[:1]),
        ("/**/*.png", ()),
        ("/**/*.PNG", NAMES[1:2]),
        ("/**", NAMES),
        ("/*", NAMES),
        ("/Ür*/deep", NAMES[2:3]),
        ("/Ür?mqi/*.webp", NAMES[3:]),
        ("/a b.jpg", NAMES[:1]),
        ("/Ürümqi/[1].webp", NAMES[3:]),
        ("/[ab] b.jpg", NAMES[:1]),
    ],
)
def test_folders_and_globs(tree: Path, given: str, found: tuple[str, ...]) -> None:
    items, problems = inputs.find_all([f"{tree}{given}"])
    assert {item.source for item in items} == {str(tree / name) for name in found}
    assert len(problems) == (not found)
    for item in items:
        assert item.size == Path(item.path).stat().st_size
        assert inputs.read(item) == Path(item.source).read_bytes()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", NAMES),
        ("/*.jpg", NAMES[:1]),
        ("/**/*.PNG", NAMES[1:2]),
        ("/**/*.mp4", NAMES[2:3]),
        ("/a%20b.jpg", NAMES[:1]),
        ("/%C3%9Cr%C3%BCmqi", NAMES[1:]),
    ],
)
def test_addresses_of_pyarrow_file_systems(
    tree: Path, given: str, found: tuple[str, ...]
) -> None:
    address = tree.as_uri() + given
    items, problems = inputs.find_all([address])
    assert problems == []
    assert {Path(item.path).read_bytes().decode() for item in items} == set(found)
    for item in items:
        assert item.source.startswith("file:///")
        assert item.root == address
        assert inputs.read(item) == Path(item.path).read_bytes()
        assert (
            inputs.digest(item)
            == hashlib.sha256(Path(item.path).read_bytes()).hexdigest()
        )
        with inputs.local_copy(item) as path:
            assert path.read_bytes() == Path(item.path).read_bytes()
            assert path.suffix == Path(item.path).suffix


def test_the_same_file_twice_is_one(tree: Path) -> None:
    items, _ = inputs.find_all([str(tree), f"{tree}/*.jpg", f"{tree}/a b.jpg"])
    assert len(items) == len(NAMES)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("EMPTY", "holds no photos or videos"),
        ("EMPTY/*.jpg", "holds no photos or videos"),
        ("EMPTY/none.jpg", "No such file"),
        ("file://EMPTY/none.jpg", "no such file"),
        ("file://EMPTY", "holds no photos or videos"),
        ("https://example.org/a.jpg", "mien analyze"),
        ("gopher://example.org/a.jpg", "cannot open"),
        ("a\0b.jpg", "no file name"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, given: str, says: str) -> None:
    items, problems = inputs.find_all([given.replace("EMPTY", str(tmp_path))])
    assert items == []
    assert len(problems) == 1
    assert says in problems[0]


def test_a_link_to_nothing_keeps_no_others_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "b.jpg").symlink_to("nowhere")
    for given in (str(tmp_path), f"{tmp_path}/*.jpg"):
        items, problems = inputs.find_all([given])
        assert [Path(item.source).name for item in items] == ["a.jpg", "b.jpg"]
        assert problems == []
        assert inputs.read(items[0]) == b"photo"
        with pytest.raises(InputError, match=r"cannot read .*b\.jpg: No such file"):
            inputs.read(items[1])


def test_passwords_and_options_of_addresses_are_not_recorded() -> None:
    root = inputs.root_of(
        "s3://key:secret@bucket/photos/**/*.jpg?region=eu-west-1&endpoint_override=host"
    )
    assert root == "s3://bucket/photos/**/*.jpg"


@pytest.mark.skipif(
    sys.platform != "linux", reason="file names are bytes on Linux only"
)
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"content")
    (item,) = inputs.find(str(tmp_path))
    assert item.source == f"{tmp_path}/caf\\xe9.jpg"
    assert inputs.read(item) == b"content"


def test_a_file_that_goes_away_is_an_input_error(tree: Path) -> None:
    item, *_ = inputs.find(f"{tree}/a b.jpg")
    Path(item.path).unlink()
    with pytest.raises(InputError, match="cannot read"):
        inputs.read(item)
