"""`mien serve`: the HTTP API and the page."""

from __future__ import annotations

from mien.server.app import create_app
from mien.server.keys import KeyFile
from mien.server.settings import ServerSettings

__all__ = ["KeyFile", "ServerSettings", "create_app"]
