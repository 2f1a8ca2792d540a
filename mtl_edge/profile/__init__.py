"""Where the time and the bytes of a model go: by operator, by layer and by task."""
