"""What Windows and macOS lack is asked for only where it is there."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from mien import private
from mien.media import apart
from mien.types import U8


def test_elsewhere_files_and_rare_pictures_go_without_modes_and_limits(
    tmp_path: Path, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = tmp_path / "people.db"
    loose.touch(0o666)
    tiff = cv2.imencode(".tiff", astronaut)[1].tobytes()
    for module in (private, apart):
        monkeypatch.setattr(module, "os", SimpleNamespace(**{**vars(os), "name": "nt"}))
    assert private.make_file(loose) == loose
    assert apart.Decoders().read(tiff, max_pixels=10**7).shape == astronaut.shape
