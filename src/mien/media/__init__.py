"""Files of pictures and films, read into arrays."""
