"""The options that all commands share which look at faces."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mien.config import load_settings
from mien.errors import InputError
from mien.pipeline import Analyzer
from mien.schemas import PARTS

_PANEL = "Looking at faces"


def _option(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=_PANEL, show_default=False, **more)


@dataclass(frozen=True)
class Looking:
    """How to look at faces, as given on the command line; None means: as the settings say."""

    gallery: Annotated[
        str | None,
        _option("--gallery", "People to recognise: a folder, a .db file or postgresql://… (default: $MIEN_GALLERY)."),
    ] = None
    tolerance: Annotated[
        float | None,
        _option("--tolerance", "Largest distance between faces of one person (default 0.6).", min=0.0),
    ] = None
    detector: Annotated[str | None, _option("--detector", "Which detector ('mien models' lists them).")] = None
    min_face: Annotated[
        int | None, _option("--min-face", "Smallest face that must be found, in pixels (default 40).", min=8)
    ] = None
    only: Annotated[str | None, _option("--only", "What to compute, of identity,age,gender,emotion (default all).")] = (
        None
    )
    emotion_model: Annotated[Path | None, _option("--emotion-model", "An .onnx file of your own for emotions.")] = None
    age_model: Annotated[Path | None, _option("--age-model", "An .onnx file of your own for ages.")] = None
    gender_model: Annotated[Path | None, _option("--gender-model", "An .onnx file of your own for gender.")] = None
    looks: Annotated[
        int | None,
        _option("--looks", "How often your own models look at a face: 1, or 12 (corners, centre, mirrored; averaged)."),
    ] = None
    device: Annotated[str | None, _option("--device", "auto, cpu or cuda.")] = None
    threads: Annotated[int | None, _option("--threads", "Threads of one network pass.", min=1)] = None

    def parts(self) -> tuple[str, ...]:
        """What to compute."""
        if self.only is None:
            return PARTS
        return tuple(part.strip() for part in self.only.split(",") if part.strip())

    def analyzer(self, **changes: Any) -> Analyzer:
        """The analyzer these options describe."""
        return Analyzer(**{**self.choices(), **changes})

    def choices(self) -> dict[str, Any]:
        """The analyzer's arguments these options describe."""
        settings = load_settings()
        chosen = {
            name: getattr(settings, name) if getattr(self, name) is None else getattr(self, name)
            for name in ("gallery", "detector", "tolerance", "min_face", "device", "threads", "looks")
        }
        own = {part: getattr(self, f"{part}_model") for part in ("emotion", "age", "gender")}
        models = {part: file for part, file in own.items() if file is not None}
        return {**chosen, "only": self.parts(), "models": models}

    def gallery_place(self) -> str:
        """Where the gallery is.

        Raises:
            InputError: No gallery was named.
        """
        place = self.gallery or load_settings().gallery
        if not place:
            raise InputError("no gallery: give --gallery FOLDER, FILE.db or postgresql://…, or set MIEN_GALLERY")
        return place

    def check_gallery(self) -> None:
        """Refuses a gallery that is not there: who only looks at it has mistyped its name.

        Raises:
            InputError: Nothing is at the place that was named.
        """
        place = self.gallery or load_settings().gallery
        if place and "://" not in place and not Path(place).exists():
            raise InputError(f"there is no gallery at {place}; 'mien enroll NAME PHOTO --gallery {place}' makes one")


def looking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the shared options; it receives them as its first argument, a `Looking`."""
    hints = get_type_hints(Looking, include_extras=True)
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(Looking)
    ]

    def run(**given: Any) -> None:
        command(Looking(**{f.name: given.pop(f.name) for f in fields(Looking)}), **given)

    keyword_own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*keyword_own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*keyword_own, *shared]}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
