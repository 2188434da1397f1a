"""The interpreter that has the real `face_recognition`: two packages bear that name, and only one of them is dlib's."""

from __future__ import annotations

import os
import subprocess
import sys

_REAL = (
    "import dlib, face_recognition; assert not hasattr(face_recognition.api, 'native')"
)


def environment(python: str) -> dict[str, str]:
    """What a process of this interpreter gets: another one's packages are its own, not those of a PYTHONPATH of ours.

    Ends the program where another interpreter has not dlib and the real package.
    """
    own = dict(os.environ)
    if python == sys.executable:
        return own
    own.pop("PYTHONPATH", None)
    asked = subprocess.run(
        [python, "-W", "ignore", "-c", _REAL], env=own, capture_output=True, text=True
    )
    if asked.returncode:
        why = asked.stderr.strip().splitlines()[-1]
        sys.exit(f"{python} has no face_recognition with dlib ({why}): see parity.py")
    return own
