"""The conclusion passes the suite that conclusions of others are to pass."""

from __future__ import annotations

import pytest

from themis_core import Conclusion
from themis_core.testing.conclusion import ConclusionSuite
from themis_plugin_stats.conclusion import Compare


class TestCompare(ConclusionSuite):
    @pytest.fixture(
        params=[
            {},
            {"by": "prompt", "correction": "bh", "margin": 0.1},
            {"baseline": "org/small", "max_drop": 0.05, "max_drop_of": "bound", "slice": "second"},
            {"metric": ["said"], "cluster": "name", "slice": "first/../x", "fail_if": ["inconclusive"]},
            {"against": "previous", "fail_if": ["worse"]},
        ],
        ids=["models", "prompts", "gate", "clusters", "previous"],
    )
    def conclusion(self, request: pytest.FixtureRequest) -> Conclusion:
        return Compare(**request.param)
