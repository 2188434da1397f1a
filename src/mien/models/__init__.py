"""The networks as detectors and stages; each class holds its choices, a call takes data."""
