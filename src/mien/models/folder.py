"""A folder of model files (.onnx) of the user's own, to choose from at run time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mien.errors import InputError, ModelError
from mien.models.attributes.heads import AGE, AGE_GROUPS, EMOTION, GENDER
from mien.models.classifier import labels_of
from mien.runtime import Compute, OnnxModel

_GENDERS = frozenset({*GENDER.labels, "woman", "man", "f", "m"})


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file: `name` is the file's without .onnx; `attribute` is what it tells ("emotion" where neither its
    metadata nor its labels say "age", "gender" or something else); `error` says why it cannot be used, "" if it can."""

    name: str
    file: Path
    attribute: str = ""
    labels: tuple[str, ...] = ()
    licence: str = ""
    error: str = ""

    @classmethod
    def read(cls, file: Path) -> ModelFile:
        """What a file tells of itself, or why it cannot be used."""
        try:
            model = OnnxModel(file.read_bytes(), file.name, Compute("cpu", 1))
            labels = labels_of(model)
        except OSError as exc:
            return cls(file.stem, file, error=f"cannot be read: {exc.strerror or exc}")
        except ModelError as exc:
            return cls(file.stem, file, error=str(exc))
        attribute = model.metadata.get("attribute") or attribute_of(labels)
        return cls(
            file.stem,
            file,
            attribute,
            labels,
            model.metadata.get("licence") or "not stated",
        )


class ModelFolder:
    """The model files in a folder; each is opened once and again when it changes.

    Args:
        place: The folder; the files of sub-folders do not count.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._known: dict[tuple[Path, int, int], ModelFile] = {}

    def files(self) -> list[ModelFile]:
        """What is there now, by name.

        Raises:
            InputError: There is no such folder.
        """
        if not self.place.is_dir():
            raise InputError(
                f"there is no folder {self.place}; name one with model files (.onnx)"
            )
        known = {
            key: self._known.get(key) or ModelFile.read(key[0])
            for key in _states(self.place)
        }
        self._known = known
        return list(known.values())

    def find(self, name: str) -> ModelFile | None:
        """The file of that name, None if there is none."""
        return next((file for file in self.files() if file.name == name), None)


def _states(place: Path) -> list[tuple[Path, int, int]]:
    """The files by name, each with when it was changed and how large it is."""
    try:
        found = [
            (file, file.stat())
            for file in sorted(place.glob("*.onnx"))
            if file.is_file()
        ]
    except OSError as exc:
        raise InputError(f"cannot read {place}: {exc.strerror or exc}") from exc
    return [(file, state.st_mtime_ns, state.st_size) for file, state in found]


def attribute_of(labels: tuple[str, ...]) -> str:
    """What labels are about: "age" for years and the eight groups, "gender", else "emotion"."""
    if labels == AGE_GROUPS.labels or all(label.isdecimal() for label in labels):
        return AGE.name
    return (
        GENDER.name if {label.lower() for label in labels} <= _GENDERS else EMOTION.name
    )
