"""The storage backend `postgres`."""
