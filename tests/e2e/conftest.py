"""The fixtures of the service's tests, for the page too."""

from server.conftest import models, photo

__all__ = ["models", "photo"]
