"""Every kind of picture file people have, and every kind that is none."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageFile, UnidentifiedImageError

import face_recognition
from mien.errors import InputError, MemoryShort
from mien.media import images
from mien.sources import open_source

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
    pillow_heif = pytest.importorskip(
        "pillow_heif", reason="the encoder is not part of mien"
    )
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
def test_every_depth_of_grey_becomes_the_same_picture(
    bits: int, tmp_path: Path
) -> None:
    ramp = np.arange(256, dtype=np.uint16).repeat(2).reshape(16, 32)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp << (bits - 8))
    np.testing.assert_array_equal(
        images.read_image(tmp_path / "ramp.png")[..., 0], ramp
    )


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
def test_bad_files_say_what_is_wrong(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        images.read_image(file)
    assert "photo.jpg" in str(error.value)


def test_cut_files_are_refused_also_beside_the_drop_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="cut off"):
        images.read_image(encoded(plain(size=(400, 300)), "JPEG")[:1500])
    assert ImageFile.LOAD_TRUNCATED_IMAGES


_STARTED: list[str] = []  # what was started while `watched` was on
_WATCHED = False


def _audit(event: str, args: tuple[object, ...]) -> None:
    if _WATCHED and event in {
        "subprocess.Popen",
        "os.system",
        "os.posix_spawn",
        "os.exec",
        "os.fork",
        "os.forkpty",
    }:
        _STARTED.append(f"{event} {args}")


sys.addaudithook(_audit)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that the test starts, Ghostscript or not: whether they are installed makes no difference."""
    monkeypatch.setattr(sys.modules[__name__], "_WATCHED", True)
    _STARTED.clear()
    return _STARTED


def postscript(mark: Path) -> bytes:
    """A picture that is a program: it writes a file."""
    program = f"({mark}) (w) file (gone) writestring\nshowpage\n"
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n{program}%%EOF\n".encode()


def test_postscript_would_be_run(tmp_path: Path, started: list[str]) -> None:
    """The test below can fail: Pillow starts Ghostscript where it may."""
    with (
        contextlib.suppress(OSError),
        Image.open(io.BytesIO(postscript(tmp_path / "mark"))) as picture,
    ):
        picture.load()
    assert started


READERS: dict[str, Callable[[Path], object]] = {
    "read_image": images.read_image,
    "read_image of bytes": lambda path: images.read_image(path.read_bytes()),
    "read_jpeg": lambda path: images.read_jpeg(path.read_bytes()),
    "photos": lambda path: list(open_source(str(path))),
    "videos": lambda path: list(
        open_source(str(path.rename(path.with_suffix(".mp4"))))
    ),
    "taken_at": lambda path: images.taken_at(path.read_bytes()),
    "the drop-in": face_recognition.load_image_file,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_picture_starts_a_program(
    reader: str, tmp_path: Path, started: list[str]
) -> None:
    mark = tmp_path / "mark"
    for head in (b"", b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 500) + bytes(18)):
        path = tmp_path / "photo.jpg"
        path.write_bytes(head + postscript(mark))
        with contextlib.suppress(InputError, UnidentifiedImageError):
            assert READERS[reader](path) is None
    assert started == []
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\xd7\xcd\xc6\x9a\0\0" + bytes(60),
        b"BUFR" + bytes(60),
        b"GRIB\0\0\0\1" + bytes(60),
        b"\x89HDF\r\n\x1a\n" + bytes(60),
    ],
    ids=["WMF", "BUFR", "GRIB", "HDF5"],
)
def test_what_other_programs_would_read_is_no_picture(content: bytes) -> None:
    with pytest.raises(InputError, match="no picture that can be read"):
        images.read_image(content)


@pytest.mark.parametrize("kind", ["ICO", "PCX", "TGA", "SGI"])
def test_the_drop_in_reads_what_the_original_does(kind: str) -> None:
    content = encoded(plain(), kind)
    assert face_recognition.load_image_file(io.BytesIO(content)).shape[2] == 3
    with pytest.raises(InputError, match="no picture that can be read"):
        images.read_image(content)


@pytest.mark.parametrize(
    "name",
    ["missing.jpg", ".", "with\0zero.jpg"],
    ids=["missing", "folder", "zero byte"],
)
def test_unreadable_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        images.read_image(tmp_path / name)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are missing."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(b"")]
    whole = [
        (len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big")
        for c in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


@pytest.mark.parametrize(
    "bomb",
    [
        png_of_size(50_000, 50_000),
        png_of_size(14_000, 14_000),
        encoded(Image.new("1", (20_000, 20_000)), "PNG"),
    ],
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
    [
        ((4, 5, 3), True),
        ((4, 5), True),
        ((4, 5, 1), True),
        ((4, 5, 4), True),
        ((4, 5, 2), False),
        ((0, 5, 3), False),
    ],
)
def test_arrays(shape: tuple[int, ...], ok: bool) -> None:
    array = np.zeros(shape, np.uint8)
    if ok:
        assert images.as_image(array).shape == (4, 5, 3)
    else:
        with pytest.raises(InputError, match="expected"):
            images.as_image(array)


def test_arrays_of_another_dtype_are_refused() -> None:
    for array, reason in (
        (np.full((4, 5, 3), 200, np.float32), "from 0 to 1, got 200"),
        (np.full((4, 5, 3), np.nan), "from 0 to 1"),
        (np.zeros((4, 5, 3), np.uint16), "scale it to 0 to 255"),
        (np.zeros((4, 5), np.bool_), "got bool"),
        (np.zeros((3, 40, 50), np.uint8), "channels to the end"),
    ):
        with pytest.raises(InputError, match=reason):
            images.as_image(array)


def test_arrays_say_what_their_channels_are() -> None:
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = 255
    assert images.as_image(rgb, "rgb")[0, 0].tolist() == [0, 0, 255]
    assert images.as_image(rgb / 255, "rgb")[0, 0].tolist() == [0, 0, 255]
    clear = np.zeros((4, 5, 4), np.uint8)  # transparent black is white, as in files
    assert images.as_image(clear)[0, 0].tolist() == [255, 255, 255]
    assert images.as_image(np.full((4, 5), 7, np.uint8))[0, 0].tolist() == [7, 7, 7]


_SEEDS = [
    encoded(plain(size=(64, 48)), "JPEG"),
    encoded(plain(size=(64, 48)), "PNG"),
    encoded(plain("P", size=(64, 48)), "GIF"),
    encoded(plain(size=(64, 48)), "WEBP"),
    encoded(plain(size=(64, 48)), "TIFF"),
    encoded(plain(size=(64, 48)), "BMP"),
    encoded(plain(size=(64, 48)), "AVIF"),
]


@pytest.mark.slow
@settings(max_examples=400)
@given(
    seed=st.sampled_from(_SEEDS),
    cut=st.floats(0.05, 1.0),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
)
def test_mutated_files_are_read_or_refused(
    seed: bytes, cut: float, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(seed[: max(1, int(len(seed) * cut))])
    for place, value in flips:
        data[int(place * len(data))] = value
    try:
        picture = images.read_image(bytes(data), max_pixels=4_000_000)
    except InputError:
        return
    assert picture.ndim == 3
    assert picture.shape[2] == 3


def scanned(count: int) -> bytes:
    """A progressive JPEG whose last scan comes so often."""
    whole = encoded(plain("L", (64, 48)), "JPEG", progressive=True)
    last = whole[whole.rfind(b"\xff\xda") : -2]
    return whole[:-2] + last * (count - whole.count(b"\xff\xda")) + b"\xff\xd9"


def test_jpegs_are_drawn_in_as_many_scans_as_encoders_make() -> None:
    assert images.read_image(scanned(60)).shape == (48, 64, 3)
    for read in (images.read_image, images.read_jpeg):
        with pytest.raises(InputError, match="more than 64 scans"):
            read(scanned(70))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("out of memory error when reading image file"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=["Python", "Pillow", "C++"],
)
def test_short_memory_is_no_damaged_picture(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(images, "_to_bgr", fail)
    with pytest.raises(MemoryShort, match="not enough memory to open the picture"):
        images.read_image(encoded(plain(), "PNG"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "1"])
def test_strips_make_the_same_picture(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 23, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").convert("RGB").convert(mode)
    if mode in {"RGBA", "LA"}:
        picture.putalpha(Image.fromarray(noise[..., 3]))
    content = encoded(picture, "TIFF" if mode == "CMYK" else "PNG")
    whole = images.read_image(content)
    monkeypatch.setattr(images, "_STRIP", 100)
    np.testing.assert_array_equal(images.read_image(content), whole)


def test_the_pixels_of_a_picture_are_known_before_it_is_decoded() -> None:
    assert images.pixels_of(png_of_size(7000, 7000)) == 49_000_000
    assert images.pixels_of(encoded(plain(), "TIFF")) >= 1200
    assert images.pixels_of(b"no picture") == 0
