"""Videos and streams as jobs: a queue that survives restarts, and the workers that empty it."""
