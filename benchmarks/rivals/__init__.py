"""One worker a rival, each run by the Python of its own environment; `protocol` is how all of them talk."""
