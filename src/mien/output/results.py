"""What was found in a picture, with what a program or a notebook wants to do with it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
from PIL import Image

from mien import geometry
from mien.errors import InputError
from mien.media import images
from mien.output.columns import told_of
from mien.output.schemas import error_record, frame_record
from mien.text import shown
from mien.types import U8, Faces, FrameResult

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 900  # pixels of the longer side of a picture in a notebook
_CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class Result(FrameResult):
    """A `FrameResult` that draws, saves and shows itself.

    It gets its picture again from where it came from, a path or bytes; one of an array, an address or a stream keeps
    it only if it was made with `keep_image=True`. `error` says why nothing was looked at, where a picture of many
    could not be read.

    Example:
        >>> result = analyzer.analyze(photo)
        >>> result.save("boxes.jpg")
        >>> result.to_dict()["faces"][0]["gender"]
        'female'
    """

    origin: str | Path | bytes | U8 | None = field(
        default=None, repr=False, compare=False
    )
    error: str | None = None

    @classmethod
    def of(cls, result: FrameResult, origin: str | Path | bytes | U8 | None) -> Self:
        """A result with where its picture is."""
        return cls(
            result.source,
            result.index,
            result.time_s,
            result.width,
            result.height,
            result.faces,
            origin,
        )

    @classmethod
    def failed(cls, source: str, error: InputError) -> Self:
        """What stands for a picture that could not be read."""
        return cls(source, 0, 0.0, 0, 0, Faces.empty(), None, str(error))

    def image(self) -> U8:
        """The picture itself, (H, W, 3) uint8 BGR.

        Raises:
            InputError: It was not kept, or cannot be read any more.
        """
        if self.error is not None:
            raise InputError(self.error)
        if self.origin is None:
            raise InputError(
                "the picture was not kept; analyze it with keep_image=True to draw or crop it"
            )
        if isinstance(self.origin, str | Path | bytes):
            return images.read_image(self.origin)
        return self.origin

    def draw(self) -> U8:
        """The picture with boxes and labels, (H, W, 3) uint8 BGR.

        Raises:
            InputError: It was not kept, or cannot be read any more.

        Example:
            >>> analyzer.analyze(photo).draw().shape
            (512, 512, 3)
        """
        from mien.output import drawing  # fonts, for copies alone

        return drawing.annotate(self.image(), self.faces)

    def save(self, path: str | Path) -> None:
        """Writes the picture with boxes and labels; the suffix names the format.

        Raises:
            InputError: The picture was not kept, or the place cannot be written.

        Example:
            >>> analyzer.analyze(photo).save("boxes.png")
        """
        images.write_image(Path(path), self.draw())

    def crops(self, *, margin: float = 0.25) -> list[U8]:
        """The faces cut out, each with so much of its size around it.

        Raises:
            InputError: The picture was not kept, or cannot be read any more.

        Example:
            >>> len(analyzer.analyze(photo).crops())
            1
        """
        return self.faces.crops(self.image(), margin=margin)

    def to_dict(self, *, embeddings: bool = False) -> dict[str, Any]:
        """The result as JSON shows it, in plain Python values.

        Example:
            >>> sorted(analyzer.analyze(photo).to_dict())
            ['faces', 'height', 'index', 'source', 'time_s', 'width']
        """
        if self.error is not None:
            return dict(error_record(self.source, InputError(self.error)).to_dict())
        named = self.faces.matches is not None
        record = frame_record(self, identity=named, embeddings=embeddings)
        return dict(record.to_dict())

    def to_json(self, *, embeddings: bool = False) -> str:
        """The same as one line of JSON.

        Example:
            >>> '"emotion":"happiness"' in analyzer.analyze(photo).to_json().replace(" ", "")
            True
        """
        return json.dumps(self.to_dict(embeddings=embeddings), ensure_ascii=False)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each face, with the box as x1, y1, x2, y2.

        Raises:
            InputError: pandas is not installed.

        Example:
            >>> analyzer.analyze(photo).to_pandas()[["gender", "emotion"]].values.tolist()
            [['female', 'happiness']]
        """
        return to_pandas([self])

    def _repr_html_(self) -> str:
        """What notebooks show: the picture, where it can be had, and a table."""
        if self.error is not None:
            import html

            return f"<p>{html.escape(self.error)}</p>"
        try:
            image = self.draw()
            small = geometry.shrink(image, min(1.0, _SHOWN / max(image.shape[:2])))
            made = io.BytesIO()
            Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).save(
                made, "JPEG", quality=85
            )
            data = base64.b64encode(made.getvalue()).decode()
            picture = f'<img alt="the picture with its faces" src="data:image/jpeg;base64,{data}">'
        except InputError:
            picture = ""
        return f"{picture}{self.faces._repr_html_()}"


def to_pandas(results: Sequence[Result]) -> pd.DataFrame:
    """A row for each face of many results, with the box as x1, y1, x2, y2.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as exc:
        raise InputError("this needs pandas: pip install pandas") from exc
    rows = []
    for result in results:
        for face in result.faces:
            told = told_of(face, identity=result.faces.matches is not None)
            corners = zip(_CORNERS, face.box.tolist(), strict=True)
            del told["box"], told["landmarks"]
            place = {
                "source": shown(result.source),
                "index": result.index,
                "time_s": result.time_s,
            }
            rows.append({**place, **dict(corners), **told})
    return pd.DataFrame(rows)
