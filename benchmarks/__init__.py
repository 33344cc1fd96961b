"""Measures Themis against bare loops that do the same work, in one run: `nox -s bench`. Not part of the package."""
