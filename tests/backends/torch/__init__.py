"""The torch backend, on the processor."""
