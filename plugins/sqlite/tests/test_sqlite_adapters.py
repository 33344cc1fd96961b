"""Values are written as they are, and what the process has told the driver stays."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from themis_plugin_sqlite.backend import SqliteBlobStorageSpec

OTHERS = """
import sqlite3, sys
sqlite3.register_adapter(bytes, lambda value: "mine")
from themis_plugin_sqlite.backend import SqliteBlobStorageSpec
from pathlib import Path
SqliteBlobStorageSpec(root_dir="store").open(Path(sys.argv[1])).close()
print(sqlite3.connect(":memory:").execute("SELECT ?, ?", (b"x", None)).fetchone())
"""


def test_none_and_bytes_of_others_are_what_they_were(tmp_path: Path) -> None:
    SqliteBlobStorageSpec(root_dir="store").open(tmp_path).close()
    found = sqlite3.connect(":memory:").execute("SELECT typeof(?), typeof(?), ?", (None, b"x\0", b"x\0")).fetchone()
    assert found == ("null", "blob", b"x\0")


def test_a_form_that_the_process_gave_bytes_is_kept(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('mine', None)"
