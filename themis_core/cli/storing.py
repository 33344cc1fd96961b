"""The options by which a command that shows finds the store that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import themis_output
from themis_output import format_option

__all__ = ["store_options"]


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return themis_output.store_options(format_option(command), also=("--storage-from",))
