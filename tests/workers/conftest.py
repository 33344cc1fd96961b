"""A Postgres server for all tests here, and `crewed`, which they share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from crewed import made, postgres  # noqa: F401 - fixtures
