"""Whether odd requests make `mien serve` fail: schemathesis tries every route of a service in which everything is on.

    python benchmarks/fuzz.py                                                   # ten minutes
    unshare -n sh -c 'ip link set lo up; python benchmarks/fuzz.py'             # and nothing leaves the machine

First it knows the ids of a person, a photo, an unknown face, a job, a camera and a visit, and deletes nothing; then it
knows none. Wrong are: a status 5xx (but 503, which says that there is too much), a status, type or shape of an answer
that the document does not name, a traceback in the log, a service that does not answer afterwards. Addresses of cameras
and webhooks are tried by it, so run it as root in a network of its own, where there is only loopback. Exits with 1 when
something was wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import skimage.data

from mien.server import KeyFile
from server import form, pictures, serving, write_clip

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
CAMERAS = """
[watch]
keep_days = 1
keep_pictures = "face"

[[cameras]]
name = "door"
source = "{film}"
"""


def fill(folder: Path) -> list[str]:
    """A camera to watch; the options of a service in which everything is on."""
    film, cameras = folder / "film.mp4", folder / "cameras.toml"
    film.write_bytes(write_clip(skimage.data.astronaut()[..., ::-1].copy(), 4.0))
    cameras.write_text(CAMERAS.format(film=film))
    return [
        *("--gallery", str(folder / "people.db"), "--keep-unknown", "1"),
        *("--watch", str(cameras), "--urls", "--rate", "0"),
    ]


class Api:
    """The service, asked by us."""

    def __init__(self, base: str, key: str) -> None:
        self.base, self.key = base, key

    def __call__(
        self, method: str, path: str, kind: str = "", body: bytes | None = None
    ) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        headers |= {"Content-Type": kind} if kind else {}
        ask = urllib.request.Request(  # noqa: S310 - our own
            self.base + path, body, headers, method=method
        )
        with urllib.request.urlopen(ask, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())


def make_known(api: Api, film: bytes) -> dict[str, str]:
    """Somebody unknown, somebody known, a job, a camera, a visit: the ids of what there is, by parameter."""
    photos = pictures()
    for photo in photos[:5]:
        api("POST", "/v1/analyze", *form(photo))
    (group, *_) = api("GET", "/v1/unknown")["groups"]
    person = api("POST", "/v1/people", *form(photos[5], name="Ada"))
    (photo, *_) = api("GET", f"/v1/people/{person['id']}/photos")["photos"]
    (camera,) = api("GET", "/v1/cameras")["cameras"]
    (visit, *_) = api("GET", "/v1/events")["events"]
    job = api("POST", "/v1/videos", *form(film))
    return {
        "person_id": person["id"],
        "sha256": photo["sha256"],
        "group_id": group["id"],
        "face_id": str(group["faces"][0]["id"]),
        "camera_id": camera["id"],
        "visit_id": visit["id"],
        "job_id": job["id"],
    }


def run(api: Api, folder: Path, minutes: float, given: argparse.Namespace) -> int:
    """Lets schemathesis try every route, with the ids that a `schemathesis.toml` in the folder names; its status."""
    words = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", f"{api.base}/openapi.json"),
        *("-H", f"Authorization: Bearer {api.key}", "--checks", ",".join(CHECKS)),
        *("--max-time", str(round(60 * minutes)), "--seed", str(given.seed)),
        *("--max-examples", str(given.examples), "--continue-on-failure"),
        *("--phases", given.phases, "--request-timeout", "60", "--no-color"),
    ]
    if (folder / "schemathesis.toml").exists():
        words += ["--exclude-method", "DELETE"]  # what is known stays
    return subprocess.run(words, cwd=folder, check=False).returncode


def left_behind(api: Api, log: Path) -> list[str]:
    """What is wrong with the service afterwards."""
    api("GET", "/v1/people")
    said = log.read_text(errors="replace")
    found = [line for line in said.splitlines() if "Traceback" in line]
    return [f"{len(found)} tracebacks in the log"] if found else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--examples", type=int, default=100, help="of each route")
    parser.add_argument("--phases", default="coverage,fuzzing,stateful")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="keep the service's log here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mien-fuzz-") as name:
        folder = Path(name)
        data, blind, knowing = (folder / one for one in ("data", "blind", "knowing"))
        for one in (data, blind, knowing):
            one.mkdir()
        key = KeyFile(data / "keys.json").add("fuzz", "admin")[1]
        with serving(data, fill(folder)) as (port, _):
            api = Api(f"http://127.0.0.1:{port}", key)
            known = make_known(api, (folder / "film.mp4").read_bytes())
            rows = [f'{name} = "{value}"' for name, value in known.items()]
            toml = "\n".join(["[parameters]", *rows])
            (knowing / "schemathesis.toml").write_text(toml)
            status = [
                run(api, one, given.minutes / 2, given) for one in (knowing, blind)
            ]
            wrong = left_behind(api, data / "log")
        if given.log:
            given.log.write_bytes((data / "log").read_bytes())
    print(json.dumps({"schemathesis": status, "wrong": wrong}))
    sys.exit(any(status) or bool(wrong))


if __name__ == "__main__":
    main()
