"""Models of one's own: crop, train, evaluate, import."""
