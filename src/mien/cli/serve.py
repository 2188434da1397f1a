"""`mien serve`: the HTTP API and the page; `mien serve key`: who may use them."""

from __future__ import annotations

import importlib.util
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mien import heap, private
from mien.cli.options import (
    KeepUnknown,
    ModelsDir,
    SharedOptions,
    models_dir,
    with_shared_options,
)
from mien.config import gallery_place, load_settings, serve_settings
from mien.errors import InputError
from mien.gallery import NOBODY, remarks
from mien.installs import lacking
from mien.store import data_dir
from mien.watch.settings import find_file, read_file

if TYPE_CHECKING:
    from mien.limits import Limits
    from mien.server import KeyFile, ServerSettings

_PANEL = "Serving"

T = TypeVar("T", "Limits", "ServerSettings")

serve_app = typer.Typer(
    name="serve",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="The HTTP API and the page, on http://127.0.0.1:8000 unless told otherwise.\n\n"
    "Example: mien serve --gallery people.db",
)
key_app = typer.Typer(
    name="key",
    no_args_is_help=True,
    add_completion=False,
    help="Keys: needed as soon as other machines can reach it.",
)
serve_app.add_typer(key_app)

Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder for keys, jobs and people [$MIEN_DATA, else the user's own]."
    ),
]


def _serving(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(
        *names, help=text, rich_help_panel=_PANEL, show_default=False, **more
    )


def _serve(
    shared: SharedOptions,
    ctx: typer.Context,
    host: Annotated[
        str | None, _serving("Address to listen on [127.0.0.1].", "--host")
    ] = None,
    port: Annotated[
        int | None,
        _serving("Port to listen on [8000].", "--port", min=0, max=65535),
    ] = None,
    data: Annotated[
        Path | None,
        _serving("Folder for keys, jobs and people [$MIEN_DATA].", "--data"),
    ] = None,
    urls: Annotated[
        bool | None, _serving("Let clients name addresses to fetch.", "--urls")
    ] = None,
    url_host: Annotated[
        list[str] | None,
        _serving("A private host that may be fetched too.", "--url-host"),
    ] = None,
    host_name: Annotated[
        list[str] | None, _serving("A further name it is reached by.", "--host-name")
    ] = None,
    origin: Annotated[
        list[str] | None, _serving("A web page that may call it.", "--origin")
    ] = None,
    rate: Annotated[
        int | None,
        _serving("Requests per minute and key, 0 for no limit [0].", "--rate", min=0),
    ] = None,
    keep_hours: Annotated[
        float | None,
        _serving("How long jobs are kept [24].", "--keep-hours", min=0.01),
    ] = None,
    models: ModelsDir = None,
    keep_unknown: KeepUnknown = None,
    tls_cert: Annotated[
        Path | None,
        _serving(
            "Speak https with this certificate (PEM, its chain behind it).",
            "--tls-cert",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, _serving("The key of the certificate (PEM).", "--tls-key")
    ] = None,
    watch: Annotated[
        Path | None,
        _serving("Watch the cameras of this mien.toml (docs/watch.md).", "--watch"),
    ] = None,
) -> None:
    ctx.obj = data
    if ctx.invoked_subcommand is not None:
        return
    _need_extra()
    from mien.server import ServerSettings

    watch = None if watch is None else find_file(watch)
    said = serve_settings(watch)
    watched = None if watch is None else read_file(watch, cameras_needed=False)
    if watch is not None:
        shared = shared.filled_in(watch)
    if watched is not None and any(one.require_live for one in watched.cameras):
        shared = shared.with_live()
    if watched is not None and keep_unknown is None:
        keep_unknown = watched.watch.keep_unknown
    limits = _over(
        said.limits,
        requests_per_minute=rate,
        jobs_kept_s=None if keep_hours is None else keep_hours * 3600,
    )
    as_said = {name: getattr(said, name) for name in type(said).model_fields}
    settings = _over(
        ServerSettings(**as_said, data=data or data_dir()),
        limits=limits,
        models_dir=models_dir(models or load_settings(watch).models_dir),
        host=host,
        port=port,
        hosts=tuple(host_name) if host_name else None,
        origins=tuple(origin) if origin else None,
        urls=urls,
        url_hosts=tuple(url_host) if url_host else None,
        keep_unknown_days=keep_unknown,
        watch=watched,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    _run(shared, settings)


def _over(chosen: T, **options: Any) -> T:
    """What was chosen, with the options that were given in the place of it."""
    given = {name: option for name, option in options.items() if option is not None}
    return replace(chosen, **given)


serve_app.callback(invoke_without_command=True)(with_shared_options(_serve))


def _run(shared: SharedOptions, settings: ServerSettings) -> None:
    from mien.server.run import check_port, run

    heap.keep_few_arenas()
    scheme = _scheme(settings.tls_cert, settings.tls_key)
    check_port(settings.host, settings.port)
    private.make_home(settings.data)
    shared = replace(
        shared,
        gallery=gallery_place(shared.gallery, make=True, data=settings.data) or NOBODY,
    )
    if sys.stderr.isatty():
        address = f"{scheme}://{_seen_from_here(settings.host)}:{settings.port}"
        typer.echo(f"open {address} in a browser; Ctrl-C ends it", err=True)
    analyzer = shared.analyzer()
    remarks(analyzer.gallery)  # a warning tells each at once, not at the first request
    run(settings, analyzer, level=logging.getLogger().level)


def _scheme(cert: Path | None, key: Path | None) -> str:
    """How it is spoken to. Raises InputError where a certificate cannot be used."""
    from mien.server.tls import check_pair

    if cert is None and key is None:
        return "http"
    if cert is None or key is None:
        missing = "--tls-cert" if cert is None else "--tls-key"
        raise InputError(f"a certificate and its key go together; give {missing} too")
    check_pair(cert, key)
    return "https"


def _seen_from_here(host: str) -> str:
    """The host as it stands in an address that a browser on this machine can open."""
    if host in {"", "0.0.0.0", "::", "[::]"}:  # noqa: S104 - any address of this machine
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _need_extra() -> None:
    missing = [
        name
        for name in ("fastapi", "uvicorn", "websockets")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise InputError(lacking("mien serve", ", ".join(missing), "server"))


def _keys(data: Path | None) -> KeyFile:
    _need_extra()
    from mien.server import KeyFile

    return KeyFile((data or data_dir()) / "keys.json")


def _audit(data: Path | None, action: str, key: str) -> None:
    from mien.server.audit import AuditLog

    AuditLog(data or data_dir()).note(action=action, subject=key)


@key_app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whom it is for; only shown in lists.")],
    role: Annotated[str, typer.Option(help="read, analyse or admin.")] = "analyse",
    data: Data = None,
) -> None:
    """Make a key. It is shown once and kept as a hash. Example: mien serve key add door-camera --role analyse"""
    data = data or ctx.obj
    key, secret = _keys(data).add(name, role)
    _audit(data, "key add", key.id)
    typer.echo(
        f"key {key.id} ({key.role}) for {key.name}; it is shown this once:", err=True
    )
    typer.echo(secret)


@key_app.command("list")
def list_keys(ctx: typer.Context, data: Data = None) -> None:
    """List the keys. Example: mien serve key list"""
    keys = _keys(data or ctx.obj).all()
    if not keys:
        typer.echo("no keys yet; 'mien serve key add NAME' makes one", err=True)
    for key in keys:
        typer.echo(f"{key.id}  {key.role:<8}{key.created}  {key.name}")


@key_app.command("remove")
def remove(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As listed.")],
    data: Data = None,
) -> None:
    """End a key, at once. Example: mien serve key remove 1f3a5b7c"""
    data = data or ctx.obj
    _keys(data).remove(key_id)
    _audit(data, "key remove", key_id)
    typer.echo(f"key {key_id} is no longer taken", err=True)


__all__ = ["key_app", "serve_app"]
