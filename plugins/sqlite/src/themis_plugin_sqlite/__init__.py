"""The storage backend `sqlite`."""
