#!/bin/sh
# System packages that some tests need: a browser, a virtual screen, an RTSP server, an MQTT broker, strace. Installed only as root on Debian and
# its kin; where they are missing those tests are skipped and say so.
set -u
packages="libimage-exiftool-perl chromium chromium-driver xvfb xauth xdotool gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gir1.2-gst-rtsp-server-1.0 python3-gi mosquitto strace"
command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || { echo "not installing system packages: no apt-get, or not root"; exit 0; }
missing=""
for package in $packages; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null \
  || echo "could not install:$missing; the tests that need them are skipped"
exit 0
