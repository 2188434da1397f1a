"""Pictures decoded in processes of their own, with limits: a decoder that fails takes nothing else with it.

`python -m mien.media.apart` is such a process: it reads pictures from its input and writes pixels to its output.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import IO

import numpy as np

from mien.errors import InputError, MemoryShort
from mien.media import images
from mien.types import U8

MEMORY = 4_000_000_000  # bytes of address space, libraries included
CPU_S = 30  # of one picture
_WAIT_S = 60.0  # by the clock: the machine may be busy
_HEAD = 16  # bytes before each message
_PICTURE, _REFUSED, _SHORT = 0, 1, 2
_PLAIN = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_FAILED = (
    "the picture made its decoder fail (it crashed, or took too much time or memory); save it as JPEG or PNG "
    "and send that"
)


def is_plain(data: bytes) -> bool:
    """Whether a picture is of the formats that are read by much-used decoders: JPEG, PNG, WebP."""
    return data.startswith(_PLAIN) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


class Decoders:
    """Reads pictures; all but the plain ones in processes of their own, which are made when they are needed.

    Safe to share between threads: each picture has a process for itself, as many as are read at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []

    def read(self, data: bytes, *, max_pixels: int) -> U8:
        """As `images.read_image`.

        Raises:
            InputError: It cannot be read, or its decoder failed.
        """
        if is_plain(data) or os.name != "posix":  # pipes and limits as used here
            return images.read_image(data, max_pixels=max_pixels)
        child = self._take()
        try:
            found = _ask(child, data, max_pixels)
        except (OSError, EOFError, ValueError) as exc:
            raise InputError(_FAILED) from exc
        finally:
            if child.poll() is None and not child.stdout.closed:  # type: ignore[union-attr]
                with self._lock:
                    self._idle.append(child)
        return found

    def _take(self) -> subprocess.Popen[bytes]:
        """One that is idle and lives, else a new one: where memory is short, the system kills idle ones first."""
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.poll() is None:
                    return child
                _end(child)
        command = [sys.executable, "-m", "mien.media.apart"]
        # A session of its own: Ctrl-C in a terminal is for the service, which ends it.
        return subprocess.Popen(  # noqa: S603 - ourselves
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def close(self) -> None:
        """Ends the processes."""
        with self._lock:
            for child in self._idle:
                _end(child)
            self._idle.clear()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _ask(child: subprocess.Popen[bytes], data: bytes, max_pixels: int) -> U8:
    """What a process makes of a picture; one that fails is ended.

    Raises:
        InputError: It says what is wrong with the picture.
        OSError, EOFError, ValueError: It failed.
    """
    if child.stdin is None or child.stdout is None:
        raise OSError("no pipes")
    until = time.monotonic() + _WAIT_S
    try:
        child.stdin.write(_head(len(data), max_pixels) + data)
        child.stdin.flush()
        kind, height, width = _numbers(_read(child.stdout, _HEAD, until), 3)
        if kind != _PICTURE:
            said = json.loads(_read(child.stdout, height, until))
        elif width * height > max_pixels:
            raise ValueError("more than was asked for")
        else:
            pixels = _read(child.stdout, width * height * 3, until)
    except BaseException:
        _end(child)
        raise
    if kind != _PICTURE:
        raise (MemoryShort if kind == _SHORT else InputError)(str(said))
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _read(pipe: IO[bytes], count: int, until: float) -> bytearray:
    """So many bytes, in time."""
    found, at = bytearray(count), 0
    view = memoryview(found)
    while at < count:
        ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise OSError("too slow")
        read = os.readv(pipe.fileno(), [view[at:]])
        if not read:
            raise EOFError
        at += read
    return found


def _head(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(5, "big") for number in numbers).ljust(_HEAD, b"\0")


def _numbers(head: bytes | bytearray, count: int) -> list[int]:
    return [int.from_bytes(head[5 * i : 5 * i + 5], "big") for i in range(count)]


# -- in the process


def _limit_all() -> None:
    import resource

    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _, hard = resource.getrlimit(what)
        low = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (low, low))


def _answer(data: bytes, max_pixels: int) -> tuple[bytes, bytes | memoryview]:
    try:
        image = np.ascontiguousarray(images.read_image(data, max_pixels=max_pixels))
    except (InputError, MemoryError) as exc:
        short = isinstance(exc, MemoryShort | MemoryError)
        said = json.dumps(str(exc) or "not enough memory for this picture").encode()
        return _head(_SHORT if short else _REFUSED, len(said)), said
    height, width, _ = image.shape
    return _head(_PICTURE, height, width), image.data.cast("B")


def main() -> None:
    """Reads pictures until the input ends."""
    import resource

    _limit_all()
    asked, told = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints is no answer
    while len(head := asked.read(_HEAD)) == _HEAD:
        size, max_pixels = _numbers(head, 2)
        # Of the processor, for this picture.
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        until_s = int(time.process_time()) + CPU_S
        resource.setrlimit(resource.RLIMIT_CPU, (until_s, hard))
        for part in _answer(asked.read(size), max_pixels):
            told.write(part)
        told.flush()


if __name__ == "__main__":
    main()
