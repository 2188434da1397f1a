"""The only module that calls FFmpeg's readers: of listed formats and protocols only."""

from __future__ import annotations

from typing import Any

import av

# Playlists, scripts and lists of files name further places, which FFmpeg then opens. On disk only a playlist that says
# so in its name is one, and it leads to files only; RTSP gets its pictures through the connection it began with.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,mxf,nut,dv,ivf,wtv,rm,"
    "h264,hevc,av1,obu,m4v,mjpeg,yuv4mpegpipe"
)
_SOUNDS = "aac,mp3,ac3,eac3,webvtt"  # what a playlist lists beside the picture
_LOCAL = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
_PLAYLIST = {
    "protocol_whitelist": "file,crypto",
    "format_whitelist": f"hls,{_CONTAINERS},{_SOUNDS}",
}
_REMOTE = {
    "protocol_whitelist": "http,https,tcp,tls,udp,rtp,rtmp,rtmps,crypto,httpproxy",
    "format_whitelist": f"hls,dash,rtsp,rtp,sdp,mpjpeg,live_flv,{_CONTAINERS},{_SOUNDS}",
}
_RTSP = {"protocol_whitelist": "tcp,tls", "format_whitelist": "rtsp,rtp,asf,mpegts"}


def open_input(
    uri: str,
    options: dict[str, str] | None = None,
    *,
    timeout: tuple[float, float] = (8.0, 4.0),
) -> Any:
    """The PyAV container at a path or address; an address must answer within `timeout` seconds, to open and to read.

    Raises what PyAV does.
    """
    if "://" not in uri:
        return av.open(f"file:{uri}", options={**_allowed(uri), **(options or {})})
    return av.open(uri, options={**_allowed(uri), **(options or {})}, timeout=timeout)


def _allowed(uri: str) -> dict[str, str]:
    if "://" in uri:
        return _RTSP if uri.lower().startswith(("rtsp://", "rtsps://")) else _REMOTE
    return _PLAYLIST if uri.lower().endswith((".m3u8", ".m3u")) else _LOCAL
