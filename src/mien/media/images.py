"""Pictures from files, bytes and arrays: always (H, W, 3) uint8 BGR, upright."""

from __future__ import annotations

import hashlib
import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mien import geometry
from mien.errors import InputError, MemoryShort
from mien.media import tiff
from mien.text import why
from mien.types import F32, U8

SUFFIXES = tiff.RAW_SUFFIXES.union(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .heic .heif .avif .jp2".split(),
    [".mpo"],
)
FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "WEBP",
    "AVIF",
    "HEIF",
    "GIF",
    "TIFF",
    "BMP",
    "DIB",
    "PPM",
    "JPEG2000",
)  # Pillow's
WRITABLE = (
    SUFFIXES - tiff.RAW_SUFFIXES - set(".jfif .heic .heif .mpo .pnm".split())
)  # what `write_image` can write
MAX_PIXELS = 178_000_000  # about 0.5 GB decoded; Pillow itself refuses more

log = logging.getLogger(__name__)

_PART = 0.25  # of the range of a picture's numbers: those that use less are stretched
_MOST_PAGES = 8  # of a TIFF looked at for one that is not empty
_ORIENTATION = 0x0112
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_SENSOR_FILES = (
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FUJIFILMCCD-RAW",
)  # Olympus, Panasonic, Fujifilm
_STRICT = threading.Lock()
_EXIF_IFD, _DATE_TIME_ORIGINAL, _DATE_TIME = 0x8769, 0x9003, 0x0132
_JPEG = b"\xff\xd8\xff"
_NAMELESS = "the picture"  # one that came as bytes, in what is said of it
_MARKER = re.compile(
    rb"\xff[^\x00\x01\xd0-\xd8\xff]"
)  # with a length behind it; data between scans has none
_SCAN, _END_OF_IMAGE, _MOST_SCANS = b"\xff\xda", b"\xff\xd9", 64
_GREY_SIDE = 160  # pixels
_REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
_STRIP = 1_000_000  # pixels
_AROUND = 0.5  # of the face's size, kept on each side of a thumbnail
THUMBNAIL = 224  # pixels of the longer side, at most
_THUMBNAIL_QUALITY = 88
_NO_MEMORY = -4  # OpenCV's code
_SHORT = re.compile(
    r"out of memory|bad.?alloc|failed to allocate memory", re.IGNORECASE
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def read_image(
    source: str | Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS
) -> U8:
    """The picture in a file or in a file's bytes, with its EXIF orientation applied.

    Transparent pixels become white; of an animation the first picture is taken, of a TIFF's pages the largest, of equal
    ones the first that shows something. A camera's raw file gives its preview if that is of full size. Pictures of 10
    to 16 bits keep their highest eight, those that use a small part of their range are stretched. Errors call it by
    its `name`, without one by its file's.

    Raises:
        InputError: Missing, empty, no picture, cut off, or of more than `max_pixels`.
    """
    if not name:
        name = _NAMELESS if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else read_bytes(Path(source))
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        with _whole_files_only():
            return (
                _read_tiff(data, name, max_pixels)
                if tiff.is_tiff(data)
                else _decoded(data, name, max_pixels)
            )
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name} {_what_it_is(data)}") from None
    except Image.DecompressionBombError as exc:
        raise InputError(
            f"{name} has too many pixels to be opened safely; scale it down first"
        ) from exc
    except (
        Exception
    ) as exc:  # Pillow's readers raise whatever a damaged file leads them to
        if is_out_of_memory(exc):
            raise MemoryShort(
                f"not enough memory to open {name}; scale it down, or do less at once"
            ) from exc
        raise InputError(f"{name} is damaged or cut off: {exc}") from exc


def read_with_alpha(path: Path) -> tuple[U8, F32]:
    """A picture file as (H, W, 3) BGR, upright, and how opaque it is (H, W), 0 to 1.

    Raises:
        InputError: It cannot be read.
    """
    image = read_image(path)
    with opened(read_bytes(path)) as picture:
        if not picture.has_transparency_data:
            return image, np.ones(image.shape[:2], np.float32)
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
    rgba = np.asarray(upright)
    bgr = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2BGR)
    alpha = rgba[..., 3].astype(np.float32) / np.float32(255)
    return np.asarray(bgr, np.uint8), np.asarray(alpha, np.float32)


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether an error of ours, Pillow, OpenCV or ONNX Runtime says that memory is short."""
    if isinstance(exc, MemoryError) or (
        isinstance(exc, cv2.error) and exc.code == _NO_MEMORY
    ):
        return True
    return isinstance(exc, OSError | RuntimeError) and bool(_SHORT.search(str(exc)))


def pixels_of(data: bytes) -> int:
    """How many pixels a picture says to have, of which little is read; 0 where that cannot be told."""
    try:
        if tiff.is_tiff(data):
            return max(
                (tiff.side_of(data, page) ** 2 for page in tiff.pages(data)), default=0
            )
        with opened(data) as picture:
            return picture.width * picture.height
    except Exception:  # a damaged head: whoever decodes the picture will say so
        return 0


def _what_it_is(data: bytes) -> str:
    """What to say of a file that cannot be read."""
    if data.startswith(_JPEG_XL):
        return "is JPEG XL, which cannot be read here; save it as JPEG or PNG"
    if data.startswith(_SENSOR_FILES) or data[4:11] == b"ftypcrx":
        return "is a camera's raw file of a kind that cannot be read here; save it as JPEG or TIFF"
    return "is no picture that can be read (JPEG, PNG, WebP, HEIC, AVIF, …)"


def _decoded(data: bytes, name: str, max_pixels: int, *, orientation: int = 0) -> U8:
    """The picture in a file's bytes, upright; `orientation` counts where the file itself tells none."""
    with opened(data) as picture:
        _check_size(picture, name, max_pixels)
        _check_scans(data, name)
        exif = picture.getexif()
        if orientation and _ORIENTATION not in exif:
            exif[_ORIENTATION] = orientation
        ImageOps.exif_transpose(picture, in_place=True)
        return _to_bgr(picture)


def _read_tiff(data: bytes, name: str, max_pixels: int) -> U8:
    """The page that is meant: as large as the main picture, no preview if there is a choice, not empty."""
    found = tiff.pages(data)
    sides = [tiff.side_of(data, page) for page in found]
    main = max(
        (side for page, side in zip(found, sides, strict=True) if not page.is_preview),
        default=0,
    )
    large = [
        page
        for page, side in zip(found, sides, strict=True)
        if side >= tiff.FULL * main and not page.is_sensor
    ]
    if found and not large:
        raise InputError(
            f"{name} is a camera's raw file whose previews are smaller than the picture: save it as JPEG or TIFF first"
        )
    large.sort(key=lambda page: page.is_preview)
    whole = (
        [page for page in large if page.is_preview == large[0].is_preview]
        if large
        else []
    )
    for number, page in enumerate(whole[:_MOST_PAGES], 1):
        image = _read_page(data, page, name, max_pixels, found[0].orientation)
        if len(whole) == 1 or image.min() < image.max():
            if len(whole) > 1:
                log.warning(
                    "%s has %d pages; only page %d is looked at",
                    name,
                    len(whole),
                    number,
                )
            return image
    return _decoded(data, name, max_pixels)


def _read_page(
    data: bytes, page: tiff.TiffPage, name: str, max_pixels: int, orientation: int
) -> U8:
    numbers = tiff.plain_pixels(data, page, most=max_pixels)
    if numbers is None:
        jpeg = tiff.jpeg_of(data, page) if page.is_old_jpeg else None
        return _decoded(
            jpeg or tiff.alone(data, page),
            name,
            max_pixels,
            orientation=page.orientation or orientation,
        )
    picture = Image.fromarray(
        cv2.cvtColor(_to_colour(_eight_bits(numbers)), cv2.COLOR_BGR2RGB)
    )
    picture.getexif()[_ORIENTATION] = page.orientation or orientation or 1
    ImageOps.exif_transpose(picture, in_place=True)
    return _to_bgr(picture)


def read_bytes(path: Path) -> bytes:
    """A file as it is.

    Raises:
        InputError: Missing or unreadable.
    """
    try:
        return path.read_bytes()
    except IsADirectoryError as exc:
        raise InputError(f"{path} is a folder, not a file") from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise InputError(f"{str(path)!r} is no file name: {exc}") from exc


def taken_at(data: bytes) -> datetime | None:
    """When a picture was taken by its EXIF, as the camera's clock showed it, without a time zone; None if unknown."""
    try:
        with opened(data) as picture:
            exif = picture.getexif()
            text = exif.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL) or exif.get(
                _DATE_TIME
            )
        return datetime.strptime(str(text)[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # Pillow's EXIF reader raises whatever damaged tags lead it to: then the time is unknown
        return None


def sha256_of(path: Path) -> str:
    """The hash of a file's content, read in pieces.

    Raises:
        InputError: Missing or unreadable.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc


@contextmanager
def _whole_files_only() -> Iterator[None]:
    """Files that are cut off are errors here, also where the drop-in told Pillow to fill such files up."""
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        yield
        return
    with _STRICT:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = True


def open_picture(
    file: str | PathLike[str] | IO[bytes], formats: Sequence[str] = FORMATS
) -> Image.Image:
    """Pillow's picture of a file, of listed formats only: nothing else calls Pillow's readers.

    Those of PostScript and some others start programs on what the file says; whatever is not listed is never read.

    Raises:
        UnidentifiedImageError: None of these formats. The readers themselves raise more.
    """
    Image.preinit()  # the few readers that most pictures need; all forty take a tenth of a second to load
    try:
        return _picture(file, formats)
    except UnidentifiedImageError:
        Image.init()
        return _picture(file, formats)


def _picture(
    file: str | PathLike[str] | IO[bytes], formats: Sequence[str]
) -> Image.Image:
    """Pillow's picture of a file, by those readers of the listed formats that are loaded: HEIF's is not before its
    plug-in was asked for."""
    there = [name for name in formats if name in Image.OPEN]
    return Image.open(file, formats=there)  # noqa: TID251 - the only place


def opened(data: bytes) -> Image.Image:
    """Pillow's picture of a file's bytes, of which only the head was read.

    Raises:
        UnidentifiedImageError: It is none we read. The readers themselves raise more.
    """
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        import pi_heif

        pi_heif.register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return open_picture(io.BytesIO(data))


def read_jpeg(data: bytes, *, max_pixels: int = MAX_PIXELS) -> U8:
    """A JPEG of a stream, which need not be upright: in half the time of `read_image`.

    Raises:
        InputError: It is none, damaged, or too large.
    """
    _check_jpeg(data, max_pixels)
    return _decode_jpeg(data, cv2.IMREAD_COLOR)


def read_grey_jpeg(data: bytes, *, max_pixels: int = MAX_PIXELS) -> U8:
    """The brightness of the same, (h, w), as small as it is read in a fraction of the time: of 160 pixels or more.

    Raises:
        InputError: It is none, damaged, or too large.
    """
    side = max(_check_jpeg(data, max_pixels))
    for by, how in _REDUCED.items():
        if side >= _GREY_SIDE * by:
            return _decode_jpeg(data, how)
    return _decode_jpeg(data, cv2.IMREAD_GRAYSCALE)


def _check_jpeg(data: bytes, max_pixels: int) -> tuple[int, int]:
    """The size of a JPEG that may be decoded. Raises InputError."""
    if not data.startswith(_JPEG):
        raise InputError("this is no JPEG")
    with opened(data) as picture:  # reads the header only
        _check_size(picture, _NAMELESS, max_pixels)
        size = picture.size
    _check_scans(data, _NAMELESS)
    return size


def named(said: str, name: str) -> str:
    """What was said of a picture that came as bytes, with the name that its owner knows it by."""
    return said.replace(_NAMELESS, name, 1)


def _decode_jpeg(data: bytes, how: int) -> U8:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), how)  # noqa: TID251 - JPEG only
    if image is None:
        raise InputError("this JPEG is damaged")
    return np.asarray(image, dtype=np.uint8)


def _check_size(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} pixels ({width * height / 1e6:.0f} megapixels), "
            f"more than the limit of {max_pixels / 1e6:.0f}; scale it down first"
        )


def _check_scans(data: bytes, name: str) -> None:
    """A progressive JPEG is drawn over and over, each time as dear as the whole: encoders do it some ten times."""
    scans, at = 0, 2
    if not data.startswith(_JPEG):
        return
    while (found := _MARKER.search(data, at)) and found[0] != _END_OF_IMAGE:
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        scans += found[0] == _SCAN
        if scans > _MOST_SCANS:
            raise InputError(
                f"{name} is drawn in more than {_MOST_SCANS} scans, as no camera does; save it again"
            )


def _to_bgr(picture: Image.Image) -> U8:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _to_colour(_eight_bits(np.asarray(picture)))
    width, height = picture.size
    image = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(
        0, height, rows
    ):  # in strips: all at once takes five times the memory
        strip = picture.crop((0, top, width, min(height, top + rows)))
        if strip.has_transparency_data:
            rgba = strip.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            strip = Image.alpha_composite(white, rgba)
        rgb = np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))
        image[top : top + rows] = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return image


def _eight_bits(numbers: NDArray[Any]) -> U8:
    """The eight highest bits in use: cameras write 10 and 12 bits into files of 16; fractions reach from 0 to 1.

    What uses less than a quarter of its range (infrared cameras: an offset, little contrast) is stretched over all.
    """
    finite = numbers[np.isfinite(numbers)]
    low, high = (
        map(float, np.percentile(finite, (0.1, 99.9))) if finite.size else (0.0, 0.0)
    )
    top = float(finite.max(initial=0))
    if numbers.dtype.kind == "f":
        factor = 255.0 if high <= 1 else 1.0 if high <= 255 else 255.0 / high
    else:
        factor = 0.5 ** (max(8, int(np.ceil(np.log2(top + 1)))) - 8)
    if low < high and (low < 0 or (high - low) * factor < 255 * _PART):
        numbers, factor = numbers - low, 255.0 / (high - low)
    return np.asarray(np.clip(np.nan_to_num(numbers * factor), 0, 255), dtype=np.uint8)


def _to_colour(pixels: U8) -> U8:
    """Grey (H, W) or RGB (H, W, 3) as BGR."""
    way = cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), way), dtype=np.uint8)


def as_image(array: NDArray[Any], color: str = "bgr") -> U8:
    """An array as a picture (H, W, 3) uint8 BGR: of (H, W) grey, three channels, or four with transparency.

    `color` is the order of the channels, "bgr" or "rgb". Floats reach from 0 to 1.

    Raises:
        InputError: Another dtype, range or shape, or no pixels.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    if not array.size or channels not in {1, 3, 4}:
        turned = array.ndim == 3 and array.shape[0] in {1, 3, 4}
        cure = "; move the channels to the end" if turned else ""
        raise InputError(
            f"expected a picture of shape (H, W, 3), (H, W) or (H, W, 4), got {array.shape}{cure}"
        )
    pixels = _as_bytes(array).reshape(*array.shape[:2], channels)
    if channels == 1:
        return np.asarray(
            cv2.cvtColor(np.ascontiguousarray(pixels[..., 0]), cv2.COLOR_GRAY2BGR),
            dtype=np.uint8,
        )
    if channels == 4:
        share = pixels[..., 3:].astype(np.float32) / 255  # on white, as of a file
        pixels = np.rint(pixels[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1] if color == "rgb" else pixels)


def _as_bytes(array: NDArray[Any]) -> U8:
    """Numbers as uint8.

    Raises:
        InputError: It cannot be told what they mean.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise InputError(
            f"expected a picture of uint8, or of floats from 0 to 1, got {array.dtype}; scale it to 0 to 255 first"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"expected floats from 0 to 1, got {low:g} to {high:g}; give uint8, or divide by the largest value there is"
        )
    return np.asarray(np.rint(array * 255), np.uint8)


def of_pillow(picture: Image.Image) -> U8:
    """A Pillow picture as (H, W, 3) uint8 BGR, upright; its mode says what its channels are.

    Raises:
        InputError: It is damaged.
    """
    try:
        return _to_bgr(ImageOps.exif_transpose(picture))
    except (OSError, ValueError, SyntaxError) as exc:
        raise InputError(f"the picture is damaged or cut off: {exc}") from exc


def write_image(path: Path, image: U8) -> None:
    """Writes a BGR picture; the suffix names the format.

    Raises:
        InputError: The format is unknown or the place cannot be written.
    """
    options: dict[str, Any] = (
        {"quality": 92} if path.suffix.lower() in {".jpg", ".jpeg", ".webp"} else {}
    )
    try:
        Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).save(path, **options)
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot write {path}: {why(exc)}") from exc


def around(image: U8, box: F32, *, margin: float) -> U8:
    """The face in `box` (4,) xyxy with so much of its size on each side of it, as far as the picture goes."""
    aside = margin * float(max(box[2] - box[0], box[3] - box[1]))
    grown = box + np.array([-aside, -aside, aside, aside], np.float32)
    height, width = image.shape[:2]
    x1, y1, x2, y2 = geometry.clip_boxes(grown[None], width=width, height=height)[
        0
    ].astype(int)
    return np.ascontiguousarray(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])


def cut_out(image: U8, box: F32, *, margin: float = _AROUND) -> bytes:
    """The face in `box` (4,) xyxy with half its size around it, or so much, as PNG.

    Raises:
        InputError: It cannot be cut out.
    """
    done, encoded = cv2.imencode(".png", around(image, box, margin=margin))
    if not done:
        raise InputError("the face cannot be cut out of the photo")
    return bytes(encoded.tobytes())


def thumbnail(image: U8, box: F32) -> bytes:
    """The face in `box` (4,) xyxy with half its size around it, at most 224 pixels, as JPEG."""
    face = around(image, box, margin=_AROUND)
    return small_jpeg(face, side=THUMBNAIL, quality=_THUMBNAIL_QUALITY)


def small_jpeg(image: U8, *, side: int, quality: int) -> bytes:
    """A BGR picture (h, w, 3) as JPEG, its longer side at most `side` pixels."""
    small = geometry.shrink(image, min(1.0, side / max(image.shape[:2])))
    done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(encoded.tobytes()) if done else b""
