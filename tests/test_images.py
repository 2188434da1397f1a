"""Every kind of picture file people have, and every kind that is none."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image, ImageFile

from mien import images
from mien.errors import InputError

RED = (200, 30, 20)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def plain(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, RED).convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "CMYK", {"quality": 95}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("AVIF", "RGB", {"quality": 95}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("GIF", "P", {}),
        ("PPM", "RGB", {}),
        ("JPEG2000", "RGB", {}),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_formats(kind: str, mode: str, options: dict[str, object]) -> None:
    picture = images.read_image(encoded(plain(mode), kind, **options))
    assert picture.shape == (30, 40, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(axis=0), RED[::-1], atol=12)


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the encoder is not part of mien")
    heif = pillow_heif.from_pillow(plain(size=(64, 64)))
    out = io.BytesIO()
    heif.save(out, quality=95)
    assert images.read_image(out.getvalue()).shape == (64, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), "black")
    upright.paste((255, 255, 255), (0, 0, 10, 5))  # a white corner, top left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = images.read_image(encoded(stored, "PNG", exif=exif))
    assert picture.shape == (20, 40, 3)
    assert picture[2, 5].tolist() == [255, 255, 255]
    assert picture[15, 30].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_depth_of_grey_becomes_the_same_picture(bits: int, tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint16).repeat(2).reshape(16, 32)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp << (bits - 8))
    np.testing.assert_array_equal(images.read_image(tmp_path / "ramp.png")[..., 0], ramp)


def test_sixteen_bits_keep_their_high_byte() -> None:
    grey = np.full((8, 9), 0x8040, np.uint16)
    done, buffer = cv2.imencode(".png", grey)
    assert done
    assert (images.read_image(buffer.tobytes()) == 0x80).all()


def test_sixteen_bit_colour() -> None:
    colour = np.full((8, 9, 3), 0x8040, np.uint16)
    done, buffer = cv2.imencode(".png", colour)
    assert done
    assert (images.read_image(buffer.tobytes()) == 0x80).all()


def test_grey_becomes_three_equal_channels() -> None:
    picture = images.read_image(encoded(Image.new("L", (5, 4), 77), "PNG"))
    assert (picture == 77).all()
    assert picture.shape == (4, 5, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    clear = Image.new("RGBA", (5, 4), (10, 20, 30, 0)).convert(mode)
    assert (images.read_image(encoded(clear, "PNG")) == 255).all()


def test_of_an_animation_the_first_picture_is_taken() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("white", "black")]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (images.read_image(animation) == 255).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is no picture", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "no picture|damaged"),
        (encoded(plain(size=(400, 300)), "JPEG")[:1500], "damaged or cut off"),
        (encoded(plain(size=(400, 300)), "PNG")[:300], "damaged or cut off"),
    ],
    ids=["empty", "text", "head only", "cut JPEG", "cut PNG"],
)
def test_bad_files_say_what_is_wrong(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        images.read_image(file)
    assert "photo.jpg" in str(error.value)


def test_cut_files_are_refused_also_beside_the_drop_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="cut off"):
        images.read_image(encoded(plain(size=(400, 300)), "JPEG")[:1500])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("name", ["missing.jpg", ".", "with\0zero.jpg"], ids=["missing", "folder", "zero byte"])
def test_unreadable_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        images.read_image(tmp_path / name)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are missing."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(b"")]
    whole = [(len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


@pytest.mark.parametrize(
    "bomb",
    [png_of_size(50_000, 50_000), png_of_size(14_000, 14_000), encoded(Image.new("1", (20_000, 20_000)), "PNG")],
    ids=["Pillow's limit", "ours", "a real bomb"],
)
def test_decompression_bombs_are_refused_unread(bomb: bytes) -> None:
    with pytest.raises(InputError, match=r"pixels.*scale it down"):
        images.read_image(bomb)


def test_a_limit_of_ones_own() -> None:
    photo = encoded(plain(size=(100, 100)), "PNG")
    assert images.read_image(photo, max_pixels=10_000).shape == (100, 100, 3)
    with pytest.raises(InputError, match="limit"):
        images.read_image(photo, max_pixels=9_999)


@pytest.mark.parametrize(
    ("shape", "ok"),
    [((4, 5, 3), True), ((4, 5), True), ((4, 5, 1), True), ((4, 5, 4), True), ((4, 5, 2), False), ((0, 5, 3), False)],
)
def test_arrays(shape: tuple[int, ...], ok: bool) -> None:
    array = np.zeros(shape, np.uint8)
    if ok:
        assert images.as_image(array).shape == (4, 5, 3)
    else:
        with pytest.raises(InputError, match="expected"):
            images.as_image(array)


def test_arrays_of_another_dtype_are_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        images.as_image(np.zeros((4, 5, 3), np.float32))


_SEEDS = [
    encoded(plain(size=(64, 48)), "JPEG"),
    encoded(plain(size=(64, 48)), "PNG"),
    encoded(plain("P", size=(64, 48)), "GIF"),
    encoded(plain(size=(64, 48)), "WEBP"),
    encoded(plain(size=(64, 48)), "TIFF"),
    encoded(plain(size=(64, 48)), "BMP"),
    encoded(plain(size=(64, 48)), "AVIF"),
]


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(_SEEDS),
    cut=st.floats(0.05, 1.0),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_mutated_files_are_read_or_refused(seed: bytes, cut: float, flips: list[tuple[float, int]]) -> None:
    data = bytearray(seed[: max(1, int(len(seed) * cut))])
    for place, value in flips:
        data[int(place * len(data))] = value
    try:
        picture = images.read_image(bytes(data), max_pixels=4_000_000)
    except InputError:
        return
    assert picture.ndim == 3
    assert picture.shape[2] == 3
