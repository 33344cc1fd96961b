"""For authors of plugins and for Themis's own tests: compliance suites, fakes, a scripted model server.

Nothing of it is imported by the other rooms. Import the module that is needed, such as `themis_core.testing.engine`.
"""

import sys

SUITES = (
    "append_rules",
    "conclusion",
    "engine",
    "exporter",
    "extractor",
    "judge",
    "loader",
    "metric",
    "secrets",
    "storage",
    "sum_rules",
)

if "pytest" in sys.modules:  # the server's process does without it
    import pytest

    # So that a failed assert of a suite shows its values, as those of test modules do. It must precede their import.
    pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in SUITES))
