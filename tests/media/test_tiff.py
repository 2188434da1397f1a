"""Files with several pictures: the one that is meant is read, whatever stands first."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from mien import sources
from mien.errors import InputError
from mien.media import images, tiff
from mien.types import U8

Tags = dict[int, int | tuple[int, ...]]
SENSOR = {
    258: 16,
    259: 1,
    262: 32803,
    277: 1,
}  # a page of one sample as a camera's sensor saw it


def written(*arrays: np.ndarray, **options: object) -> bytes:
    """A TIFF with a page for each array."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for array in arrays:
            writer.write(array, **options)  # type: ignore[arg-type]
    return out.getvalue()


def jpeg(rgb: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=95)
    return out.getvalue()


def raw_file(preview: bytes, *, orientation: int = 1) -> bytes:
    """As cameras write: a thumbnail, in it the sensor's page of 512 x 512 and a JPEG whose size only it tells."""
    thumbnail = bytes(range(48))
    sub = [8 + len(thumbnail) + len(preview)]
    first: Tags = {
        254: 1,
        256: 4,
        257: 4,
        258: 8,
        259: 1,
        262: 2,
        273: 8,
        274: orientation,
        277: 3,
        279: 48,
    }
    sensor: Tags = {254: 0, 256: 512, 257: 512, **SENSOR, 273: 8, 279: 8}
    shown: Tags = {254: 1, 259: 6, 513: 8 + len(thumbnail), 514: len(preview)}
    parts = [_directory(sensor)]
    sub.append(sub[0] + len(parts[0]))
    parts.append(_directory(shown))
    pair = sub[1] + len(parts[1])
    parts += [
        struct.pack("<II", *sub),
        _directory(first | {330: pair}, counts={330: 2}),
    ]
    start = pair + 8
    return b"II*\0" + struct.pack("<I", start) + thumbnail + preview + b"".join(parts)


def _directory(tags: Tags, counts: dict[int, int] | None = None) -> bytes:
    rows = [
        struct.pack("<HHII", tag, 4, (counts or {}).get(tag, 1), tags[tag])
        for tag in sorted(tags)
    ]
    return struct.pack("<H", len(rows)) + b"".join(rows) + struct.pack("<I", 0)


def test_a_raw_file_gives_its_preview_of_full_size_upright(astronaut: U8) -> None:
    rgb = np.ascontiguousarray(astronaut[..., ::-1])
    read = images.read_image(raw_file(jpeg(rgb), orientation=3))
    assert np.abs(read[::-1, ::-1].astype(int) - astronaut).mean() < 3


def test_a_raw_file_with_small_previews_is_refused(astronaut: U8) -> None:
    small = np.ascontiguousarray(astronaut[::2, ::2, ::-1])
    with pytest.raises(InputError, match="raw file whose previews are smaller"):
        images.read_image(raw_file(jpeg(small)))


def test_a_picture_behind_a_thumbnail_is_read(astronaut: U8) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(
            np.ascontiguousarray(astronaut[::8, ::8]),
            photometric="rgb",
            subfiletype=1,
            subifds=1,
        )
        writer.write(astronaut[..., ::-1], photometric="rgb", subfiletype=0)
    np.testing.assert_array_equal(images.read_image(out.getvalue()), astronaut)


def test_of_equal_pages_the_first_that_shows_something_is_read(
    astronaut: U8, caplog: pytest.LogCaptureFixture
) -> None:
    rgb = astronaut[..., ::-1]
    read = images.read_image(
        written(np.full_like(rgb, 255), rgb, rgb[::-1], photometric="rgb")
    )
    np.testing.assert_array_equal(read, astronaut)
    assert "has 3 pages; only page 2 is looked at" in caplog.text


@pytest.mark.parametrize(
    ("dtype", "scale", "planar", "order"),
    [
        ("u1", 1, "separate", "<"),
        ("u2", 257, "separate", "<"),
        ("u2", 257, "separate", ">"),
        ("u2", 257, "contig", "<"),
        ("f4", 1 / 255, "contig", "<"),
        ("f4", 1 / 255, "separate", "<"),
        ("f8", 1.0, "contig", "<"),
    ],
)
def test_colour_of_every_depth_and_layout(
    astronaut: U8, dtype: str, scale: float, planar: str, order: str
) -> None:
    numbers = (astronaut[..., ::-1].astype(np.float64) * scale).astype(order + dtype)
    if planar == "separate":
        numbers = np.moveaxis(numbers, -1, 0)
    read = images.read_image(
        written(numbers, photometric="rgb", planarconfig=planar, rowsperstrip=100)
    )
    np.testing.assert_allclose(read, astronaut, atol=1)


@pytest.mark.parametrize(
    ("start", "scale", "dtype"),
    [
        (20_000, 4, "u2"),
        (-3, 1 / 255, "f4"),
        (0, 1 / 255, "f2"),
        (0, 1, "f4"),
        (500, 90, "f4"),
    ],
    ids=["infrared", "below zero", "half", "to 255", "any"],
)
def test_grey_uses_the_whole_range(
    astronaut: U8, start: float, scale: float, dtype: str
) -> None:
    grey = astronaut[..., 1].astype(np.float64)
    numbers = (start + grey * scale).astype(dtype)
    numbers[0, 0] = numbers.max() * 1.5  # one broken pixel makes nothing dark
    read = images.read_image(written(numbers))[..., 0]
    assert np.corrcoef(read.ravel(), grey.ravel())[0, 1] > 0.99
    assert np.ptp(read) > 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\x0a" + bytes(40), "is JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is JPEG XL"),
        (b"FUJIFILMCCD-RAW 0201", "raw file of a kind"),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "raw file of a kind"),
        (b"II*\0" + bytes(40), "no picture|damaged"),
        (b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40, "no picture|damaged"),
    ],
)
def test_what_cannot_be_read_is_called_by_its_name(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        images.read_image(data)


def test_directories_that_lead_in_circles_end() -> None:
    circle = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 330, 4, 1, 8, 8)
    assert len(tiff.pages(circle)) == 1


def test_a_folder_says_what_it_passes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.dng", "b.CR3", "c.jxl", "d.jxl", "e.jpg", "f.txt"):
        (tmp_path / name).touch()
    with caplog.at_level(logging.WARNING):
        assert [Path(path).name for path in sources.expand(str(tmp_path))] == [
            "a.dng",
            "e.jpg",
        ]
    assert "2 .jxl, 1 .cr3" in caplog.text


def test_the_shared_faults(shared: Path) -> None:
    assert images.read_image(shared / "faults" / "dng-thumbnail-first.dng").shape == (
        562,
        572,
        3,
    )
    assert images.read_image(shared / "faults" / "ir16-low-contrast.tif").std() > 50
