"""Fails when it is imported, as a plugin does whose own dependency is broken."""

raise OSError("libstranger.so.1: cannot open shared object file")
