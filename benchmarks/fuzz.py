"""Whether odd requests make `mien serve` fail: schemathesis tries every route of a service in which everything is on.

    python benchmarks/fuzz.py                                                   # ten minutes
    unshare -n sh -c 'ip link set lo up; python benchmarks/fuzz.py'             # and nothing leaves the machine

People, unknown faces, jobs, visits of a camera, rules, keys of all roles. Wrong are: a status 5xx (but 503, which says
that there is too much), a status, type or shape of an answer that the document does not name, a traceback in the log, a
service that does not answer afterwards. Addresses of cameras and webhooks are tried by it, so run it as root in
a network of its own, where there is only loopback. Exits with 1 when something was wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from mien.media import images
from mien.server import KeyFile
from server import serving, write_clip

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
CODE = "from mien.cli import main; main()"


def fill(folder: Path) -> list[str]:
    """Somebody to know, a camera to watch; the options of a service that has both."""
    photo, film = folder / "a.png", folder / "film.mp4"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    film.write_bytes(write_clip(np.ascontiguousarray(images.read_image(photo)), 4.0))
    people = str(folder / "people.db")
    words = [sys.executable, "-c", CODE, "enroll", "Ada", photo, "--gallery", people]
    subprocess.run([str(word) for word in words], check=True, capture_output=True)
    cameras = folder / "cameras.toml"
    cameras.write_text(CAMERAS.format(film=film))
    return [
        *("--gallery", people, "--keep-unknown", "1"),
        *("--watch", str(cameras), "--urls", "--rate", "0"),
    ]


def run(base: str, key: str, folder: Path, given: argparse.Namespace) -> int:
    """Lets schemathesis try every route; its status."""
    words = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json"),
        *("-H", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS)),
        *("--max-time", str(round(60 * given.minutes)), "--seed", str(given.seed)),
        *("--max-examples", str(given.examples), "--continue-on-failure"),
        *("--phases", given.phases, "--request-timeout", "60", "--no-color"),
        *("--exclude-path-regex", "follow|/v1/live"),
    ]
    return subprocess.run(words, cwd=folder, check=False).returncode


def left_behind(base: str, key: str, log: Path) -> list[str]:
    """What is wrong with the service afterwards."""
    said = log.read_text(errors="replace")
    found = [line for line in said.splitlines() if "Traceback" in line]
    ask = urllib.request.Request(f"{base}/v1/people", headers={"Authorization": key})  # noqa: S310 - our own
    with urllib.request.urlopen(ask, timeout=60) as answer:  # noqa: S310
        json.loads(answer.read())
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
        data = folder / "data"
        data.mkdir()
        key = KeyFile(data / "keys.json").add("fuzz", "admin")[1]
        with serving(data, fill(folder)) as (port, _):
            base = f"http://127.0.0.1:{port}"
            status = run(base, key, folder, given)
            wrong = left_behind(base, f"Bearer {key}", data / "log")
        if given.log:
            given.log.write_bytes((data / "log").read_bytes())
    print(json.dumps({"schemathesis": status, "wrong": wrong}))
    sys.exit(bool(status or wrong))


if __name__ == "__main__":
    main()
