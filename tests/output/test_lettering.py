"""Names of all the scripts we claim are written as their readers read them."""

from __future__ import annotations

import sys
import threading
import unicodedata

import cv2
import numpy as np
import pytest
from PIL import Image

from mien.output import lettering


def pixels(text: str, size: int = 48) -> np.ndarray:
    width, height = lettering.text_size(text, size)
    picture = Image.new("L", (width + 4, height))
    lettering.draw_text(picture, (0, 0), text, size, 255)  # type: ignore[arg-type]
    return np.asarray(picture)


def strokes(text: str) -> int:
    """How many separate pieces a text is drawn with, points aside."""
    _, _, about, _ = cv2.connectedComponentsWithStats(
        (pixels(text, 96) > 99).astype(np.uint8)
    )
    return int((about[1:, cv2.CC_STAT_AREA] > 250).sum())


@pytest.mark.parametrize("text", ["öäåßő", "Даша", "Ωμέγα", "李小龙", "한국어", "שלום"])
def test_names_of_many_scripts_are_written(text: str) -> None:
    drawn = []
    for letter in [*text, "?"]:
        picture = Image.new("RGB", (40, 40))
        lettering.draw_text(picture, (0, 0), letter, 24, (255, 255, 255))
        drawn.append(picture.tobytes())
    assert len(set(drawn)) == len({*text, "?"})


def test_arabic_letters_are_joined() -> None:
    assert strokes("محمد") == 1
    assert strokes("م\u200cح\u200cم\u200cد") == 4


def test_arabic_and_hebrew_run_from_right_to_left() -> None:
    (alef, bet), both = map(pixels, "אב"), pixels("אב")
    assert np.abs(both[:, :20].astype(int) - bet[:, :20]).mean() < 3
    assert np.abs(both[:, :20].astype(int) - alef[:, :20]).mean() > 3
    assert lettering.runs("Ada (שלום) 12")[0][1] == "Ada (םולש) 12"
    assert lettering.runs("שלום (12) Ada")[0][1] == "Ada (12) םולש"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Zoë 🌻", "Zoë (sunflower)"),
        ("👩\u200d💻", "(woman personal computer)"),
        ("👍🏽 Ada", "(thumbs up sign) Ada"),
        ("Ada ♥", "Ada ♥"),
        (unicodedata.normalize("NFD", "Zoë"), "Zoë"),
    ],
)
def test_what_no_font_has_is_written_in_words(text: str, written: str) -> None:
    assert "".join(run for _, run in lettering.runs(text)) == written
    assert not np.array_equal(pixels(text), pixels("?" * len(text)))


def test_without_the_arabic_font_names_are_drawn_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lettering, "_FONTS", threading.local())
    monkeypatch.setitem(sys.modules, "fontpkg_noto_sans_arabic", None)
    assert lettering._arabic_font(17).getlength("\u0633") > 0
    assert "pip install fontpkg-noto-sans-arabic" in caplog.text
