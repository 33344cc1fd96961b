"""Keeps the `datasets` library off the network, and its cache out of the home folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# The library reads these when it is imported, so no fixture would be early enough.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="themis-hf-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
