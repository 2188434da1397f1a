"""Model files of the user's, each as what can run it."""

from __future__ import annotations

from pathlib import Path

from mien.models.classifier import Classifier, read_model
from mien.models.trunk_head import TrunkHead, reads_trunk
from mien.runtime import Compute


def load_own(file: Path, attribute: str, compute: Compute | None = None, *, looks: int = 1) -> Classifier | TrunkHead:
    """A model file that tells `attribute`, by pixels (looked at `looks` times) or by what the trunk sees.

    Raises:
        ModelError: Unreadable, no network, or without labels.
    """
    model = read_model(file, compute)
    return TrunkHead(model, attribute) if reads_trunk(model) else Classifier(model, attribute, looks)
