"""Text on pictures: every script that the two fonts hold, joined and in reading order; what they lack in words."""

from __future__ import annotations

import logging
import math
import re
import threading
import unicodedata
from functools import lru_cache
from importlib.resources import files
from itertools import groupby

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)

Colour = tuple[int, int, int]

LINE_HEIGHT = 1.25  # of the text's size: what the fonts take from their highest accent to their lowest tail
_WEIGHT = 500  # 400 is regular, 600 semibold
_ARABIC_WEIGHT = 600  # its strokes are thinner
_WIDTH = 100  # of the Arabic font, in percent
_RIGHT_TO_LEFT = frozenset({"R", "AL"})  # Unicode's classes of letters
_NON_JOINER = "\u200c"  # has kept the letters beside it apart once they are joined
_HAS_FONTS = hasattr(
    cv2, "FontFace"
)  # OpenCV 5 brings a font of many scripts; with OpenCV 4 Latin is what there is
_FONTS = (
    threading.local()
)  # neither OpenCV nor FreeType says that threads may share one


def draw_text(
    canvas: Image.Image, at: tuple[int, int], text: str, size: int, colour: Colour
) -> None:
    """Writes a line of text; `at` is its upper left corner, `size` in pixels."""
    width, height = text_size(text, size)
    if not width:
        return
    mask = Image.new("L", (width, height))
    x = 0
    for arabic, run in runs(text):
        if arabic:
            draw, font = ImageDraw.Draw(mask), _arabic_font(size)
            draw.text((x, size), run, fill=255, font=font, anchor="ls")
        else:
            mask.paste(Image.fromarray(_run_pixels(run, size)), (x, 0))
        x += _run_width(arabic, run, size)
    canvas.paste(colour, at, mask)


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a line of text in pixels."""
    width = sum(_run_width(arabic, run, size) for arabic, run in runs(text))
    return width + 1 if text else 0, round(size * LINE_HEIGHT) + 1


@lru_cache(maxsize=1024)
def runs(text: str) -> tuple[tuple[bool, str], ...]:
    """The text from left to right as pieces of one font: whether it is the Arabic one, and the piece."""
    # Emoji and other signs that no font here has, as their names in brackets.
    text = unicodedata.normalize("NFC", text)
    parts = []
    for missing, signs in groupby(text, key=_is_missing_sign):
        if not missing:
            parts.append("".join(signs))
            continue
        # Nothing for what only changes the sign before it.
        shown = (sign for sign in signs if unicodedata.category(sign) == "So")
        words = " ".join(filter(None, (unicodedata.name(one, "") for one in shown)))
        if words:
            parts.append(f"({words.lower()})")
    line = "".join(parts)
    if any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in line):
        line = _in_reading_order(line)
    line = line.replace(_NON_JOINER, "")
    return tuple(
        (arabic, "".join(run)) for arabic, run in groupby(line, key=_is_arabic)
    )


def _in_reading_order(text: str) -> str:
    """Letters joined as Arabic joins them, and all in the order in which they stand from left to right."""
    from arabic_reshaper import reshape
    from bidi import get_display

    shown = str(get_display(reshape(text)))
    for opening, closing in ("()", "[]"):  # pairs that were turned round as a whole
        pair = re.compile(rf"\{closing}([^{opening}\{closing}]*)\{opening}")
        shown = pair.sub(rf"{opening}\1{closing}", shown)
    return shown


def _is_arabic(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("ARABIC")


@lru_cache(maxsize=4096)
def _is_missing_sign(letter: str) -> bool:
    """Whether it is no letter and would be drawn as a question mark."""
    if (
        letter.isascii()
        or letter == _NON_JOINER
        or unicodedata.category(letter)[0] == "L"
    ):
        return False
    if unicodedata.category(letter) == "Cf":
        return True
    question, drawn = (_run_pixels(text, 24) for text in ("?", letter))
    return not _is_arabic(letter) and np.array_equal(question, drawn)


def _run_width(arabic: bool, run: str, size: int) -> int:
    if arabic:
        return round(_arabic_font(size).getlength(run))
    if not _HAS_FONTS:
        return math.ceil(_latin_font(size).getlength(_latin(run)))
    _, _, width, _ = cv2.getTextSize((0, 0), run, (0, 0), _sans(), size, _WEIGHT)
    return int(width)


def _run_pixels(run: str, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    width = _run_width(False, run, size) + 1
    pixels = np.zeros((round(size * LINE_HEIGHT) + 1, width), np.uint8)
    if _HAS_FONTS:
        cv2.putText(pixels, run, (0, size), (255,), _sans(), size, _WEIGHT)
        return pixels
    mask = Image.fromarray(pixels)
    ImageDraw.Draw(mask).text(
        (0, size), _latin(run), fill=255, font=_latin_font(size), anchor="ls"
    )
    return np.array(mask)


def _latin(run: str) -> str:
    """What Pillow's own font holds; a question mark for every other letter."""
    return "".join(letter if _in_latin_font(letter) else "?" for letter in run)


@lru_cache(maxsize=4096)
def _in_latin_font(letter: str) -> bool:
    font = _latin_font(24)
    return letter == " " or bytes(font.getmask(letter)) != bytes(
        font.getmask("\U0010ffff")
    )


def _latin_font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, for OpenCV 4, which brings none."""
    known: dict[int, ImageFont.FreeTypeFont] = _FONTS.__dict__.setdefault("latin", {})
    if size not in known:
        font = ImageFont.load_default(size)
        assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow's wheels all have FreeType
        known[size] = font
    return known[size]


def _sans() -> cv2.FontFace:
    if not hasattr(_FONTS, "sans"):
        _FONTS.sans = cv2.FontFace("sans")
    font: cv2.FontFace = _FONTS.sans
    return font


def _arabic_font(size: int) -> ImageFont.FreeTypeFont:
    """Noto Sans Arabic, whose letters have a character for each of their joined forms; another where it is gone."""
    known: dict[int, ImageFont.FreeTypeFont] = _FONTS.__dict__.setdefault("arabic", {})
    if size not in known:
        try:
            place = files("fontpkg_noto_sans_arabic") / "files"
            known[size] = ImageFont.truetype(
                str(place / "NotoSansArabic[wdth,wght].ttf"),
                size,
                layout_engine=ImageFont.Layout.BASIC,
            )
        except (ImportError, OSError):
            log.warning(
                "Arabic letters are drawn as boxes; run 'pip install fontpkg-noto-sans-arabic'"
            )
            known[size] = _latin_font(size)
            return known[size]
        known[size].set_variation_by_axes([_ARABIC_WEIGHT, _WIDTH])
    return known[size]
