"""An RTSP server on GStreamer whose pictures tell the time; run with the system's Python: rtsp_server.py PORT.

Needs gir1.2-gst-rtsp-server-1.0, python3-gi and GStreamer's base, good and ugly plugins.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

BITS, WIDTH, HEIGHT, RATE = 16, 320, 240, 25
PIPELINE = (
    f"( appsrc name=clock is-live=true format=time do-timestamp=true "
    f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={RATE}/1 ! videoconvert ! "
    f"x264enc tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max={RATE} ! rtph264pay name=pay0 pt=96 )"
)


def picture() -> bytes:
    """The time in milliseconds as black and white columns."""
    now = int(time.time() * 1000) % (1 << BITS)
    row = b"".join(
        bytes([255 * (now >> bit & 1)]) * (WIDTH // BITS) for bit in range(BITS)
    )
    return row * HEIGHT


def configure(_factory: object, media: object) -> None:
    """Pushes pictures for as long as somebody watches."""
    source = media.get_element().get_by_name("clock")

    def push() -> bool:
        return (
            source.emit("push-buffer", Gst.Buffer.new_wrapped(picture()))
            == Gst.FlowReturn.OK
        )

    GLib.timeout_add(1000 // RATE, push)


def main() -> None:
    """Serves rtsp://127.0.0.1:PORT/clock."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/clock", factory)
    server.attach(None)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


main()
