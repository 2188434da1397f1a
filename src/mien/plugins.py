"""What can be added from outside: parts found by their entry points, ours in the same table.

A package names a factory under one of the groups, for example in its `pyproject.toml`:

    [project.entry-points."mien.attributes"]
    glasses = "my_package:Glasses"

Nothing is imported before it is asked for. One that cannot be loaded is named with its error; the others go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pkgutil import resolve_name
from traceback import walk_tb
from typing import Any

from mien.errors import InputError, MienError, PluginError
from mien.text import did_you_mean

DETECTORS = "mien.detectors"
EMBEDDERS = "mien.embedders"
ATTRIBUTES = "mien.attributes"
GALLERIES = "mien.galleries"
FORMATS = "mien.formats"
SOURCES = "mien.sources"
COMMANDS = "mien.commands"
ROUTES = "mien.routes"
ARCHITECTURES = "mien.architectures"
IMPORTERS = "mien.importers"
GROUPS = (
    DETECTORS,
    EMBEDDERS,
    ATTRIBUTES,
    GALLERIES,
    FORMATS,
    SOURCES,
    COMMANDS,
    ROUTES,
    ARCHITECTURES,
    IMPORTERS,
)

_HAS = {  # what a part of each group is known by
    DETECTORS: "aligns_by",
    EMBEDDERS: "space",
    ATTRIBUTES: "attributes",
    GALLERIES: "search",
    FORMATS: "write",
    SOURCES: "__iter__",
}

PATH, CAMERA = "path", "camera"  # the sources that have no scheme
OWN = "mien"  # the package of our own parts
OFF = "MIEN_NO_PLUGINS"  # set: only our own parts

_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt")
_SERVED = (
    "analyze",
    "verify",
    "blur",
    "people",
    "counter",
    "unknown",
    "jobs",
    "rules",
    "models",
    "cameras",
    "events",
    "urls",
    "live",
    "ops",
    "page",
)  # in this order

OURS: Mapping[str, Mapping[str, str]] = {
    DETECTORS: {
        "compact": "mien.models.detectors.compact:load_compact",
        "hog": "mien.models.detectors.dlib:load_hog",
        "mmod": "mien.models.detectors.dlib:load_mmod",
        "yunet": "mien.models.detectors.yunet:load_yunet",
    },
    EMBEDDERS: {
        "dlib_resnet": "mien.models.backbone:load_backbone",
        "sface": "mien.models.embedders:load_sface",
    },
    ATTRIBUTES: {
        "live": "mien.models.attributes.antispoof:load_antispoof",
        "face_landmarker": "mien.models.attributes.landmarker:load_landmarker",
    },
    GALLERIES: {
        "folder": "mien.gallery.folder:open_folder",
        "sqlite": "mien.gallery.sqlite:open_sqlite",
        "postgresql": "mien.gallery.postgres:open_postgres",
        "postgres": "mien.gallery.postgres:open_postgres",
    },
    SOURCES: {
        PATH: "mien.sources.opening:open_path",
        CAMERA: "mien.sources.opening:open_camera",
        "http": "mien.sources.opening:open_http",
        "https": "mien.sources.opening:open_http",
        **dict.fromkeys(_STREAMS, "mien.sources.opening:open_stream"),
    },
    COMMANDS: {
        "analyze": "mien.cli.analyze:analyze_app",
        "live": "mien.cli.live:live_app",
        "watch": "mien.cli.watch:watch_app",
        "verify": "mien.cli.verify:verify_app",
        "blur": "mien.cli.blur:blur_app",
        "batch": "mien.cli.batch:batch_app",
        "report": "mien.cli.report:report_app",
        "serve": "mien.cli.serve:serve_app",
        "enroll": "mien.cli.people:enroll_app",
        "tag": "mien.cli.tag:tag_app",
        "find": "mien.cli.find:find_app",
        "people": "mien.cli.people:people_app",
        "crop": "mien.cli.crop:crop_app",
        "train": "mien.cli.train:train_app",
        "evaluate": "mien.cli.train:evaluate_app",
        "retrain": "mien.cli.retrain:retrain_app",
        "backup": "mien.cli.backup:backup_app",
        "restore": "mien.cli.backup:restore_app",
        "models": "mien.cli.models:models_app",
        "bench": "mien.cli.bench:bench_app",
        "doctor": "mien.cli.doctor:doctor_app",
    },  # in the order of the help
    ARCHITECTURES: {
        "face": "mien.train.head:HeadLearner",
        "inception_v3": "mien.train.keras.learner:inception_v3",
        "mobilenet_v3": "mien.train.keras.learner:mobilenet_v3",
        "efficientnet_v2_b0": "mien.train.keras.learner:efficientnet_v2_b0",
        "levi_hassner": "mien.train.keras.learner:levi_hassner",
    },
    IMPORTERS: {
        "caffe": "mien.train.importers.caffe:read_files",
        "graph": "mien.train.importers.tf_graph:read_files",
        "checkpoint": "mien.train.keras.tf_checkpoint:read_files",
    },
    ROUTES: {name: f"mien.server.routes.{name}:router" for name in _SERVED},
    FORMATS: {
        "table": "mien.output.table:open_table",
        "jsonl": "mien.output.json:open_jsonl",
        "json": "mien.output.json:open_json",
        "csv": "mien.output.csv:open_csv",
        "parquet": "mien.output.parquet:open_parquet",
    },
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One part that can be had by name: `package` is where it comes from, "mien" for ours; `place` is its
    "module:attribute", `version` the package's where it is not ours."""

    group: str
    name: str
    package: str
    place: str
    version: str = ""

    def load(self) -> Callable[..., Any]:
        """The factory.

        Raises:
            PluginError: It cannot be imported; says whose it is. One of ours says itself what it lacks.
        """
        if self.package == OWN:
            return resolve_name(self.place)  # type: ignore[no-any-return]
        try:
            factory = resolve_name(self.place)
        except Exception as exc:
            raise PluginError(
                f"{self.name!r} ({self.group}) of the package {self.package} cannot be loaded: "
                f"{type(exc).__name__}: {exc}; mend or uninstall that package, or set {OFF}=1"
            ) from exc
        if not callable(factory):
            raise PluginError(
                f"{self.name!r} ({self.group}) of the package {self.package} is nothing that can be called"
            )
        return factory  # type: ignore[no-any-return]

    def make(self, *given: object, **wants: object) -> Any:
        """What the factory makes.

        Raises:
            PluginError: It cannot be loaded or, of another package, fails or makes something else.
        """
        factory = self.load()
        with blaming():
            made = factory(*given, **wants)
        wanted = _HAS.get(self.group)
        if self.package != OWN and wanted and not hasattr(made, wanted):
            raise PluginError(
                f"{self.name!r} ({self.group}) of the package {self.package} makes {type(made).__name__}, "
                f"which has no {wanted!r}; mend or uninstall it, or set {OFF}=1"
            )
        return made


def found(group: str) -> dict[str, Plugin]:
    """All parts of a group by name: ours first, then those of installed packages, which cannot take ours away."""
    parts = {name: _ours(group, name) for name in OURS.get(group, {})}
    of_packages = {} if os.environ.get(OFF) else dict(_of_packages(group))
    return parts | of_packages | parts  # ours come first, and stay


def named(group: str, name: str) -> Plugin | None:
    """The part of this name. What is installed is looked through (a tenth of a second's work) only where it is none
    of ours."""
    if name in OURS.get(group, {}):
        return _ours(group, name)
    return found(group).get(name)


def _ours(group: str, name: str) -> Plugin:
    return Plugin(group, name, OWN, OURS[group][name])


def load(
    group: str, name: str, *, what: str, besides: Iterable[str] = ()
) -> Callable[..., Any]:
    """The factory of one part.

    Args:
        what: How messages call a part of this group ("a detector").
        besides: What else could have been named.

    Raises:
        InputError: Nothing has that name.
        PluginError: It cannot be loaded.
    """
    part = named(group, name)
    if part is None:
        known = [*besides, *found(group)]
        near = did_you_mean(name, known)
        raise InputError(
            f"{name!r} is not {what} that is there; there are {', '.join(known)}{near}"
        )
    factory = part.load()
    return factory if part.package == OWN else part.make


@contextmanager
def blaming() -> Iterator[None]:
    """Errors that come out of the code of a package that adds parts say whose they are.

    Raises:
        PluginError: In the place of such an error.
    """
    try:
        yield
    except (MienError, MemoryError, BrokenPipeError):
        raise
    except Exception as exc:
        package = at_fault(exc)
        if package is None:
            raise
        raise PluginError(
            f"the package {package} failed: {type(exc).__name__}: {exc}; "
            f"mend or uninstall it, or set {OFF}=1"
        ) from exc


def at_fault(exc: BaseException) -> str | None:
    """The package with parts in whose code an error arose, or that was in the middle of it; None: in none."""
    theirs = {
        part.place.partition(":")[0].partition(".")[0]: part.package
        for group in GROUPS
        for part in found(group).values()
        if part.package != OWN
    }
    ways = [
        frame.f_globals.get("__name__", "") for frame, _ in walk_tb(exc.__traceback__)
    ]
    roots = [way.partition(".")[0] for way in reversed(ways)]
    return next((theirs[root] for root in roots if root in theirs), None)


@cache
def _of_packages(group: str) -> Mapping[str, Plugin]:
    """Read once in a process: what is installed does not change while it runs."""
    from importlib.metadata import entry_points  # zip files, e-mail's headers

    there = sorted(
        entry_points(group=group),
        key=lambda entry: (entry.dist is None or entry.dist.name, entry.name),
    )
    return {
        entry.name: Plugin(
            group,
            entry.name,
            entry.dist.name if entry.dist is not None else entry.module,
            f"{entry.module}:{entry.attr}",
            "" if entry.dist is None else entry.dist.version,
        )
        for entry in reversed(there)
    }
