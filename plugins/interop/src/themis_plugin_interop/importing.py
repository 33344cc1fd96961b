"""Imports of logs of other tools: which readers there are, and what they lose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from themis_core import StorageError
from themis_output import CannotWrite, whole_folder
from themis_plugin_interop.from_inspect import inspect_logs
from themis_plugin_interop.from_lm_eval import lm_eval_logs
from themis_plugin_interop.recordings import Log, Recordings

__all__ = ["import_logs"]

_BETTER: Final = "Of every recorded score, the higher is taken for the better."
_READERS: Final[Mapping[str, tuple[Callable[[list[Path]], Iterator[Log]], tuple[str, ...]]]] = {
    "inspect": (
        inspect_logs,
        (
            "Messages between input and answer, tool calls, events and images are left out.",
            "Scores that are lists, texts that are no grade, or no finite numbers have no value.",
            _BETTER,
        ),
    ),
    "lm-eval": (
        lm_eval_logs,
        (
            "lm_eval scores all answers to an item at once: each of them has that score.",
            "Where likelihoods were compared, the answer is the likeliest text; one that is no number is the least.",
            "A metric whose values are no numbers is left out.",
            _BETTER,
        ),
    ),
}


def import_logs(paths: Sequence[Path], tool: str, folder: Path) -> Sequence[str]:
    """Write spec and recordings into a new folder, whole or not at all; return what is lost, a sentence each.

    `tool` is `inspect` or `lm-eval`. Raises SpecError or StorageError.
    """
    read, losses = _READERS[tool]
    try:
        with whole_folder(folder) as part:
            recordings = Recordings(part)
            for log in read(list(paths)):
                recordings.add(log)
            recordings.finish()
    except CannotWrite as error:
        raise StorageError(str(error)) from error
    return losses
