"""Compliance suite of conclusions: subclass it in a test module, and pytest runs what every conclusion must fulfil.

    class TestBest(ConclusionSuite):
        @pytest.fixture
        def conclusion(self):
            return Best()

It does not test whether what is said is right: that is a table of the plugin's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from themis_core.components import Conclusion, Finding
from themis_core.errors import SpecError
from themis_core.session import open_results
from themis_core.specs import BenchmarkSpec, canonical_json
from themis_core.testing.made_runs import MadeRun, OfMadeRuns

__all__ = ["ConclusionSuite"]


class ConclusionSuite(OfMadeRuns):
    """What every conclusion must fulfil. Define the fixture `conclusion`; parametrise it for several configs."""

    @pytest.fixture
    def conclusion(self) -> Conclusion:
        """The conclusion to test, of a run with a score `said`, and the metric `made/same` of it.

        Its models are `org/small` and `../a: <b>`, its prompts `plain` and `a/b, c`.
        """
        raise NotImplementedError("define the fixture `conclusion`")

    def test_something_is_found_of_a_whole_run(self, conclusion: Conclusion, made_runs: dict[str, MadeRun]) -> None:
        found = _concluded(conclusion, made_runs["every_kind"])
        assert found, "nothing was found in a run of several models: say what there is, or that there is nothing"
        check_findings(found)

    @pytest.mark.parametrize("kind", ["one_model", "all_failed"])
    def test_a_run_with_little_in_it_is_no_exception(
        self, conclusion: Conclusion, made_runs: dict[str, MadeRun], kind: str
    ) -> None:
        found = _concluded(conclusion, made_runs[kind])
        check_findings(found)
        if kind == "all_failed" and conclusion.is_gate:
            assert all(each.met is not True for each in found), "without any answer, a gate is not met"

    def test_the_same_run_gives_the_same_findings(self, conclusion: Conclusion, made_runs: dict[str, MadeRun]) -> None:
        twin = type(conclusion).model_validate(conclusion.model_dump(by_alias=True))
        first, again = (_concluded(each, made_runs["every_kind"]) for each in (conclusion, twin))
        assert [_plain(each) for each in again] == [_plain(each) for each in first], (
            "the same config and run must give the same findings: no clock, and no chance without a seed"
        )

    def test_what_is_stored_stays_as_it_is(self, conclusion: Conclusion, made_runs: dict[str, MadeRun]) -> None:
        made = made_runs["every_kind"]
        before = made.events()
        _concluded(conclusion, made)
        assert made.events() == before, "a conclusion reads what is stored: the run stores what it found"

    def test_the_config_is_frozen_and_its_fields_are_described(self, conclusion: Conclusion) -> None:
        for name in type(conclusion).model_fields:
            with pytest.raises(ValidationError):
                setattr(conclusion, name, None)
        bare = [name for name, each in type(conclusion).model_fields.items() if not each.description]
        assert bare == [], "every field needs Field(..., description=...): `themis plugins show` prints it"

    def test_the_identity_is_plain_data_and_gives_the_config_back(self, conclusion: Conclusion) -> None:
        identity = conclusion.identity()
        assert canonical_json(identity)
        assert type(conclusion).model_validate(identity).identity() == identity


def check_findings(found: Sequence[Finding]) -> None:
    """Assert that findings are sentences for people, with plain details."""
    assert isinstance(found, list | tuple), "a conclusion returns a list of Finding"
    for each in found:
        assert isinstance(each, Finding), "a conclusion returns a list of Finding"
        assert isinstance(each.text, str), "a finding says something for people"
        assert each.text.strip(), "a finding says something for people"
        assert each.met in (None, True, False), "`met` is true or false, or None if nothing was wanted"
        assert isinstance(each.details, dict), "details are a dict"
        assert canonical_json(each.details), "details are data that JSON can hold"


def _concluded(conclusion: Conclusion, made: MadeRun) -> list[Finding]:
    """What is found of a run, as a run asks for it; nothing if the plan would have refused the spec."""
    benchmark = BenchmarkSpec.model_validate(json.loads(made.spec.read_text("utf-8"))["benchmark"])
    conclusion.check(made.folder)
    try:
        conclusion.check_spec(benchmark)
        with open_results(made.spec) as results:
            conclusion.check_run(results, made.items())
    except (SpecError, ValueError) as error:
        if len(benchmark.models) > 1:
            raise AssertionError(f"the run of several models is refused: {error}") from error
        return []
    with open_results(made.spec) as results:
        try:
            return list(conclusion.conclude(results, made.run_id))
        except SpecError as error:  # it says what is wrong, and becomes a warning
            if len(benchmark.models) > 1:
                raise AssertionError(f"of several models nothing is concluded: {error}") from error
            return []


def _plain(finding: Finding) -> tuple[str, bool | None, str]:
    return finding.text, finding.met, canonical_json(finding.details)
