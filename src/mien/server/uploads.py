"""Forms with files, read as they come: every limit holds before anything is parsed or kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from mien.server.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_PART_HEADER_BYTES = 4_096
_PARTS = 64


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How many files of how many bytes a form may hold, and the bytes of each other field; `take` is told of every
    byte of a file that comes, and may refuse it."""

    files: int
    file_bytes: int
    field_bytes: int
    take: Callable[[int], None] = field(default=lambda count: None)


@dataclass(slots=True)
class Upload:
    """One file of a form. `filename` is what the client calls it: only ever shown, never a path."""

    field: str
    filename: str
    file: BinaryIO
    size: int = 0

    def content(self) -> bytes:
        """The bytes of an upload kept in memory."""
        self.file.seek(0)
        return self.file.read()


@dataclass(slots=True)
class Form:
    """What a form held."""

    files: list[Upload] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of all that it held."""
        return [*self.fields, *(upload.field for upload in self.files)]


async def read_form(
    request: Request,
    limits: FormLimits,
    *,
    open_file: Callable[[], BinaryIO] = io.BytesIO,
) -> Form:
    """The form in a request's body; each file goes into what `open_file` gives.

    Raises:
        Problem: Not multipart, malformed, cut off, or over a limit.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(
            "unsupported-media-type",
            "send multipart/form-data with the picture or film in the form field 'file'",
        )
    reader = _UploadReader(limits, open_file)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except (FormParserError, ValueError) as exc:
        raise Problem("malformed", f"the form is malformed: {exc}") from exc
    if not reader.ended:
        raise Problem("malformed", "the form is cut off: its last boundary is missing")
    return reader.form


class _UploadReader:
    """Puts the parts of a form together from the parser's callbacks."""

    def __init__(self, limits: FormLimits, open_file: Callable[[], BinaryIO]) -> None:
        self.limits = limits
        self.open_file = open_file
        self.form = Form()
        self.ended = False
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header = [bytearray(), bytearray()]
        self._upload: Upload | None = None
        self._field: tuple[str, bytearray] | None = None

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self.part_begin,
            "on_header_field": lambda data, start, end: self._more_header(
                0, data[start:end]
            ),
            "on_header_value": lambda data, start, end: self._more_header(
                1, data[start:end]
            ),
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_part_data": lambda data, start, end: self.part_data(data[start:end]),
            "on_part_end": self.part_end,
            "on_end": self.end,
        }

    def part_begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS:
            raise Problem("too-large", f"a form may have {_PARTS} parts at most")
        self._headers, self._upload, self._field = {}, None, None
        self._header = [bytearray(), bytearray()]

    def _more_header(self, side: int, data: bytes) -> None:
        self._header[side] += data
        if len(self._header[0]) + len(self._header[1]) > _PART_HEADER_BYTES:
            raise Problem(
                "malformed",
                f"a part's header is longer than {_PART_HEADER_BYTES} bytes",
            )

    def header_end(self) -> None:
        self._headers[bytes(self._header[0]).lower()] = bytes(self._header[1])
        self._header = [bytearray(), bytearray()]

    def headers_finished(self) -> None:
        _, options = parse_options_header(
            self._headers.get(b"content-disposition", b"")
        )
        if b"name" not in options:
            raise Problem("malformed", "a part of the form has no name")
        name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            self._field = (name, bytearray())
            return
        if len(self.form.files) >= self.limits.files:
            raise Problem(
                "too-large",
                f"send at most {self.limits.files} file{'s' * (self.limits.files > 1)} at once",
            )
        self._upload = Upload(name, shown_name(options[b"filename"]), self.open_file())
        self.form.files.append(self._upload)

    def part_data(self, data: bytes) -> None:
        if self._upload is not None:
            self._upload.size += len(data)
            if self._upload.size > self.limits.file_bytes:
                raise Problem(
                    "too-large",
                    f"a file may have {self.limits.file_bytes / 1e6:g} MB at most",
                )
            self.limits.take(len(data))
            self._upload.file.write(data)
        elif self._field is not None:
            self._field[1].extend(data)
            if len(self._field[1]) > self.limits.field_bytes:
                raise Problem(
                    "too-large",
                    f"the field {self._field[0][:40]!r} is longer than {self.limits.field_bytes} bytes",
                )

    def part_end(self) -> None:
        if self._field is not None:
            name, value = self._field
            try:
                self.form.fields[name] = value.decode("utf-8")
            except UnicodeDecodeError:
                raise Problem(
                    "malformed", f"the field {name[:40]!r} is not UTF-8"
                ) from None

    def end(self) -> None:
        self.ended = True


def shown_name(filename: bytes) -> str:
    """A client's name for its file, as results may repeat it: without folders and control characters."""
    name = filename.decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:200] or "upload"
