"""The options that all commands share which look at faces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from mien import heap
from mien.config import gallery_place, load_settings
from mien.errors import GalleryError, InputError
from mien.gallery import NO_NAME, Gallery, open_gallery
from mien.models.attributes.antispoof import LIVE
from mien.models.attributes.heads import BUILT_IN
from mien.models.embedders import space_of
from mien.pipeline import Analyzer, kept_under
from mien.store import data_dir
from mien.text import shown

if TYPE_CHECKING:
    from mien.collecting import UnknownCollector

_PANEL = "Looking at faces"
_MOST_DAYS = 36_500


def _option(names: str, text: str, **more: Any) -> Any:
    return typer.Option(
        *names.split(), help=text, rich_help_panel=_PANEL, show_default=False, **more
    )


ModelsDir = Annotated[
    Path | None,
    _option(
        "--models-dir",
        "A folder with .onnx files of your own to choose from [$MIEN_MODELS_DIR].",
    ),
]


def models_dir(given: Path | None) -> Path | None:
    """The folder of model files to choose from, as given or as the settings say; None: there is none.

    Raises:
        InputError: It is no folder.
    """
    place = load_settings().models_dir if given is None else given
    if place is not None and not place.is_dir():
        raise InputError(
            f"there is no folder {place}; --models-dir names one with model files (.onnx)"
        )
    return place


def _listed(said: Iterable[str]) -> list[str]:
    """The names in an option that takes several: in one, with commas, or each by itself."""
    names = ",".join(said).split(",")
    return [name.strip() for name in names if name.strip()]


ToleranceOption = Annotated[
    float | None,
    _option(
        "--tolerance",
        "Largest distance between faces of one person (default: the embedder's own).",
        min=0.0,
    ),
]
ThreadsOption = Annotated[
    int | None, _option("--threads", "Threads of one network pass.", min=1)
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Photos at the same time (default: one per core).",
    ),
]


def _named(gallery: str | None) -> str | None:
    if gallery == "":
        raise GalleryError(NO_NAME)
    return gallery


@dataclass(frozen=True)
class SharedOptions:
    """How to look at faces, as given on the command line; None means: as the settings say."""

    gallery: Annotated[
        str | None,
        _option(
            "--gallery",
            "People to recognise: a folder, a .db file or postgresql://… [$MIEN_GALLERY, else your own; none: nobody].",
        ),
    ] = None
    tolerance: ToleranceOption = None
    false_names: Annotated[
        float | None,
        _option(
            "--false-names",
            "Instead of --tolerance: the share of strangers who may get a name, as 0.001.",
        ),
    ] = None
    detector: Annotated[
        str | None, _option("--detector", "Which detector ('mien models' lists them).")
    ] = None
    embedder: Annotated[
        str | None,
        _option(
            "--embedder",
            "What tells who a face is ('mien models' lists them; default dlib_resnet).",
        ),
    ] = None
    min_face: Annotated[
        int | None,
        _option(
            "--min-face",
            "Smallest face that must be found, in pixels (default 40).",
            min=8,
        ),
    ] = None
    only: Annotated[
        list[str] | None,
        _option("--only", "What to compute, of identity and attributes (default all)."),
    ] = None
    attributes: Annotated[
        list[str] | None,
        _option(
            "--attributes",
            "Further attributes that installed packages tell, by name ('mien models' lists them).",
        ),
    ] = None
    emotion_model: Annotated[
        Path | None,
        _option("--emotion-model", "An .onnx file of your own for emotions."),
    ] = None
    age_model: Annotated[
        Path | None, _option("--age-model", "An .onnx file of your own for ages.")
    ] = None
    gender_model: Annotated[
        Path | None, _option("--gender-model", "An .onnx file of your own for gender.")
    ] = None
    crops: Annotated[
        int | None,
        _option(
            "--crops --looks",  # the second is its old name
            "In how many crops your own models see a face: 1, or 12 (corners, centre, mirrored; averaged).",
        ),
    ] = None
    fast: Annotated[
        bool | None,
        _option(
            "--fast/--thorough",
            "One view of each still face, or two (default): quicker, less sure who it is.",
        ),
    ] = None
    device: Annotated[
        str | None,
        _option("--device", "auto, cpu, cuda, openvino, coreml or directml."),
    ] = None
    threads: ThreadsOption = None

    def parts(self) -> tuple[str, ...] | None:
        """What to compute; None: everything."""
        if self.only is None:
            return None
        return tuple(_listed(self.only))

    def filled_in(self, file: Path) -> SharedOptions:
        """These, with what the environment or a mien.toml says where they say nothing."""
        settings = load_settings(file)
        there = {field.name for field in fields(settings)}
        unsaid = [
            field.name
            for field in fields(self)
            if field.name in there and getattr(self, field.name) is None
        ]
        return replace(self, **{name: getattr(settings, name) for name in unsaid})

    def with_live(self) -> SharedOptions:
        """These, with whether faces are alive told too."""
        more = [*(self.attributes or ()), LIVE.name]
        only = None if self.only is None else [*self.only, LIVE.name]
        return replace(self, attributes=more, only=only)

    def is_there(self) -> bool:
        """Whether there is a gallery yet."""
        try:
            return self.place() is not None
        except GalleryError:
            return False

    def analyzer(self, **changes: Any) -> Analyzer:
        """The analyzer these options describe."""
        heap.keep_what_is_freed()
        return Analyzer(**{**self.choices(), **changes})

    def choices(self) -> dict[str, Any]:
        """The analyzer's arguments these options describe."""
        settings = load_settings()
        chosen: dict[str, Any] = {
            name: getattr(settings, name)
            if getattr(self, name) is None
            else getattr(self, name)
            for name in (
                "detector",
                "embedder",
                "tolerance",
                "false_names",
                "min_face",
                "device",
                "threads",
                "crops",
                "fast",
            )
        }
        if self.tolerance is not None and self.false_names is None:
            chosen["false_names"] = None  # a setting that says the same
        elif self.false_names is not None and self.tolerance is None:
            chosen["tolerance"] = None
        own = {part: getattr(self, f"{part}_model") for part in BUILT_IN}
        models = {part: file for part, file in own.items() if file is not None}
        further = _listed(self.attributes or ())
        return {
            "gallery": self.place(),
            **chosen,
            "only": self.parts(),
            "attributes": further,
            "models": models,
        }

    def open_gallery(self, *, make: bool = False) -> Gallery:
        """The gallery by itself, to be listed or changed; a database in whatever space it is.

        Raises:
            GalleryError: It cannot be opened, or was named and is not there.
        """

        @cache
        def analyzer() -> (
            Analyzer
        ):  # the networks are loaded only where a photo has to be looked at
            return self.analyzer(only=("identity",), gallery=None)

        place = self.place(make=make) or self.place(make=True)
        choices = self.choices()
        return open_gallery(
            self.somewhere(place),
            space=space_of(choices["embedder"]),
            describe=lambda content: analyzer().describe_photo(content),
            described_by=kept_under(
                choices["detector"], choices["embedder"], min_face=choices["min_face"]
            ),
            as_it_is=True,
        )

    def place(self, *, make: bool = False) -> str | None:
        """Where the people are; None: nowhere."""
        return gallery_place(_named(self.gallery), make=make)

    def place_in_words(self) -> str:
        """The place as messages name it: without user and password."""
        return shown(self.place() or "the gallery")

    def somewhere(self, place: str | None) -> str:
        """The place, which has to be one.

        Raises:
            InputError: `--gallery none` was said.
        """
        if place is None:
            raise InputError(
                "--gallery none is nobody; name a folder, a .db file or postgresql://…"
            )
        return place


EmbedderOption = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="Who describes faces ('mien models') [$MIEN_EMBEDDER, else dlib_resnet].",
        show_default=False,
    ),
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        callback=_named,
        help="A folder of photos, a .db file or postgresql://… [$MIEN_GALLERY, else your own; none: nobody].",
        show_default=False,
    ),
]


def _days(given: float | None) -> float | None:
    if given is not None and not 0 < given <= _MOST_DAYS:
        raise typer.BadParameter(f"{given:g} is no number of days up to {_MOST_DAYS}")
    return given


KeepUnknown = Annotated[
    float | None,
    typer.Option(
        "--keep-unknown",
        metavar="DAYS",
        callback=_days,
        help="Keep faces nobody owns for so many days ('mien people unknown' shows them; default: never).",
        show_default=False,
    ),
]


def collector(analyzer: Analyzer, days: float | None) -> UnknownCollector | None:
    """What keeps unknown faces for so many days; None where none are to be kept.

    Raises:
        InputError: Nobody is known, so that nobody can be told to be unknown.
    """
    if days is None:
        return None
    from mien.collecting import UnknownCollector, who_is_known
    from mien.gallery.unknown import open_unknown

    gallery = who_is_known(analyzer.gallery, analyzer.only)
    unknown = open_unknown(gallery, data=data_dir())
    found = UnknownCollector(unknown, days=days, tolerance=analyzer.tolerance)
    found.sweep()
    return found


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the shared options; it receives them as its first argument, a `SharedOptions`."""
    hints = get_type_hints(SharedOptions, include_extras=True)
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=f.default,
            annotation=hints[f.name],
        )
        for f in fields(SharedOptions)
    ]

    def run(**given: Any) -> None:
        command(
            SharedOptions(**{f.name: given.pop(f.name) for f in fields(SharedOptions)}),
            **given,
        )

    keyword_own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own
    ]
    run.__signature__ = inspect.Signature([*keyword_own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {
        parameter.name: parameter.annotation for parameter in [*keyword_own, *shared]
    }
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
