"""Registers the conclusion; the commands of the first level are declared in the distribution's metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import Conclusion

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_conclusions(register: Callable[[str, type[Conclusion]], None]) -> None:
    from themis_plugin_stats.conclusion import Compare

    register("compare", Compare)
