"""The settings of the documentation: Sphinx with MyST pages and the furo theme."""

import sys
from importlib.metadata import version as distribution_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Themis"
author = "The Themis developers"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx reads this name
release = version = distribution_version("themis-core")

extensions = ["myst_parser", "themis_reference"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Themis"
nitpicky = True
