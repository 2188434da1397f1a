"""Cameras that are looked at day and night: who came, when, where, how old, in which mood."""

from __future__ import annotations
