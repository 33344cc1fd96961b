"""JUnit, Markdown and annotations of results, good and bad ones, with hostile text in them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt

from themis_core import ResultRow, RunResult
from themis_output import cell
from themis_plugin_ci.github import as_annotations
from themis_plugin_ci.junit import as_junit
from themis_plugin_ci.markdown import as_markdown
from themis_plugin_ci.plugin import themis_run_finished

ROW = ResultRow(
    "test", "small", "plain", "default", "acc", "text/x", 0.5, 18, 0.1, 0.28, 0.72, "wilson", None, 1, 1, 2, {"odd": 1}
)
NAMES = {"slice_id": "test", "model_id": "small", "prompt_variant_id": "plain", "params": "default", "score": "acc"}
MISSED = {
    "measure": "value",
    "score": "acc",
    "minimum": 0.9,
    "met": False,
    "judged": True,
    "why": None,
    "rows": 2,
    "worst": {**NAMES, "metric": "text/x", "value": 0.5},
    "missed": [{**NAMES, "metric": "text/x", "value": 0.5}],
    "unjudged": [],
}
MET = {
    "measure": "failed",
    "maximum": 0.1,
    "met": True,
    "judged": True,
    "why": None,
    "rows": 1,
    "worst": {"value": 0.05},
    "missed": [],
    "unjudged": [],
}
UNJUDGED = {
    "measure": "cost",
    "maximum": 2.0,
    "met": False,
    "judged": False,
    "why": "the cost of 1 call is unknown",
    "rows": 0,
    "worst": None,
    "missed": [],
    "unjudged": [{"value": 1.0, "why": "the cost of 1 call is unknown"}],
}
LEDGER = {"planned": 20, "unfinished": 0, "answered": 19, "failed": 1, "failures": {"timeout": 1}, "scores": {}}
RESULT = RunResult(
    run_id="arith-0123", spec_digest="ab" * 32, status="completed", trials=20, generated=20,
    reused=0, failed=1, cost=0.25, unknown_cost_calls=1, cost_at_most=1.0, storage="/s/t.sqlite3",
    ledger={**LEDGER, "absent": 0},
    scores=[ROW, replace(ROW, model_id="large", value=0.95, low=0.8, high=0.99, unparsed=0)],
    thresholds=[MISSED, MET, UNJUDGED],
    errors={"timeout": "no reply within 60 s"},
    warnings=["1 answer: cut off"],
)  # fmt: skip
GOOD = replace(RESULT, thresholds=[MET], warnings=[])
FAILED = replace(RESULT, status="failed", note="some trials failed: timeout (1): raise attempt_timeout_s")
HOSTILE = (
    "</system-out>]]>\x00\x1b[2J\ufffe\ud800 @you #1 | `a` \\| <img src=x>\n::error::forged\r%0A![i](http://x) \u202e"
)
WORST = replace(
    RESULT,
    **dict.fromkeys(("run_id", "storage"), HOSTILE),  # type: ignore[arg-type]
    errors={"timeout": HOSTILE},
    warnings=[HOSTILE, "x" * 100_000],
    scores=[replace(ROW, model_id=f"{HOSTILE}{number}") for number in range(100)],
    thresholds=[
        {**MISSED, "score": HOSTILE, "missed": [{**NAMES, "metric": HOSTILE, "value": 0.1}] * 50},
        {**UNJUDGED, "unjudged": [{"value": None, "why": HOSTILE}]},
    ],
)

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
"""What the schema of Jenkins allows in each element, as far as it is used here; the others hold text alone."""
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "property": {"name", "value"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message", "type"},
}


def read(text: str) -> JUnitXml:
    """The document as a reader of JUnit has it, checked against what the schema allows."""
    for element in xml.fromstring(text.encode()).iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert element.attrib.keys() <= ATTRIBUTES.get(element.tag, set())
    return JUnitXml.fromstring(text.encode())


def cases(result: RunResult) -> dict[str, list[Any]]:
    (suite,) = read(as_junit(result))
    return {case.name: case.result for case in suite}


def test_junit_has_a_case_for_the_run_and_one_for_each_gate() -> None:
    document = read(as_junit(RESULT))
    (suite,) = document
    assert (document.tests, document.failures, document.errors, document.skipped) == (4, 1, 1, 0)
    assert (suite.name, {case.classname for case in suite}) == ("arith", {"arith"})
    properties = {each.name: each.value for each in suite.properties()}
    assert (properties["run_id"], properties["exit_code"], properties["cost"]) == ("arith-0123", "1", "0.25")
    found = cases(RESULT)
    assert {name: [(type(each), each.type, each.message) for each in results] for name, results in found.items()} == {
        "run": [],
        "score acc, minimum 0.9": [(Failure, "missed", "not met: score acc, minimum 0.9")],
        "measure failed, maximum 0.1": [],
        "measure cost, maximum 2": [(Error, "not judged", "not judged, so not met: measure cost, maximum 2")],
    }
    assert found["score acc, minimum 0.9"][0].text.splitlines() == [
        "test · small · plain · acc · text/x: 0.5",
        "20 trials: 19 answered, 1 failed; cost 0.25; the cost of 1 call is unknown",
    ]


def test_junit_tells_trouble_from_a_missed_gate() -> None:
    (run,) = cases(FAILED)["run"]
    assert (type(run), run.type, run.message) == (Error, "exit 5", FAILED.note)
    assert "no reply within 60 s" in run.text
    assert cases(GOOD) == {"run": [], "measure failed, maximum 0.1": []}


def test_findings_of_conclusions_are_gates() -> None:
    findings = [
        {"conclusion": "stats/compare", "text": "large is better by 0.45\n  p 0.01", "met": True, "details": {}},
        {"conclusion": "stats/baseline", "text": "worse by 0.03\n  18 items flipped", "met": False, "details": {}},
        {"text": "1,200 items would decide", "met": None, "details": {}},
    ]
    plain = {**GOOD.to_dict(), "conclusions": findings, "exit_code": 1}
    (suite,) = read(as_junit(plain))
    assert {case.name: [type(each) for each in case.result] for case in suite} == {
        "run": [],
        "measure failed, maximum 0.1": [],
        "stats/compare": [],
        "stats/baseline": [Failure],
        "finding": [Skipped],
    }
    said = {case.name: case.system_out for case in suite}
    assert said["stats/compare"] == "stats/compare: large is better by 0.45\np 0.01"
    assert said["finding"] == "1,200 items would decide"
    assert next(case for case in suite if case.name == "stats/baseline").result[0].message == (
        "not met: stats/baseline: worse by 0.03"
    )
    shown = as_markdown(plain)
    assert shown.startswith("### ❌ `arith-0123`: 1 of 3 gates not met\n")
    assert (
        "| `stats/compare` | ✅ met | – |\n| `stats/baseline` | ❌ **not met** | – |\n| `finding` | said | – |\n"
        in shown
    )
    assert "\n- `stats/baseline: worse by 0.03`\n  - `18 items flipped`\n" in shown
    assert "\n- `stats/compare: large is better by 0.45`\n  - `p 0.01`\n" in shown
    assert "\n- `1,200 items would decide`\n" in shown
    title = "missed%3A stats/baseline"
    assert f"::error title={title}::stats/baseline: worse by 0.03%0A18 items flipped\n" in as_annotations(plain)


def test_a_case_has_the_same_name_in_each_run_whatever_was_found() -> None:
    def names(*texts: str) -> list[str]:
        found = [{"conclusion": "stats/compare", "text": each, "met": True, "details": {}} for each in texts]
        (suite,) = read(as_junit({**GOOD.to_dict(), "conclusions": found}))
        return [case.name for case in suite][-2:]

    assert names("better by 0.1", "worse by 0.2") == names("0.3", "0.4") == ["stats/compare", "stats/compare (2)"]


MARKDOWN = """\
### ❌ `arith-0123`: 2 of 3 gates not met

| gate | verdict | compared |
| --- | --- | --- |
| `score acc, minimum 0.9` | ❌ **not met** | 0.5 at worst |
| `measure failed, maximum 0.1` | ✅ met | 0.05 |
| `measure cost, maximum 2` | ⚠️ **not judged** | – |

- `score acc, minimum 0.9`
  - `test · small · plain · acc · text/x: 0.5`
- `measure cost, maximum 2`
  - `all: the cost of 1 call is unknown`

`acc` · `text/x`

| model | value | 95 % interval | n | failed | unscored | unparsed |
| --- | --- | --- | --- | --- | --- | --- |
| `small` | 0.5 | 0.28 to 0.72 | 18 | 1 | 1 | 2 |
| `large` | 0.95 | 0.8 to 0.99 | 18 | 1 | 1 | 0 |

20 trials: 19 answered, 1 failed; cost 0.25; the cost of 1 call is unknown. Spec `abababababab`.

- ⚠️ `1 answer: cut off`
"""


def test_markdown_has_the_verdict_first_then_gates_scores_and_ledger() -> None:
    assert as_markdown(RESULT) == MARKDOWN
    assert as_markdown(GOOD).startswith("### ✅ `arith-0123`: 1 gate met\n")
    assert as_markdown(replace(GOOD, thresholds=[])).startswith("### ✅ `arith-0123`: done; the spec has no gates\n")
    assert as_markdown(FAILED).startswith("### ⚠️ `arith-0123`: the run is not whole: `some trials failed")


def test_annotations_have_the_verdict_first_and_a_line_for_each_gate_that_is_not_met() -> None:
    ledger = "20 trials: 19 answered, 1 failed; cost 0.25; the cost of 1 call is unknown"
    unknown = "all: the cost of 1 call is unknown"
    row = "test · small · plain · acc · text/x: 0.5"
    assert as_annotations(RESULT).splitlines() == [
        f"::error title=arith-0123%3A 2 of 3 gates not met::{ledger}",
        f"::error title=missed%3A score acc%2C minimum 0.9::score acc, minimum 0.9%0A{row}",
        f"::error title=not judged%3A measure cost%2C maximum 2::measure cost, maximum 2%0A{unknown}",
        "::warning title=arith-0123::1 answer: cut off",
    ]
    assert as_annotations(GOOD) == "::notice title=arith-0123::1 gate met\n"
    assert as_annotations(FAILED).startswith("::error title=arith-0123%3A the run is not whole%3A some trials failed")


def test_hostile_text_forges_no_command_no_mention_and_no_element() -> None:
    lines = as_annotations(WORST).splitlines()
    assert [re.match(r"::(error|warning) title=[^:,]*::", line) is not None for line in lines] == [True] * len(lines)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", as_annotations(WORST))
    shown = as_markdown(WORST)
    outside = re.sub(r"<code>[^<`]*</code>|`[^`\n]*`", "", shown)
    assert re.findall(r"@you|#1\b|<img|::error|!\[i|http", outside) == []
    assert {line.count("|") for line in shown.splitlines() if line.startswith("| <code>")} == {4, 8}
    assert len(shown) < 200_000
    names = [case.name for suite in read(as_junit(WORST)) for case in suite]
    assert len(names) == 3


def test_hostile_text_is_rendered_as_the_code_that_it_is() -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(as_markdown(WORST))
    assert set(re.findall(r"<(\w+)", rendered)) == {
        *("code", "h3", "li", "p", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
    }
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", rendered, re.DOTALL)]
    assert {len(cells) for cells in rows} == {0, 3, 7}  # heads, gates, scores
    shown = [html.unescape(cells[0].removeprefix("<code>").removesuffix("</code>")) for cells in rows if cells]
    hostile = cell(HOSTILE).replace("\ufffe", "\ufffd")  # no character, so it has no reference
    assert shown == [
        f"score {hostile}, minimum 0.9",
        "measure cost, maximum 2",
        *(f"{hostile}{number}" for number in range(20)),
    ]


def test_a_summary_is_short_however_much_there_is_to_say() -> None:
    shown = as_markdown(WORST)
    assert "\nand 80 more rows\n" in shown
    assert "  - and 40 more\n" in shown
    assert len(as_annotations(replace(WORST, thresholds=[MISSED] * 50)).splitlines()) == 10 + 2


def test_the_observer_writes_on_github_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n", "utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for there in ("", "true"):
        monkeypatch.setenv("GITHUB_ACTIONS", there)
        themis_run_finished(event=None, summary=RESULT.to_dict())  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", as_annotations(RESULT))
    assert summary.read_text("utf-8") == f"before\n{MARKDOWN}"
