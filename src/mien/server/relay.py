"""A relay for RTSP on loopback: FFmpeg reaches one checked machine through it, and hears of no other."""

from __future__ import annotations

import re
import select
import socket
import threading

from mien.server.fetch import PinnedAddress

_CHUNK = 65_536
_HEAD_BYTES, _BODY_BYTES = 65_536, 1_000_000
_LEAST_FRAME = 8  # FFmpeg does not pass over the bytes of smaller ones, and reads them as an answer
_ANSWER = re.compile(
    rb"RTSP/1\.0 [1245]\d\d(?: [^\x00-\x1f\x7f]*)?"
)  # 3xx leads elsewhere
_REQUEST = re.compile(
    rb"(?:OPTIONS|GET_PARAMETER|SET_PARAMETER|ANNOUNCE|TEARDOWN) [^\x00-\x20\x7f]+ RTSP/1\.0"
)
_HEADER = re.compile(rb"[A-Za-z0-9-]+:[^\x00-\x08\x0a-\x1f\x7f]*")
_LENGTH = re.compile(rb"content-length:[ \t]*(\d{1,7})[ \t]*", re.IGNORECASE)


class Refused(Exception):  # noqa: N818
    """A server sends what is not passed on."""


class Answers:
    """What an RTSP server sends, cut into messages: only those of strict form, and no redirect, go on.

    FFmpeg is lenient (it takes `RTSP/1  +302` for a redirect), so that a filter of what is bad would know less than it.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> bytes:
        """What may go on now, of the bytes so far.

        Raises:
            Refused: A message is not of strict form, a redirect, or too long.
        """
        self._held += data
        passed = bytearray()
        while (length := self._length()) is not None and length <= len(self._held):
            message = self._held[:length]
            del self._held[:length]
            if message[:1] != b"$" or length >= 4 + _LEAST_FRAME:
                passed += message
        return bytes(passed)

    def _length(self) -> int | None:
        """The bytes of the first message, None while that cannot be told."""
        if self._held[:1] == b"$":
            return (
                4 + int.from_bytes(self._held[2:4], "big")
                if len(self._held) >= 4
                else None
            )
        end = self._held.find(b"\r\n\r\n")
        if end > _HEAD_BYTES or (end < 0 and len(self._held) > _HEAD_BYTES):
            raise Refused
        return None if end < 0 else end + 4 + _body_length(bytes(self._held[:end]))


def _body_length(head: bytes) -> int:
    first, *headers = head.split(b"\r\n")
    if not (_ANSWER.fullmatch(first) or _REQUEST.fullmatch(first)):
        raise Refused
    if not all(_HEADER.fullmatch(line) for line in headers):
        raise Refused
    lengths = [line for line in headers if line.lower().startswith(b"content-length:")]
    if not lengths:
        return 0
    found = _LENGTH.fullmatch(lengths[0])
    if len(lengths) > 1 or found is None or int(found[1]) > _BODY_BYTES:
        raise Refused
    return int(found[1])


class Relay:
    """Passes bytes between connections to a port on loopback and one machine."""

    def __init__(self, target: PinnedAddress, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.5)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="mien-relay", daemon=True).start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(near,), name="mien-relay", daemon=True
            ).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            with (
                near,
                socket.create_connection(
                    (self._target.ip, self._target.port), self._seconds
                ) as far,
            ):
                self._pass_on(near, far)
        except (OSError, Refused):
            return  # the player sees the connection end and says so

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        answers = Answers()
        while not self._closed.is_set():
            ready, _, _ = select.select([near, far], [], [], 0.5)
            for one in ready:
                data = one.recv(_CHUNK)
                if not data:
                    return
                if one is far:
                    near.sendall(answers.take(data))
                else:
                    far.sendall(data)

    def close(self) -> None:
        self._closed.set()
        self._listener.close()
