"""Face analysis on an ordinary machine: where each face is, who it is, how old, which gender, which emotion.

Example:
    >>> import mien
    >>> analyzer = mien.Analyzer(gallery="people/")
    >>> for face in analyzer.analyze("party.jpg").faces:
    ...     print(face.name, face.gender, face.emotion)
    Eileen Collins female happiness
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.attribute import (
        Attribute as Attribute,
        Estimate as Estimate,
        Scores as Scores,
    )
    from mien.errors import (
        EmbedderMismatch as EmbedderMismatch,
        GalleryError as GalleryError,
        InputError as InputError,
        ManyFacesError as ManyFacesError,
        MemoryShort as MemoryShort,
        MienError as MienError,
        ModelError as ModelError,
        NoFaceError as NoFaceError,
        PersonExists as PersonExists,
        PersonNotFound as PersonNotFound,
        PhotoNotFound as PhotoNotFound,
        PluginError as PluginError,
        SourceError as SourceError,
        SpoofError as SpoofError,
        UnknownNotFound as UnknownNotFound,
        VisitNotFound as VisitNotFound,
    )
    from mien.gallery import Gallery as Gallery, open_gallery as open_gallery
    from mien.models.detectors.base import Detector as Detector
    from mien.models.embedders import Embedder as Embedder
    from mien.output.sink import Sink as Sink
    from mien.pipeline import Analyzer as Analyzer, Stage as Stage
    from mien.session import Session as Session
    from mien.sources import Source as Source, open_source as open_source
    from mien.space import EmbeddingSpace as EmbeddingSpace
    from mien.types import (
        Face as Face,
        Faces as Faces,
        Frame as Frame,
        FrameResult as FrameResult,
        Matches as Matches,
    )

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(
        (
            "EmbedderMismatch",
            "GalleryError",
            "InputError",
            "ManyFacesError",
            "MemoryShort",
            "MienError",
            "ModelError",
            "NoFaceError",
            "PersonExists",
            "PersonNotFound",
            "PhotoNotFound",
            "PluginError",
            "SourceError",
            "SpoofError",
            "UnknownNotFound",
            "VisitNotFound",
        ),
        "mien.errors",
    ),
    **dict.fromkeys(("Face", "Faces", "Frame", "FrameResult", "Matches"), "mien.types"),
    **dict.fromkeys(("Attribute", "Estimate", "Scores"), "mien.attribute"),
    **dict.fromkeys(("Analyzer", "Stage"), "mien.pipeline"),
    **dict.fromkeys(("Gallery", "open_gallery"), "mien.gallery"),
    **dict.fromkeys(("Source", "open_source"), "mien.sources"),
    "Detector": "mien.models.detectors.base",
    "Embedder": "mien.models.embedders",
    "Session": "mien.session",
    "Sink": "mien.output.sink",
    "EmbeddingSpace": "mien.space",
}

__all__ = ["__version__", *sorted(_HOME)]

logging.getLogger("mien").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import mien` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
