"""Any of the foreign files in, one model file of ours out: labels, preprocessing, licence and sources inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mien import plugins
from mien.errors import InputError
from mien.models.attributes.heads import AGE, AGE_GROUPS, GENDER

KNOWN_LABELS = {
    AGE.name: AGE_GROUPS.labels,
    GENDER.name: GENDER.labels[::-1],
}  # the order of the classic nets: male first
UNKNOWN_LICENCE = "not stated by the imported files; ask who trained them"
_ONE_PLACE = {"checkpoint", "graph"}  # kinds that lie in one file or folder
_CHECKPOINT_ENDINGS = (".index", ".meta", ".ckpt")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the files do not say themselves.

    `labels` is "age" (the eight Adience groups), "gender", or a text file with one label a line; None: the text file
    among the files. `architecture` is of a checkpoint. `padding` replaces the network's own margin around the face
    box (a share of the box's size).
    """

    labels: str | None = None
    architecture: str | None = None
    licence: str = UNKNOWN_LICENCE
    padding: float | None = None

    def read_labels(self, files: Sequence[Path]) -> tuple[str, ...]:
        """The labels that are named, or of the one list among the files."""
        if self.labels in KNOWN_LABELS:
            return KNOWN_LABELS[self.labels]
        lists = (
            [Path(self.labels)]
            if self.labels
            else [file for file in files if _kind_of(file) == "labels"]
        )
        if len(lists) != 1:
            raise InputError(
                "which labels? give --labels age, --labels gender or --labels FILE with one label a line"
            )
        try:
            lines = lists[0].read_text(encoding="utf-8").splitlines()
        except OSError as exc:
            raise InputError(
                f"cannot read the labels {lists[0]}: {exc.strerror or exc}"
            ) from exc
        except UnicodeDecodeError as exc:
            raise InputError(f"{lists[0]} is no text file of labels") from exc
        return tuple(line.strip() for line in lines if line.strip())


def is_foreign(files: Sequence[Path]) -> bool:
    """Whether these are another framework's files (and not weights of the list of models)."""
    return any(_kind_of(file) not in {"", "labels"} for file in files)


def convert(files: Sequence[Path], options: ImportOptions) -> bytes:
    """A model file (.onnx) made of a network's files, tried out before it is given.

    Raises:
        InputError: The files or the options do not make one network.
        ModelError: A file is damaged, foreign or cannot be read.
    """
    networks = [file for file in files if _kind_of(file) != "labels"]
    kinds = {_kind_of(file) for file in networks}
    if len(kinds) != 1 or "" in kinds or (kinds & _ONE_PLACE and len(networks) != 1):
        raise InputError(
            "give the files of one network: NET.prototxt NET.caffemodel [MEAN.binaryproto], the folder of a "
            "checkpoint, or GRAPH.pb LABELS.txt"
        )
    (kind,) = kinds
    read = plugins.load(plugins.IMPORTERS, kind, what="a kind of network")
    network = read(networks, options.architecture)
    labels = options.read_labels(files)
    if options.padding is not None:
        network = replace(
            network,
            preprocessing=replace(
                network.preprocessing, padding=options.padding, padding_px=0
            ),
        )
    network.describe(labels, options.licence)
    data = bytes(network.graph.SerializeToString())
    network.try_out(data, labels, ", ".join(map(str, files)))
    return data


def _kind_of(file: Path) -> str:
    """The importer of a file, "labels", or "" where there is none: a package's has the name of its files' ending."""
    if (
        file.is_dir()
        or file.suffix in _CHECKPOINT_ENDINGS
        or file.suffix.startswith(".data-")
    ):
        return "checkpoint"
    if file.name.startswith(("checkpoint", "model.ckpt")):
        return "checkpoint"
    endings = {
        ".prototxt": "caffe",
        ".caffemodel": "caffe",
        ".binaryproto": "caffe",
        ".pb": "graph",
        ".txt": "labels",
    }
    theirs = file.suffix.removeprefix(".")
    kinds = plugins.found(plugins.IMPORTERS)
    return endings.get(file.suffix, theirs if theirs in kinds else "")
