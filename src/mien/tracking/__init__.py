"""Faces from frame to frame: where each one moves, who keeps which id, and what is known of each so far."""

from __future__ import annotations

from mien.tracking.tracker import Tracker, TrackerOptions

__all__ = ["Tracker", "TrackerOptions"]
