"""One XMP packet: the face regions in it, in the spellings there are, and new ones in that of the MWG.

What we do not know stays as it is. A record of what was written by us stands in a namespace of our own, so that
what people changed or deleted since can be told, and is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias
from xml.dom.minidom import Document, Element
from xml.parsers.expat import ExpatError

import numpy as np
from defusedxml import DefusedXmlException, minidom

from mien.errors import InputError
from mien.types import F32

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
_DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_MP = "http://ns.microsoft.com/photo/1.2/"
_MPRI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
_MPREG = "http://ns.microsoft.com/photo/1.2/t/Region#"
_OURS = "urn:mien:xmp:1.0/"
_PREFIXES = {_RDF: "rdf", _MWG: "mwg-rs", _DIM: "stDim", _AREA: "stArea", _OURS: "mien"}
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()

Area: TypeAlias = tuple[
    float, float, float, float
]  # centre x, y, width, height; parts of the stored picture's
Value: TypeAlias = Element | str | None


@dataclass(frozen=True, slots=True)
class Region:
    """A face somebody marked: who it is (None: nobody said), where, and of which size in pixels the picture was.

    `node` is where its name stands, for those that can be renamed.
    """

    name: str | None
    area: Area
    size_wh: tuple[int, int] | None = None
    node: Element | None = None

    @property
    def box(self) -> F32:
        """Its box (4,) xyxy in the parts that its area is in."""
        x, y, w, h = self.area
        return np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2], np.float32)

    def is_among(self, others: list[Region]) -> bool:
        """Whether one of the others says the same in another spelling."""
        x, y, w, h = self.area
        return any(
            abs(x - other.area[0]) < w / 2 and abs(y - other.area[1]) < h / 2
            for other in others
        )


class Packet:
    """An XMP packet that can be added to.

    Raises:
        InputError: It is damaged, or more than data.
    """

    def __init__(self, content: bytes | None = None) -> None:
        text = _EMPTY if content is None else content.strip(b"\0 \t\r\n")
        try:
            self._document: Document = minidom.parseString(text)
        except (ExpatError, DefusedXmlException, ValueError) as exc:
            raise InputError(f"its XMP is damaged: {exc}") from exc
        found = self._document.getElementsByTagNameNS(_RDF, "RDF")
        if not found:
            raise InputError("its XMP is damaged: it holds no rdf:RDF")
        self._root: Element = found[0]
        self._root.setAttribute("xmlns:rdf", _RDF)  # what is added is called so

    def regions(self) -> list[Region]:
        """The faces that are marked, in whatever spelling; each once."""
        found = list(self._mwg())
        found += [one for one in self._microsoft() if not one.is_among(found)]
        return found

    def _mwg(self) -> Iterator[Region]:
        """Those of the Metadata Working Group, which digiKam, Lightroom and Picasa write."""
        for info in self._all(_MWG, "Regions"):
            size = _field(info, _MWG, "AppliedToDimensions")
            sides = [_number(_field(size, _DIM, side)) for side in ("w", "h")]
            size_wh = (round(sides[0] or 0), round(sides[1] or 0))
            for item in _items(_field(info, _MWG, "RegionList")):
                kind = _text(_field(item, _MWG, "Type"))
                area = _area(_field(item, _MWG, "Area"), size_wh)
                if area is not None and kind in {"Face", ""}:
                    name = _text(_field(item, _MWG, "Name")) or None
                    yield Region(name, area, size_wh if all(size_wh) else None, item)

    def _microsoft(self) -> Iterator[Region]:
        """Those of Windows Live Photo Gallery, which digiKam writes too."""
        for info in self._all(_MP, "RegionInfo"):
            for item in _items(_field(info, _MPRI, "Regions")):
                parts = _text(_field(item, _MPREG, "Rectangle")).split(",")
                numbers = [_number(part) for part in parts]
                if len(numbers) == 4 and None not in numbers:
                    x, y, w, h = (float(number or 0) for number in numbers)
                    name = _text(_field(item, _MPREG, "PersonDisplayName")) or None
                    yield Region(name, (x + w / 2, y + h / 2, w, h))

    def written(self) -> list[Region]:
        """What we have written so far, also where it was changed or deleted since."""
        found = []
        for bag in self._all(_OURS, "Written"):
            for item in _items(bag):
                *numbers, name = _text(item).split(" ", 4)
                area = [_number(number) for number in numbers]
                if len(area) == 4 and None not in area:
                    x, y, w, h = (float(number or 0) for number in area)
                    found.append(Region(name, (x, y, w, h)))
        return found

    def add(self, name: str, area: Area, size_wh: tuple[int, int]) -> None:
        """Marks a face."""
        struct = self._info(size_wh)
        told = _field(struct, _MWG, "RegionList")
        holder = (
            told if isinstance(told, Element) else _child(struct, _MWG, "RegionList")
        )
        bag = next(iter(_elements(holder)), None) or _child(holder, _RDF, "Bag")
        item = _child(bag, _RDF, "li")
        about = _child(item, _RDF, "Description")
        _set(about, _MWG, "Name", name)
        _set(about, _MWG, "Type", "Face")
        place = _child(about, _MWG, "Area")
        for key, number in zip("xywh", area, strict=True):
            _set(place, _AREA, key, f"{number:.6f}")
        _set(place, _AREA, "unit", "normalized")
        self._record(name, area)

    def rename(self, region: Region, name: str) -> None:
        """Gives a face that we marked another name."""
        if region.node is None:
            return
        for holder in _holders(region.node):
            if holder.hasAttributeNS(_MWG, "Name"):
                holder.setAttributeNS(_MWG, _qualified(holder, _MWG, "Name"), name)
        told = _field(region.node, _MWG, "Name")
        if isinstance(told, Element):
            for child in list(told.childNodes):
                told.removeChild(child)
            told.appendChild(self._document.createTextNode(name))
        self._record(name, region.area)

    def content(self) -> bytes:
        """The packet's bytes."""
        parts = [node.toxml() for node in self._document.childNodes]
        return "\n".join(parts).encode()

    def _record(self, name: str, area: Area) -> None:
        found = self._all(_OURS, "Written")
        holder = found[0] if found else _child(self._description(), _OURS, "Written")
        bag = next(iter(_elements(holder)), None) or _child(holder, _RDF, "Bag")
        numbers = " ".join(f"{number:.6f}" for number in area)
        item = _child(bag, _RDF, "li")
        item.appendChild(self._document.createTextNode(f"{numbers} {name}"))

    def _all(self, space: str, name: str) -> list[Element]:
        """A property's values, wherever descriptions say it."""
        found = (
            _field(description, space, name)
            for description in _elements(self._root)
            if (description.namespaceURI, description.localName)
            == (_RDF, "Description")
        )
        return [value for value in found if isinstance(value, Element)]

    def _description(self) -> Element:
        made = _child(self._root, _RDF, "Description")
        _set(made, _RDF, "about", "")
        return made

    def _info(self, size_wh: tuple[int, int]) -> Element:
        """The structure that holds the regions, made where there is none."""
        found = self._all(_MWG, "Regions")
        if found:
            return _holders(found[0])[-1]
        info = _child(self._description(), _MWG, "Regions")
        _set(info, _RDF, "parseType", "Resource")
        size = _child(info, _MWG, "AppliedToDimensions")
        for key, number in zip("wh", size_wh, strict=True):
            _set(size, _DIM, key, str(number))
        _set(size, _DIM, "unit", "pixel")
        return info


def _elements(node: Element) -> list[Element]:
    return [child for child in node.childNodes if isinstance(child, Element)]


def _holders(struct: Element) -> list[Element]:
    """Where the fields of a structure may stand: in itself, or in a description inside it."""
    inside = [
        child
        for child in _elements(struct)
        if (child.namespaceURI, child.localName) == (_RDF, "Description")
    ]
    return [struct, *inside]


def _field(struct: Value, space: str, name: str) -> Value:
    """A field of a structure: an attribute's text, or an element."""
    if not isinstance(struct, Element):
        return None
    for holder in _holders(struct):
        if holder.hasAttributeNS(space, name):
            return str(holder.getAttributeNS(space, name))
        for child in _elements(holder):
            if (child.namespaceURI, child.localName) == (space, name):
                return child
    return None


def _items(value: Value) -> list[Element]:
    """The members of a bag, list or choice."""
    if not isinstance(value, Element):
        return []
    return [item for bag in _elements(value) for item in _elements(bag)]


def _text(value: Value) -> str:
    if not isinstance(value, Element):
        return (value or "").strip()
    parts = (child.data for child in value.childNodes if hasattr(child, "data"))
    return "".join(parts).strip()


def _number(value: Value) -> float | None:
    try:
        return float(_text(value))
    except ValueError:
        return None


def _area(value: Value, size_wh: tuple[int, int]) -> Area | None:
    """An area in parts of the picture; None where that cannot be told."""
    numbers = [_number(_field(value, _AREA, key)) for key in "xywh"]
    if numbers[2] is None and numbers[3] is None:  # a circle
        numbers[2] = numbers[3] = _number(_field(value, _AREA, "d"))
    if None in numbers:
        return None
    x, y, w, h = (float(number or 0) for number in numbers)
    if _text(_field(value, _AREA, "unit")) != "pixel":
        return x, y, w, h
    width, height = size_wh
    return (x / width, y / height, w / width, h / height) if all(size_wh) else None


def _qualified(node: Element, space: str, name: str) -> str:
    """A name with a prefix that stands for the namespace at a node, which is declared there where it was not."""
    prefix = _PREFIXES[space]
    if not node.hasAttribute(f"xmlns:{prefix}") and prefix != "rdf":
        node.setAttribute(f"xmlns:{prefix}", space)
    return f"{prefix}:{name}"


def _child(parent: Element, space: str, name: str) -> Element:
    made = Document().createElementNS(space, f"{_PREFIXES[space]}:{name}")
    if space != _RDF:
        made.setAttribute(f"xmlns:{_PREFIXES[space]}", space)
    parent.appendChild(made)
    return made


def _set(node: Element, space: str, name: str, value: str) -> None:
    node.setAttributeNS(space, _qualified(node, space, name), value)
