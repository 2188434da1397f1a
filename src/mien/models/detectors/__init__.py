"""Detectors: a picture in, the boxes and five landmarks of its faces out."""
