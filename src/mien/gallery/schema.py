"""The tables of galleries in databases, and how descriptors stand in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from mien.errors import GalleryError
from mien.types import F32


class Vector(sa.types.UserDefinedType[F32]):
    """pgvector's column type, in its text form."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "vector"

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        return vector_text

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        return lambda text: np.fromstring(text[1:-1], np.float32, sep=",")


class Blob(sa.types.TypeDecorator[F32]):
    """Little-endian float32."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(
        self, value: F32 | None, dialect: sa.Dialect
    ) -> bytes | None:
        return None if value is None else np.asarray(value, dtype="<f4").tobytes()

    def process_result_value(
        self, value: bytes | None, dialect: sa.Dialect
    ) -> F32 | None:
        if value is None:
            return None
        check_blobs([value])
        return np.frombuffer(value, dtype="<f4").astype(np.float32)


def check_blobs(blobs: Sequence[object], size: int | None = None) -> None:
    """Raises GalleryError where something that should be a descriptor's bytes, of so many numbers, is not."""
    for blob in blobs:
        if (
            not isinstance(blob, bytes)
            or len(blob) % 4
            or size not in (None, len(blob) // 4)
        ):
            raise damaged()


def damaged() -> GalleryError:
    return GalleryError(
        "a descriptor in the gallery is damaged; put a copy of the file in its place, or enrol anew"
    )


def vector_text(row: F32) -> str:
    """A descriptor (D,) as pgvector reads it; no digit is lost."""
    return f"[{','.join(map(repr, row.tolist()))}]"


_metadata = sa.MetaData()
_DESCRIPTOR = Blob().with_variant(Vector(), "postgresql")
PEOPLE = sa.Table(
    "people",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text),
)
PHOTOS = sa.Table(
    "photos",
    _metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id")),
    sa.Column("sha256", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("embedding", _DESCRIPTOR),
    sa.Column("quality", sa.Float),
    sa.Column("weight", sa.Float),
    sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
PICTURES = sa.Table(  # by themselves, so that they are not read where descriptors are
    "pictures",
    _metadata,
    sa.Column(
        "photo_id", sa.ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("content", sa.LargeBinary),
)
COUNTER_EXAMPLES = sa.Table(
    "counter_examples",
    _metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("person_id", sa.ForeignKey("people.id"), primary_key=True),
    sa.Column("source", sa.Text),
    sa.Column("embedding", _DESCRIPTOR),
    sa.Column("thumbnail", sa.LargeBinary),
    sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
