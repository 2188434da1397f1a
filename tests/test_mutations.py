"""Damaged files of every kind are read or refused in our words: a few of what benchmarks/mutations.py tries."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mien.errors import MienError

FEW = 15
FILE = Path(__file__).parents[1] / "benchmarks" / "mutations.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module
    spec.loader.exec_module(module)
    return module


mutations = load()
SLOW = {
    "parquet-faces",
    "parquet-sources",
    "pth",
    "tflite",
    "landmarks.dat",
    "mmod.dat",
}  # a process's work


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(mutations.KINDS) - SLOW))
def test_damaged_files_are_refused_in_our_words(kind: str, tmp_path: Path) -> None:
    suffix, make, read = mutations.KINDS[kind]
    try:
        content = make()
    except LookupError as exc:
        pytest.skip(str(exc))
    outcomes = {"read": 0, "refused": 0}
    for number in range(FEW):
        place = tmp_path / str(number)
        place.mkdir()
        file = place / f"a{suffix}"
        file.write_bytes(mutations.mutated(content, random.Random(f"{kind}{number}")))
        try:
            read(file)
            outcomes["read"] += 1
        except MienError:
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == FEW
    assert outcomes["refused"] > 0 or kind in {"bmp", "ppm", "ts", "gif", "visits"}


def test_mutations_are_the_same_each_time() -> None:
    content = bytes(range(256)) * 8
    one, same = (mutations.mutated(content, random.Random("a1")) for _ in range(2))
    assert one == same != content
