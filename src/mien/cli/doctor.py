"""`mien doctor`: what is here, what is missing, and its cure.

A check is a function that gives its findings; `CHECKS` lists them in the order in which they are shown.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mien import __version__, installs, plugins, store
from mien.cli import SOME_FAILED, new_app
from mien.errors import ModelError, PluginError
from mien.zoo import ZOO, ModelSpec

doctor_app = new_app()

State = Literal["ok", "missing", "wrong"]  # missing: something optional is not here
_MARKS = {
    "ok": "[green]ok[/green]",
    "missing": "[yellow]missing[/yellow]",
    "wrong": "[red]wrong[/red]",
}

_LIBRARIES = (
    "numpy",
    "pillow",
    "av",
    "wasmtime",
    "face_recognition_models",
)
_EXTRAS = {
    "server": ("fastapi", "uvicorn", "websockets", "multipart"),
    "parquet": ("pyarrow",),
    "cluster": ("ray",),
    "postgres": ("psycopg",),
    "train": ("keras", "tensorflow", "tf2onnx"),
    "watch": ("paho",),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `cure` says what to do where it is not ok."""

    name: str
    state: State
    detail: str
    cure: str = ""

    @classmethod
    def of_model(cls, spec: ModelSpec) -> Finding:
        name = f"model {spec.name}"
        try:
            store.path_of(spec)
        except ModelError:
            cure = (
                f"mien models get {spec.name}"
                if not spec.bundled
                else "install mien again with --force-reinstall"
            )
            return cls(
                name,
                "wrong" if spec.bundled else "missing",
                "not on this machine",
                cure,
            )
        try:
            store.read(spec)
        except ModelError as exc:
            told, _, cure = str(exc).rpartition("; ")
            return cls(name, "wrong", told, cure)
        return cls(name, "ok", "as published")

    @classmethod
    def of_opencv(cls) -> Finding:
        """Any of the packages that bring it will do, also the one that another program brought."""
        for name in installs.OPENCV:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                return cls(name, "ok", importlib.metadata.version(name))
        return cls(
            "opencv-python-headless",
            "wrong",
            "not installed",
            "pip install opencv-python-headless",
        )


def versions() -> Iterator[Finding]:
    """What mien, Python and the libraries are."""
    yield Finding("mien", "ok", __version__)
    yield Finding(
        "python", "ok", f"{platform.python_version()} on {platform.platform()}"
    )
    for name in _LIBRARIES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "wrong", "not installed", f"pip install {name}")
    yield Finding.of_opencv()


def devices() -> Iterator[Finding]:
    """What networks can run on."""
    try:
        from mien.runtime import installed
    except (ImportError, ModelError) as exc:
        yield Finding("onnxruntime", "wrong", str(exc), "pip install onnxruntime")
        return
    version, providers = installed()
    yield Finding("onnxruntime", "ok", f"{version}: {', '.join(providers)}")
    quiet = os.environ.get("ORT_DISABLE_TELEMETRY", "")
    cure = "" if quiet == "1" else "unset ORT_DISABLE_TELEMETRY, or set it to 1"
    yield Finding(
        "telemetry", "wrong" if cure else "ok", f"ORT_DISABLE_TELEMETRY={quiet}", cure
    )


def packages() -> Iterator[Finding]:
    """Which packages overwrite each other."""
    found = installs.clashes()
    for line in found:
        told, _, cure = line.rpartition("; ")
        yield Finding("packages", "wrong", told, cure)
    if not found:
        yield Finding("packages", "ok", "none overwrites another")


def extras() -> Iterator[Finding]:
    """Which extras are installed."""
    for extra, modules in _EXTRAS.items():
        lacking = [
            module for module in modules if importlib.util.find_spec(module) is None
        ]
        cure = f"pip install 'mien[{extra}]'" if lacking else ""
        detail = f"{', '.join(lacking)} not installed" if lacking else "installed"
        yield Finding(f"extra {extra}", "missing" if lacking else "ok", detail, cure)


def weights() -> Iterator[Finding]:
    """Which weights are here, and as published."""
    for spec in ZOO.values():
        yield Finding.of_model(spec)


def folders() -> Iterator[Finding]:
    """Whether there is a place to write to."""
    for name, folder, variable in (
        ("cache", store.cache_dir(), "MIEN_CACHE"),
        ("data", store.data_dir(), "MIEN_DATA"),
    ):
        cure = (
            ""
            if _writable(folder)
            else f"set {variable} to a folder that can be written"
        )
        yield Finding(name, "wrong" if cure else "ok", str(folder), cure)


def _writable(folder: Path) -> bool:
    """Whether files can be written there, or in the nearest folder above that there is."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def parts() -> Iterator[Finding]:
    """Which parts installed packages add."""
    for group in plugins.GROUPS:
        for plugin in plugins.found(group).values():
            if plugin.package == "mien":
                continue
            try:
                plugin.load()
            except PluginError as exc:
                yield Finding(
                    f"{group} {plugin.name}",
                    "wrong",
                    str(exc),
                    f"pip uninstall {plugin.package}",
                )
            else:
                yield Finding(f"{group} {plugin.name}", "ok", f"from {plugin.package}")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    versions, devices, packages, extras, weights, folders, parts,
)  # fmt: skip


@doctor_app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what is here and what is missing, with its cure: versions, devices, packages, models, folders, plug-ins.

    Ends with 1 where something is wrong; what is only missing is optional.

    Example: [bold]mien doctor[/bold]
    """
    findings = [finding for check in CHECKS for finding in check()]
    if as_json:
        typer.echo(
            json.dumps(
                [asdict(finding) for finding in findings], indent=1, ensure_ascii=False
            )
        )
    else:
        _show(findings)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(SOME_FAILED)


def _show(findings: list[Finding]) -> None:
    table = Table("what", "", "found", "cure", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(
            finding.name,
            _MARKS[finding.state],
            escape(finding.detail),
            escape(finding.cure),
        )
    for column in table.columns:
        column.overflow = "fold"  # a path that is cut short cannot be used
    Console().print(table, highlight=False)
