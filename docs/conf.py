"""The settings of the documentation: Sphinx with MyST pages and the furo theme."""

from importlib.metadata import version as distribution_version

project = "Themis"
author = "The Themis developers"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx reads this name
release = version = distribution_version("themis-core")

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Themis"
nitpicky = True
