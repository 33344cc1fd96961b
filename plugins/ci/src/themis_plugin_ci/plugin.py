"""The hooks of the plugin `ci`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from themis_core import hookimpl

if TYPE_CHECKING:
    from themis_core import RunFinished

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_run_finished(event: RunFinished, summary: Mapping[str, Any]) -> None:
    """On GitHub, annotate the step and add to its summary; called only if `observers` of the project names `ci`."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from themis_plugin_ci.github import as_annotations
    from themis_plugin_ci.markdown import as_markdown

    print(as_annotations(summary), end="", file=sys.stderr)  # noqa: T201 - standard output is the command's own
    if summary_file := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary_file).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(as_markdown(summary))
