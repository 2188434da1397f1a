"""Face regions: ours as exiftool reads them, others' as we read them, and nobody's work undone."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import Inside
from mien.errors import InputError
from mien.media import images
from mien.types import U8
from mien.xmp.packet import Packet
from mien.xmp.picasa import named_in
from mien.xmp.segments import read_xmp, with_xmp
from mien.xmp.tags import Mark, TaggedPhoto, sidecar_of

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(
    EXIFTOOL is None, reason="exiftool (libimage-exiftool-perl) is not installed"
)
_ORIENTATION = 0x0112
FACE = np.array([0.3, 0.1, 0.5, 0.4], np.float32)
RDF = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF>'

# As each program writes it: elements and descriptions (digiKam), attributes (Picasa, Lightroom), Microsoft's own.
DIGIKAM = RDF.format("""
 <rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
   xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
  <mwg-rs:Regions rdf:parseType="Resource">
   <mwg-rs:AppliedToDimensions rdf:parseType="Resource">
    <stDim:w>1000</stDim:w><stDim:h>500</stDim:h><stDim:unit>pixel</stDim:unit>
   </mwg-rs:AppliedToDimensions>
   <mwg-rs:RegionList><rdf:Bag>
    <rdf:li rdf:parseType="Resource">
     <mwg-rs:Name>Ada &amp; Co</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Rotation>0.00000</mwg-rs:Rotation>
     <mwg-rs:Area rdf:parseType="Resource"><stArea:x>0.4</stArea:x><stArea:y>0.25</stArea:y>
      <stArea:w>0.2</stArea:w><stArea:h>0.3</stArea:h><stArea:unit>normalized</stArea:unit></mwg-rs:Area>
    </rdf:li>
   </rdf:Bag></mwg-rs:RegionList>
  </mwg-rs:Regions>
 </rdf:Description>""")
PICASA = RDF.format("""
 <rdf:Description rdf:about="" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
   xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
  <mwg-rs:Regions rdf:parseType="Resource">
   <mwg-rs:AppliedToDimensions stDim:w="1000" stDim:h="500" stDim:unit="pixel"/>
   <mwg-rs:RegionList><rdf:Bag>
    <rdf:li><rdf:Description mwg-rs:Name="Ada &amp; Co" mwg-rs:Type="Face">
     <mwg-rs:Area stArea:x="0.4" stArea:y="0.25" stArea:w="0.2" stArea:h="0.3" stArea:unit="normalized"/>
    </rdf:Description></rdf:li>
    <rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet">
     <mwg-rs:Area stArea:x="0.8" stArea:y="0.8" stArea:w="0.1" stArea:h="0.1" stArea:unit="normalized"/>
    </rdf:Description></rdf:li>
   </rdf:Bag></mwg-rs:RegionList>
  </mwg-rs:Regions>
 </rdf:Description>""")
MICROSOFT = RDF.format("""
 <rdf:Description rdf:about="" xmlns:MP="http://ns.microsoft.com/photo/1.2/"
   xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#">
  <MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>
   <rdf:li MPReg:Rectangle="0.3, 0.1, 0.2, 0.3" MPReg:PersonDisplayName="Ada &amp; Co"/>
  </rdf:Bag></MPRI:Regions></MP:RegionInfo>
 </rdf:Description>""")
BOTH = DIGIKAM.replace("</rdf:RDF>", "") + MICROSOFT.partition('#">')[2]


def exiftool(*arguments: object) -> list[dict[str, Any]]:
    command = [str(EXIFTOOL), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    )
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.jpg"
    Image.new("RGB", (1000, 500), "gray").save(path)
    return path


@pytest.mark.parametrize(
    "text",
    [DIGIKAM, PICASA, MICROSOFT, BOTH],
    ids=["digikam", "picasa", "microsoft", "both"],
)
def test_other_programs_regions_are_read(photo: Path, text: str) -> None:
    sidecar_of(photo).write_text(text, encoding="utf-8")
    (mark,) = TaggedPhoto(photo).marks()
    assert mark.name == "Ada & Co"
    assert mark.box == pytest.approx(FACE, abs=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("in_file", [False, True], ids=["sidecar", "file"])
def test_what_is_written_is_read_again_whatever_way_up(
    tmp_path: Path, orientation: int, in_file: bool
) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.new("RGB", (1000, 500), "gray").save(path, exif=exif)
    TaggedPhoto(path).write([Mark("Ada", FACE)], in_file=in_file)
    (mark,) = TaggedPhoto(path).marks()
    assert mark.name == "Ada"
    assert mark.box == pytest.approx(FACE, abs=1e-5)


@needs_exiftool
@pytest.mark.parametrize(
    ("orientation", "area"),
    [
        (1, (0.4, 0.25, 0.2, 0.3)),
        (6, (0.25, 0.6, 0.3, 0.2)),
        (8, (0.75, 0.4, 0.3, 0.2)),
    ],
)
def test_exiftool_reads_what_we_write(
    tmp_path: Path, orientation: int, area: tuple[float, ...]
) -> None:
    """Areas are of the stored picture: immich's and digiKam's reading, by the table of orientations."""
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.new("RGB", (1000, 500), "gray").save(path, exif=exif)
    TaggedPhoto(path).write([Mark("Ada <Lovelace> & Ü", FACE)], in_file=True)
    (found,) = exiftool(
        "-j", "-struct", "-XMP-mwg-rs:all", "-validate", "-a", "-warning", path
    )
    (region,) = found["RegionInfo"]["RegionList"]
    assert (region["Name"], region["Type"]) == ("Ada <Lovelace> & Ü", "Face")
    assert [region["Area"][key] for key in "XYWH"] == pytest.approx(area, abs=1e-5)
    assert found["RegionInfo"]["AppliedToDimensions"] == {
        "W": 1000,
        "H": 500,
        "Unit": "pixel",
    }
    assert "XMP" not in str(found.get("Warning"))


@pytest.mark.slow
@needs_exiftool
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_we_read_what_exiftool_writes_and_leave_all_else(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.new("RGB", (1000, 500), "gray").save(path)
    region = (
        "{AppliedToDimensions={W=1000,H=500,Unit=pixel},RegionList=[{Area={X=0.4,Y=0.25,W=0.2,H=0.3,"
        "Unit=normalized},Name=Grace,Type=Face}]}"
    )
    exiftool(
        "-q", "-overwrite_original", f"-RegionInfo={region}", "-XMP-dc:Title=Kept", path
    )
    other = np.array([0.6, 0.5, 0.8, 0.9], np.float32)
    done = TaggedPhoto(path).write([Mark("Ada", FACE), Mark("Bo", other)], in_file=True)
    assert (done.marked, done.left) == (("Bo",), ("Ada",))
    (found,) = exiftool("-j", "-struct", "-XMP:all", path)
    assert [one["Name"] for one in found["RegionInfo"]["RegionList"]] == ["Grace", "Bo"]
    assert found["Title"] == "Kept"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_pixels_and_all_else_stay_byte_for_byte(
    tmp_path: Path, astronaut: U8, suffix: str
) -> None:
    path = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(path), astronaut)
    before = path.read_bytes()
    TaggedPhoto(path).write([Mark("Ada", FACE)], in_file=True)
    after = path.read_bytes()
    packet = read_xmp(after)
    assert packet is not None
    start = after.index(packet)
    head = 33 if suffix == ".jpg" else 30  # of the segment, or the chunk
    around = before in (
        after[: start - head] + after[start + len(packet) :],
        after[: start - head] + after[start + len(packet) + 4 :],
    )
    assert around
    assert with_xmp(after, packet) == after
    assert (images.read_image(before) == images.read_image(after)).all()


def test_what_people_changed_or_deleted_stays(photo: Path) -> None:
    def sidecar(change: str = "", by: str = "") -> str:
        text = sidecar_of(photo).read_text(encoding="utf-8")
        sidecar_of(photo).write_text(text.replace(change, by), encoding="utf-8")
        return text

    def names() -> list[str | None]:
        return [mark.name for mark in TaggedPhoto(photo).marks()]

    TaggedPhoto(photo).write([Mark("Ada", FACE)])
    assert TaggedPhoto(photo).write([Mark("Ada", FACE)]).left == ("Ada",)
    assert TaggedPhoto(photo).write([Mark("Bo", FACE + 0.01)]).renamed == ("Bo",)
    assert names() == ["Bo"]  # our own name, which nobody changed
    sidecar('mwg-rs:Name="Bo"', 'mwg-rs:Name="Cleo"')
    assert TaggedPhoto(photo).write([Mark("Ada", FACE)]).left == ("Ada",)
    assert names() == ["Cleo"]
    text = sidecar()
    start, end = text.index("<rdf:li><rdf:Description"), text.index("</rdf:li>") + 9
    sidecar(text[start:end])
    assert names() == []
    assert TaggedPhoto(photo).write([Mark("Ada", FACE)]).left == ("Ada",)
    assert names() == []


def test_a_new_sidecar_holds_what_the_file_holds(photo: Path) -> None:
    photo.write_bytes(with_xmp(photo.read_bytes(), PICASA.encode()))
    other = np.array([0.6, 0.5, 0.8, 0.9], np.float32)
    done = TaggedPhoto(photo).write([Mark("Bo", other)])
    assert done.place == photo.with_name("a photo.jpg.xmp")
    text = done.place.read_text(encoding="utf-8")
    assert all(name in text for name in ("Ada &amp; Co", "Rex", "Bo"))
    assert [mark.name for mark in TaggedPhoto(photo).marks()] == ["Ada & Co", "Bo"]


@pytest.mark.parametrize(
    ("there", "photo_name", "sidecar"),
    [
        ([], "a.jpg", "a.jpg.xmp"),
        (["a.xmp"], "a.jpg", "a.xmp"),
        (["a.xmp", "a.jpg.xmp"], "a.jpg", "a.jpg.xmp"),
        (["a.xmp", "a.nef"], "a.jpg", "a.jpg.xmp"),
        ([], "a.nef", "a.xmp"),
    ],
)
def test_where_the_sidecar_is(
    tmp_path: Path, there: list[str], photo_name: str, sidecar: str
) -> None:
    for name in [*there, photo_name]:
        (tmp_path / name).write_bytes(b"")
    assert sidecar_of(tmp_path / photo_name).name == sidecar


@pytest.mark.parametrize(
    "text",
    [
        b"<not xml",
        b"<rdf/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><x>&b;</x>',
        RDF.format("<rdf:Description/>").encode()[:-9],
    ],
)
def test_damaged_or_hostile_xmp_is_refused(photo: Path, text: bytes) -> None:
    with pytest.raises(InputError, match="its XMP is damaged"):
        Packet(text)
    sidecar_of(photo).write_bytes(text)
    with pytest.raises(InputError, match=r"a photo\.jpg: its XMP"):
        TaggedPhoto(photo)


def test_a_photo_that_cannot_hold_regions_is_said(tmp_path: Path) -> None:
    path = tmp_path / "photo.webp"
    Image.new("RGB", (100, 50)).save(path)
    with pytest.raises(InputError, match="JPEG and PNG files only"):
        TaggedPhoto(path).write([Mark("Ada", FACE)], in_file=True)
    with pytest.raises(InputError, match="a JPEG holds"):
        with_xmp(b"\xff\xd8\xff\xd9", b"x" * 70_000)


@pytest.mark.slow
def test_tag_then_learn_from_tags(
    inside: Inside, astronaut: U8, astronaut_file: Path, tmp_path: Path
) -> None:
    """One gallery names a face, another one learns it from what was written."""
    people, photos = tmp_path / "people", tmp_path / "photos"
    others = tmp_path / "others"
    others.mkdir()
    people.mkdir()
    photos.mkdir()
    shutil.copy(astronaut_file, people / "Eileen.png")
    cv2.imwrite(str(photos / "a.jpg"), astronaut[:400])
    before = hashlib.sha256((photos / "a.jpg").read_bytes()).digest()
    done = inside("tag", photos, "--gallery", people)
    assert "marked Eileen" in done.stdout
    assert hashlib.sha256((photos / "a.jpg").read_bytes()).digest() == before
    assert "left as they are" in inside("tag", photos, "--gallery", people).stderr
    empty = inside("tag", photos / "a.jpg", "--gallery", others)
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "nothing is marked" in empty.stderr
    learnt = inside("enroll", "--from-tags", photos, "--gallery", tmp_path / "new.db")
    assert "Eileen: 1 photo in" in learnt.stdout
    named = inside("people", "--gallery", tmp_path / "new.db", "--json")
    assert json.loads(named.stdout)[0]["name"] == "Eileen"


def test_tagging_needs_people(inside: Inside, astronaut_file: Path) -> None:
    assert (
        "needs a gallery" in inside("tag", astronaut_file, "--gallery", "none").stderr
    )
    assert "--from-tags" in inside("enroll", astronaut_file).stderr


LIST = """\ufeff[Picasa]
name=Summer
[Contacts2]
8e62b2035b74b477=Ada Lovelace;ada@example.org;
[{}]
faces=rect64(4ccc199a80006666),8e62b2035b74b477;rect64(cccc),ffffffffffffffff;rect64(b333b333ccccd999),1b
"""


def test_who_picasa_named_in_its_list_is_read(photo: Path) -> None:
    """Names from the list or a copy of the address book; leading zeros and faces without a name are Picasa's too."""
    beside = photo.with_name(".picasa.ini")
    beside.write_text(LIST.format(photo.name.upper()), encoding="utf-8")
    (ada,) = TaggedPhoto(photo).marks()
    assert ada.name == "Ada Lovelace"
    np.testing.assert_allclose(ada.box, [0.3, 0.1, 0.5, 0.4], atol=1e-3)
    book = '<contacts><contact id="1b" name="Grace &amp; Co" display=""/></contacts>'
    photo.with_name("contacts.xml").write_text(book, encoding="utf-8")
    assert [mark.name for mark in TaggedPhoto(photo).marks()] == [
        "Ada Lovelace",
        "Grace & Co",
    ]


@pytest.mark.parametrize(
    ("orientation", "suffix", "box"),
    [
        (1, ".jpg", [0.3, 0.1, 0.5, 0.4]),
        (3, ".jpg", [0.5, 0.6, 0.7, 0.9]),
        (6, ".jpg", [0.6, 0.3, 0.9, 0.5]),
        (8, ".jpg", [0.1, 0.5, 0.4, 0.7]),
        (6, ".dng", [0.3, 0.1, 0.5, 0.4]),
    ],
)
def test_picasa_s_areas_in_turned_photos(
    tmp_path: Path, orientation: int, suffix: str, box: list[float]
) -> None:
    """They are of the stored picture, of a raw file of the upright one (exiftool's picasa_faces.config)."""
    photo = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.new("RGB", (60, 40)).save(photo, "JPEG", exif=exif)
    listed = LIST.format(photo.name)
    photo.with_name(".picasa.ini").write_text(listed, encoding="utf-8")
    (ada,) = TaggedPhoto(photo).marks()
    np.testing.assert_allclose(ada.box, box, atol=1e-3)


def test_a_photo_turned_in_picasa_alone_is_passed_over(
    photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = LIST.format(photo.name)
    photo.with_name(".picasa.ini").write_text(listed + "rotate=rotate(1)\n")
    assert TaggedPhoto(photo).marks() == []
    assert "turned in Picasa" in caplog.text
    photo.with_name(".picasa.ini").write_text(listed + "rotate=rotate(0)\n ")
    assert len(TaggedPhoto(photo).marks()) == 1


def test_who_picasa_named_stays_whatever_the_gallery_says(photo: Path) -> None:
    listed = LIST.format(photo.name)
    photo.with_name(".picasa.ini").write_text(listed, encoding="utf-8")
    written = TaggedPhoto(photo).write([Mark("Somebody else", FACE)])
    assert (written.marked, written.left) == ((), ("Somebody else",))
    assert not sidecar_of(photo).exists()


def test_a_damaged_list_names_nobody(photo: Path) -> None:
    photo.with_name(".picasa.ini").write_bytes(b"\xff\xfe[\0[x\nfaces=rect64(),\n=")
    photo.with_name("contacts.xml").write_bytes(b"<contacts><contact")
    assert TaggedPhoto(photo).marks() == []


@pytest.mark.parametrize("encoding", ["shift_jis", "foo"])
def test_an_address_book_that_cannot_be_read_is_none(
    photo: Path, encoding: str
) -> None:
    book = f'<?xml version="1.0" encoding="{encoding}"?><contacts/>'
    photo.with_name("contacts.xml").write_text(book)
    photo.with_name(".picasa.ini").write_text(f"[{photo.name}]\nfaces=\n")
    assert named_in(photo) == []
