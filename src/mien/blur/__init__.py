"""Faces made unrecognisable in photos and films."""
