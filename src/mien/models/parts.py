"""Parts that look at pictures, asked so that what goes wrong in a stranger's says whose it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mien import plugins
from mien.errors import PluginError
from mien.types import Faces


def given_by(part: Callable[..., Any], *given: object) -> Faces:
    """The faces that a detector, an embedder or a stage gives.

    Raises:
        PluginError: It is of another package and fails, or what it gives is no faces.
    """
    with plugins.blaming():
        found = part(*given)
    if not isinstance(found, Faces):
        raise PluginError(f"{_name(part)} gives {type(found).__name__}, not Faces")
    if not np.isfinite(found.boxes).all():
        raise PluginError(f"{_name(part)} gives boxes that are no numbers")
    return found


def _name(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
