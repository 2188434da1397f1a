"""Small pictures of faces as answers."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "A small JPEG.", "content": {"image/jpeg": {"schema": {"type": "string"}}}}
}


def jpeg(content: bytes) -> Response:
    """An answer that no browser or proxy keeps."""
    return Response(content, media_type="image/jpeg", headers={"cache-control": "no-store"})
