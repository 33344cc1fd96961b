"""What the exit code of a shard means for the others, and whether it is worth another try."""

from __future__ import annotations

from typing import Final

__all__ = ["OF_ALL", "OF_ITSELF"]

OF_ALL: Final = (2, 3)
"""The spec is wrong, or a plugin is broken: every other shard would end so as well."""
OF_ITSELF: Final = (1, 5, 6)
"""A verdict, not an accident: a threshold was not met, trials failed after all of the engine's own tries, or the budget
is used up. The same shard would end so again at once; the others go on."""
