"""Names that are no UTF-8, decomposed or invisible."""

from __future__ import annotations

import json
import unicodedata

import pytest

from mien.errors import InputError
from mien.gallery import check_name
from mien.output.schemas import FrameRecord
from mien.text import counted, percent, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë", "Zoë"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("\ud83d", "\\ud83d"),
        ("", ""),
    ],
)
def test_text_can_be_written_as_utf8(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_records_hold_text_that_can_be_written() -> None:
    record = FrameRecord(source="caf\udce9.jpg", error="cannot read caf\udce9.jpg")
    assert json.loads(record.to_json())["source"] == "caf\\xe9.jpg"
    assert record.error == "cannot read caf\\xe9.jpg"


@pytest.mark.parametrize(
    "name",
    ["👩\u200d💻", "می\u200cخواهم", "[bold]", unicodedata.normalize("NFD", "Zoë")],
)
def test_names_that_are_kept(name: str) -> None:
    assert check_name(f" {name} ") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", ["", "\u200d", "a\nb", "a\x1b[0m", "\u202eada"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_one_is_not_many() -> None:
    assert counted(1, "photo") == "1 photo"
    assert counted(0, "photo") == "0 photos"
    assert (counted(1, "person"), counted(2, "person")) == ("1 person", "2 people")


def test_an_estimate_is_never_all_or_nothing() -> None:
    shares = (0.0, 0.0049, 0.01, 0.5, 0.99, 0.9949, 1.0)
    assert [percent(share) for share in shares] == [
        "under 1%", "under 1%", "1%", "50%", "99%", "over 99%", "over 99%"
    ]  # fmt: skip
    assert percent(0.9996, 1) == "over 99.9%"
