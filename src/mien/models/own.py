"""Model files of the user's, each as what can run it."""

from __future__ import annotations

from pathlib import Path

from mien.errors import ModelError
from mien.models.classifier import Classifier
from mien.models.trunk_head import TrunkHead, reads_trunk
from mien.runtime import Compute, OnnxModel


def load_own(file: Path, attribute: str, compute: Compute | None = None) -> Classifier | TrunkHead:
    """A model file that tells `attribute`, by pixels or by what the trunk sees.

    Raises:
        ModelError: Unreadable, no network, or without labels.
    """
    try:
        data = file.read_bytes()
    except OSError as exc:
        raise ModelError(f"cannot read {file}: {exc.strerror or exc}") from exc
    model = OnnxModel(data, str(file), compute)
    return TrunkHead(model, attribute) if reads_trunk(model) else Classifier(model, attribute)
