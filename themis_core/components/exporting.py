"""Exporters: what writes a stored run in the format of another tool."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from themis_core.components.base import Component
from themis_core.components.storage import Store
from themis_core.records import RunRecord

__all__ = ["Exporter"]


class Exporter(Component):
    """Writes a stored run in the format of another tool. Its fields are the options of `themis export --set`."""

    losses: ClassVar[tuple[str, ...]] = ()
    """What the format can't hold of any run, a sentence each; told after each export."""

    @abstractmethod
    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        """Write the run's files into `folder`, which is empty, and return what is lost of this run, a sentence each.

        The store is open for reading. `summary` is what `themis show run --format json` prints. A run may be large:
        read its trials as a stream. Raises SpecError if the format can't hold this run at all; then nothing is left
        of the folder. Called once, in the main thread.
        """
