"""Model files of the user's, each as what can run it."""

from __future__ import annotations

from pathlib import Path

from mien.models.classifier import Classifier, read_model
from mien.models.trunk_head import TrunkHead, reads_trunk
from mien.runtime import Compute

OwnModel = Classifier | TrunkHead


def load_own(file: Path, name: str, compute: Compute | None = None, *, looks: int = 1) -> OwnModel:
    """A model file that tells the attribute `name`, by pixels (looked at `looks` times) or by what the trunk sees.

    Raises:
        InputError: No attribute can have this name.
        ModelError: Unreadable, no network, without labels, or with labels that cannot tell the attribute.
    """
    model = read_model(file, compute)
    return TrunkHead(model, name) if reads_trunk(model) else Classifier(model, name, looks)
