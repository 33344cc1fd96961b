"""The suites of exporters and conclusions refuse those that break a rule, and take the example that breaks none."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from themis_core import Conclusion, Exporter, Finding, Results, RunRecord, SpecError, StorageError, Store
from themis_core.testing.conclusion import ConclusionSuite
from themis_core.testing.exporter import ExporterSuite
from themis_core.testing.made_runs import KINDS, MadeRun, OfMadeRuns


class Writing(Exporter):
    """Writes the ids of items; `does` says which rule it breaks."""

    does: str = Field("", description="What it does wrong.")

    def export(self, store: Store, run: RunRecord, summary: Mapping[str, Any], folder: Path) -> Sequence[str]:
        ids: list[str] = []
        try:
            ids.extend(row.item_id for row in store.trial_rows(run.run_id))
        except StorageError:
            if self.does != "swallow":
                raise
        said = {"clock": f"{time.monotonic()}", "chance": f"{random.random()}"}.get(self.does, "")
        (folder / "ids.txt").write_bytes("\n".join([*ids, said]).encode("utf-8", "surrogatepass"))
        if self.does == "out":
            (folder.parent / "beside.txt").touch()
        if self.does == "cwd":
            Path("here.txt").touch()
        if self.does == "summary":
            summary["scores"].clear()
        if self.does == "manifest":
            run.manifest["more"] = 1
        return ["" if self.does == "silent" else "Texts are not kept."]


class Naming(Conclusion):
    """Counts rows; `does` says which rule it breaks."""

    does: str = Field("", description="What it does wrong.")
    is_gate = True

    def conclude(self, results: Results, run_id: str) -> Sequence[Any]:
        rows = results.result(run_id).scores
        scored = sum(row.n for row in rows)
        if self.does == "raise":
            raise SpecError("nothing to say")
        if self.does == "count":
            return [scored / min(row.n for row in rows)]
        met = True if self.does == "met" else bool(scored)
        details = {"chance": {"n": random.random()}, "unplain": {"n": {1, 2}}}.get(self.does, {})
        return [Finding(" " if self.does == "silent" else f"{scored} scores", met, details)]


class TestWriting(ExporterSuite):
    @pytest.fixture
    def exporter(self) -> Exporter:
        return Writing()


class TestNaming(ConclusionSuite):
    @pytest.fixture
    def conclusion(self) -> Conclusion:
        return Naming()


class TestRefused(OfMadeRuns):
    @pytest.mark.parametrize(
        ("does", "rule"),
        [
            ("swallow", "test_an_error_of_the_store_is_raised"),
            ("clock", "test_the_same_run_is_written_the_same_again"),
            ("chance", "test_the_same_run_is_written_the_same_again"),
            ("summary", "test_run_and_summary_stay_as_they_are"),
            ("manifest", "test_run_and_summary_stay_as_they_are"),
        ],
    )
    def test_an_exporter_that_breaks_a_rule(
        self, made_runs: dict[str, MadeRun], tmp_path: Path, does: str, rule: str
    ) -> None:
        with pytest.raises(AssertionError):
            getattr(ExporterSuite(), rule)(Writing(does=does), made_runs, tmp_path)

    def test_an_exporter_that_says_nothing_of_what_is_lost(self, made_runs: dict[str, MadeRun], tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match="a sentence each"):
            ExporterSuite().test_a_run_is_written_and_what_is_lost_is_said(
                Writing(does="silent"), made_runs, KINDS[0], tmp_path
            )

    @pytest.mark.parametrize("does", ["out", "cwd"])
    def test_an_exporter_that_writes_elsewhere(
        self, made_runs: dict[str, MadeRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
    ) -> None:
        with pytest.raises(AssertionError, match="write within `folder` alone"):
            ExporterSuite().test_all_files_are_in_the_folder(Writing(does=does), made_runs, tmp_path, monkeypatch)

    @pytest.mark.parametrize(
        ("does", "rule"),
        [
            ("raise", "test_something_is_found_of_a_whole_run"),
            ("silent", "test_something_is_found_of_a_whole_run"),
            ("count", "test_something_is_found_of_a_whole_run"),
            ("chance", "test_the_same_run_gives_the_same_findings"),
        ],
    )
    def test_a_conclusion_that_breaks_a_rule(self, made_runs: dict[str, MadeRun], does: str, rule: str) -> None:
        with pytest.raises(AssertionError):
            getattr(ConclusionSuite(), rule)(Naming(does=does), made_runs)

    def test_details_that_are_not_plain(self, made_runs: dict[str, MadeRun]) -> None:
        with pytest.raises(TypeError):
            ConclusionSuite().test_something_is_found_of_a_whole_run(Naming(does="unplain"), made_runs)

    @pytest.mark.parametrize(("does", "error"), [("met", AssertionError), ("count", ZeroDivisionError)])
    def test_a_conclusion_that_trusts_in_answers(
        self, made_runs: dict[str, MadeRun], does: str, error: type[BaseException]
    ) -> None:
        with pytest.raises(error):
            ConclusionSuite().test_a_run_with_little_in_it_is_no_exception(Naming(does=does), made_runs, "all_failed")
