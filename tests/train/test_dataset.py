"""What is read from folders, CSVs and Adience's fold files, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import InputError
from mien.train.dataset import natural, read_dataset


def picture(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.zeros((8, 8, 3), np.uint8))
    return file


def test_sub_folders_are_classes_whatever_their_names(tmp_path: Path) -> None:
    for name in ("very happy", "Ärger", "class 10", "class 2"):
        for i in range(2):
            picture(tmp_path / name / "deeper" / f"{i}.png")
    (tmp_path / "very happy" / "notes.txt").write_text("no picture")
    picture(tmp_path / ".thumbs" / "0.png")
    picture(tmp_path / "class 2" / "contact-sheet.jpg")
    data = read_dataset(tmp_path)
    assert data.classes == ("class 2", "class 10", "very happy", "Ärger")
    assert len(data) == 8
    assert [data.classes[k] for k in data.indices()] == [
        item.label for item in data.items
    ]


def test_thirty_classes(tmp_path: Path) -> None:
    for k in range(30):
        for i in range(2):
            picture(tmp_path / f"person {k}" / f"{i}.png")
    data = read_dataset(tmp_path)
    assert data.classes == tuple(f"person {k}" for k in range(30))
    assert np.bincount(data.indices()).tolist() == [2] * 30


def test_natural_order() -> None:
    assert sorted(["b", "a10", "a9", "10", "9"], key=natural) == [
        "9",
        "10",
        "a9",
        "a10",
        "b",
    ]


def test_the_person_is_what_stands_before_the_mark(tmp_path: Path) -> None:
    for name in ("ada_1.png", "ada_2.png", "grace.png"):
        picture(tmp_path / "x" / name)
        picture(tmp_path / "y" / name)
    people = [item.person for item in read_dataset(tmp_path, people="_").items]
    assert people == ["ada", "ada", "", "ada", "ada", ""]
    assert {item.person for item in read_dataset(tmp_path).items} == {""}


def test_a_csv_names_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "\ufefffile,label,person\na b.png, very calm ,ada\nsub/b.png,wild,\n\nc.png,wild,\n"
    )
    data = read_dataset(tmp_path / "list.csv", to_learn=False)
    assert [(item.file, item.label, item.person) for item in data.items] == [
        (tmp_path / "a b.png", "very calm", "ada"),
        (tmp_path / "sub/b.png", "wild", ""),
        (tmp_path / "c.png", "wild", ""),
    ]


def test_ages_are_years(tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("file,label\na.png,3\nb.png,41.6\nc.png,104\n")
    data = read_dataset(tmp_path / "ages.csv", task="regression")
    assert data.years().tolist() == [3, 41.6, 104]
    assert data.indices().tolist() == [3, 42, 104]
    assert data.classes == tuple(str(year) for year in range(105))


FOLD = "user_id\toriginal_image\tface_id\tage\tgender\tx\n"
ROWS = (
    "7@N01\tone.jpg\t11\t(25, 32)\tf\t0\n",
    "7@N01\ttwo.jpg\t12\t(38, 42)\tm\t0\n",
    "8@N01\tthree.jpg\t13\t35\tu\t0\n",
    "8@N01\tfour.jpg\t14\tNone\tm\t0\n",
    "9@N01\tfive.jpg\t15\t(8, 23)\tf\t0\n",
    "9@N01\tsix.jpg\t16\t(25, 32)\tf\t0\n",
    "9@N01\tseven.jpg\t17\t(38, 43)\tm\t0\n",
)


@pytest.fixture
def adience(tmp_path: Path) -> Path:
    (tmp_path / "fold_0_data.txt").write_text(FOLD + "".join(ROWS[:4]))
    (tmp_path / "fold_1_data.txt").write_text(FOLD + "".join(ROWS[4:]))
    picture(tmp_path / "faces" / "7@N01" / "coarse_tilt_aligned_face.11.one.jpg")
    return tmp_path


def test_adience_ages_fall_into_their_groups(adience: Path) -> None:
    data = read_dataset(adience, task="age")
    assert [item.label for item in data.items] == [
        "(25, 32)",
        "(38, 43)",
        "(38, 43)",
        "(25, 32)",
        "(38, 43)",
    ]
    assert [item.person for item in data.items] == [
        "7@N01",
        "7@N01",
        "8@N01",
        "9@N01",
        "9@N01",
    ]
    assert data.items[0].file.is_file()


def test_adience_genders(adience: Path) -> None:
    data = read_dataset(adience, task="gender")
    assert [item.label for item in data.items] == [
        "female",
        "male",
        "male",
        "female",
        "female",
        "male",
    ]


def one_class(root: Path) -> None:
    picture(root / "only" / "a.png")
    picture(root / "only" / "b.png")


def one_picture(root: Path) -> None:
    one_class(root)
    picture(root / "lonely one" / "a.png")


def empty_folders(root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "no sub-folders"),
        (empty_folders, "no pictures"),
        (one_class, r"one class only \(only\)"),
        (one_picture, "'lonely one' has 1 usable picture"),
    ],
    ids=["nothing", "empty", "one class", "one picture"],
)
def test_folders_that_teach_nothing_are_refused(
    tmp_path: Path, make, words: str
) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path)
    with pytest.raises(InputError, match=words):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,class\na,b\n", "no column file and label"),
        ("file,label\na.png,old\nb.png,3\n", "'old' of .*a.png is no age"),
        ("file,label\na.png,-1\nb.png,3\n", "'-1' of .* is no age"),
        ("file,label\na.png,nan\nb.png,3\n", "'nan' of .* is no age"),
        ("file,label\na.png,3\nb.png,3\n", "one age only"),
    ],
)
def test_lists_that_teach_no_ages_are_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_dataset(tmp_path / "list.csv", task="regression")


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder or CSV"):
        read_dataset(tmp_path / "nowhere")
