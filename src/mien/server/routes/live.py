"""Live pictures over a WebSocket: JPEG in, JSON out; the newest frame wins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from mien.errors import InputError, MemoryShort
from mien.models.attributes.antispoof import LIVE, alive, named_if_alive
from mien.output.schemas import FrameRecord
from mien.server.parameters import check_names
from mien.server.problems import Problem
from mien.server.routes.analyze import read_picture, record_of
from mien.server.security import identify, secret_of_websocket, service_of
from mien.server.service import Service
from mien.types import Frame

router = APIRouter()
log = logging.getLogger(__name__)

_POLICY, _TOO_BIG, _BUSY, _GOING = 1008, 1009, 1013, 1001
_REASON_BYTES = 120  # of 123 that the reason of an end may have
_NOT_TOLD = "start it with --attributes live ('mien models get antispoof')"
_BAD_FRAMES = 50  # in a row, until a client is told to go
_FLOOD_PER_S = 240  # messages per second, over ten seconds


@dataclass(slots=True)
class _Inbox:
    """The newest frame of a client that nobody looked at yet."""

    frame: bytes | None = None
    index: int = -1
    answered: int = -1
    came: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    def put(self, frame: bytes) -> bool:
        """Takes a frame; whether it pushed another out."""
        dropped = self.frame is not None
        self.frame, self.index = frame, self.index + 1
        self.came.set()
        return dropped

    async def take(self) -> tuple[int, bytes] | None:
        """The newest frame and its number; None when the client has gone."""
        await self.came.wait()
        self.came.clear()
        frame, self.frame = self.frame, None
        return None if self.closed or frame is None else (self.index, frame)

    def close(self) -> None:
        self.closed = True
        self.came.set()

    async def next(self, socket: WebSocket, idle_s: float) -> Message:
        """What comes next; who sends nothing for long is left."""
        while True:
            try:
                return await asyncio.wait_for(socket.receive(), idle_s)
            except TimeoutError:
                if self.answered == self.index:  # else the client waits for us
                    raise _End(_POLICY, f"no picture for {idle_s:g} s") from None

    async def read(self, service: Service, socket: WebSocket) -> None:
        """Takes frames in until the other side leaves."""
        limits = service.settings.limits
        started = time.monotonic()
        try:
            while True:
                message = await self.next(socket, limits.live_idle_s)
                if message["type"] == "websocket.disconnect":
                    return
                frame = message.get("bytes")
                if not frame:
                    raise _End(_POLICY, "send each frame as one binary message: a JPEG")
                if len(frame) > limits.live_frame_bytes:
                    raise _End(
                        _TOO_BIG,
                        f"a frame may have {limits.live_frame_bytes / 1e6:g} MB at most",
                    )
                if self.index > _FLOOD_PER_S * (time.monotonic() - started + 10):
                    raise _End(_POLICY, "too many frames; wait for answers")
                if self.put(frame):
                    service.metrics.dropped.inc()
        finally:
            self.close()


@router.websocket("/v1/live")
async def live(socket: WebSocket, require_live: bool = False) -> None:
    """Analyses the frames a client sends; each answer's `index` counts the frames received, from 0.

    With `require_live` only those have a name, or are kept as unknown, who are rather alive than a picture.
    """
    service = service_of(socket)
    secret, protocol = secret_of_websocket(socket)
    try:
        caller = identify(service, secret, socket.client.host if socket.client else "")
        if not caller.may("analyse"):
            raise Problem("forbidden", "this needs a key with the role 'analyse'")
        if service.stopping.is_set():
            raise Problem("stopping", "the service is stopping; come again")
        check_names(socket, {"require_live"})
        if require_live and LIVE.name not in service.analyzer.only:
            raise Problem("model-unavailable", _NOT_TOLD)
        with service.live.held(caller.id), service.metrics.live.track_inprogress():
            await socket.accept(subprotocol=protocol)
            await _serve(service, socket, require_live=require_live)
    except Problem as exc:
        await socket.accept(subprotocol=protocol)
        busy = exc.kind in {"busy", "stopping", "too-many-requests"}
        reason = str(exc.detail).encode()[:_REASON_BYTES].decode(errors="ignore")
        await socket.close(_BUSY if busy else _POLICY, reason)


async def _serve(service: Service, socket: WebSocket, *, require_live: bool) -> None:
    inbox = _Inbox()
    reader = asyncio.create_task(inbox.read(service, socket))
    answering = _answer(service, socket, inbox, require_live=require_live)
    writer = asyncio.create_task(answering)
    ended, pending = await asyncio.wait(
        {reader, writer}, return_when=asyncio.FIRST_COMPLETED
    )
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    code, reason = _GOING, "going away"
    for task in ended:
        if isinstance(task.exception(), _End):
            code, reason = task.exception().args  # type: ignore[union-attr]
        elif task.exception() is not None and not isinstance(
            task.exception(), WebSocketDisconnect | RuntimeError
        ):
            log.error("live connection failed", exc_info=task.exception())
            code, reason = 1011, "an error of the service"
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
        await asyncio.wait_for(socket.close(code, reason), 2)


class _End(Exception):  # noqa: N818
    """Ends a connection with a code and a reason."""


async def _answer(
    service: Service, socket: WebSocket, inbox: _Inbox, *, require_live: bool
) -> None:
    started = time.monotonic()
    make = partial(_ClientStream, service, require_live=require_live)
    stream, people, bad = make(), service.people.revision, 0
    while not service.stopping.is_set():
        try:
            taken = await asyncio.wait_for(inbox.take(), 1)
        except TimeoutError:
            continue
        if taken is None:
            return
        if time.monotonic() - started > service.settings.limits.live_s:
            raise _End(_GOING, "this connection lasted long enough; open another")
        if (stream.analyzer, people) != (
            service.analyzer,
            service.people.revision,
        ):  # another model or name: ask anew
            stream, people = make(), service.people.revision
        answer, good = await run_in_threadpool(
            stream, *taken, time.monotonic() - started
        )
        bad = 0 if good else bad + 1
        if bad > _BAD_FRAMES:
            raise _End(_POLICY, "these are no pictures")
        await socket.send_text(answer)
        inbox.answered = taken[0]
    raise _End(_GOING, "the service is stopping")


class _ClientStream:
    """Looks at one client's frames: who is there is remembered, and kept where unknown faces are."""

    def __init__(self, service: Service, *, require_live: bool) -> None:
        self.service = service
        self.require_live = require_live
        self.analyzer = service.analyzer
        self.session = self.analyzer.session()
        self.collector = (
            None if service.collector is None else service.collector.stream()
        )

    def __call__(self, index: int, content: bytes, time_s: float) -> tuple[str, bool]:
        """The answer to a frame, and whether the frame was good."""
        try:
            with self.service.gate.slot():
                most = self.service.settings.limits.live_frame_pixels
                image = read_picture(self.service, content, most)
                frame = Frame(image, index, time_s, "live")
                result = self.session.step(frame)
                if self.require_live:
                    named = named_if_alive(result.faces)
                    result = replace(result, faces=named)
        except MemoryShort as exc:
            return _error(index, time_s, f"busy: {exc}"), True
        except InputError as exc:
            return _error(index, time_s, f"unusable-input: {exc}"), False
        except Problem as exc:
            return _error(index, time_s, f"{exc.kind}: {exc.detail}"), True
        self.service.metrics.analysed("live", len(result.faces))
        if self.collector is not None:
            faces = result.faces
            kept = faces[alive(faces)] if self.require_live else faces
            self.collector.keep(frame, replace(result, faces=kept))
        return record_of(result, self.analyzer.only).to_json(), True


def _error(index: int, time_s: float, problem: str) -> str:
    """The answer to a frame that could not be looked at: as a frame's, of no size and without faces."""
    return FrameRecord("live", index, round(time_s, 3), error=problem).to_json()
