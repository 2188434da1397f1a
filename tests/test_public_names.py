"""The public names: a change here is a change for users."""

from __future__ import annotations

import mien

NAMES = [
    "Analyzer",
    "Attribute",
    "Detector",
    "Embedder",
    "EmbedderMismatch",
    "EmbeddingSpace",
    "Estimate",
    "Face",
    "Faces",
    "Frame",
    "FrameResult",
    "Gallery",
    "GalleryError",
    "InputError",
    "ManyFacesError",
    "Matches",
    "MemoryShort",
    "MienError",
    "ModelError",
    "NoFaceError",
    "PersonExists",
    "PersonNotFound",
    "PhotoNotFound",
    "PluginError",
    "Scores",
    "Session",
    "Sink",
    "Source",
    "SourceError",
    "SpoofError",
    "Stage",
    "UnknownNotFound",
    "VisitNotFound",
    "open_gallery",
    "open_source",
]


def test_the_list_is_pinned_and_every_name_is_there() -> None:
    assert sorted(name for name in mien.__all__ if name != "__version__") == NAMES
    assert all(getattr(mien, name) for name in mien.__all__)
