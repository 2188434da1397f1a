"""What the body of a request may hold stands beside its route."""

from __future__ import annotations

import pytest

from mien import plugins
from mien.server import bodies
from mien.server.settings import Limits

LIMITS = Limits()


@pytest.mark.parametrize(
    ("path", "most", "waits"),
    [
        ("/", LIMITS.form_bytes, True),
        ("/v1/analyze", LIMITS.form_bytes, True),
        ("/v1/verify", LIMITS.form_bytes, True),
        ("/v1/find", LIMITS.form_bytes, True),
        ("/v1/people", LIMITS.form_bytes, True),
        ("/v1/people/3f0c/photos", LIMITS.form_bytes, True),
        ("/v1/videos", LIMITS.video_bytes + LIMITS.json_bytes, False),
        ("/v1/urls", LIMITS.json_bytes, False),
        ("/v1/people/3f0c/merge", LIMITS.json_bytes, False),
        ("/nowhere", LIMITS.json_bytes, False),
    ],
)
def test_the_limits_of_our_routes(path: str, most: int, waits: bool) -> None:
    routers = [
        plugin.load()
        for plugin in plugins.found(plugins.ROUTES).values()
        if plugin.package == plugins.OWN
    ]
    kind = bodies.kinds(route for router in routers for route in router.routes)(path)  # type: ignore[attr-defined]
    assert (bodies.bytes_for(kind, LIMITS), bodies.takes_pictures(kind)) == (
        most,
        waits,
    )
