"""What the plugin offers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from themis_core import Engine, Judge, SpecError
from themis_plugin_replay import plugin
from themis_plugin_replay.engine import FileEngine
from themis_plugin_replay.verdicts import Verdicts


def test_it_offers_an_engine_that_answers_at_once_and_a_judge_that_asks_no_model() -> None:
    offered: dict[str, type[Engine]] = {}
    plugin.themis_register_engines(register=offered.__setitem__)
    assert offered == {"file": FileEngine}
    judges: dict[str, type[Judge]] = {}
    plugin.themis_register_judges(register=judges.__setitem__)
    assert judges == {"verdicts": Verdicts}
    assert not Verdicts.asks_models
    assert plugin.THEMIS_CONTRACT_VERSION == 1
    assert FileEngine.capabilities.local
    assert FileEngine(path="x.jsonl").endpoint == "replay"


def test_a_missing_package_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rec.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    engine = FileEngine(path="rec.jsonl.zst")
    engine.check(tmp_path)
    with pytest.raises(SpecError, match=r"pip install 'themis-rows\[zstd\]'"):
        engine.check_content()
