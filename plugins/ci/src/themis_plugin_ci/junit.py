"""A result in the JUnit form that CI systems read: a test case for the run itself, and one for each gate.

A gate that is missed is a failure. One that can't be judged, and a run that is not whole, are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as xml

from themis_output import safe
from themis_plugin_ci.telling import Told, told_of

if TYPE_CHECKING:
    from themis_core import Gate, RunResult

__all__ = ["as_junit"]

_NO_XML = re.compile("[\ufffe\uffff]")
"""What `safe` leaves and XML can't hold."""


def as_junit(result: RunResult | Mapping[str, Any]) -> str:
    """The result as an XML document; `result` may be what `RunResult.to_dict` gave."""
    told = told_of(result)
    cases = [_run(told), *(_gate(gate, told) for gate in told.gates)]
    suite = {"name": _name(told), **_counts(cases)}
    root = xml.Element("testsuites", {key: value for key, value in suite.items() if key != "skipped"})
    within = xml.SubElement(root, "testsuite", suite)
    properties = xml.SubElement(within, "properties")
    for name in ("run_id", "spec_digest", "status", "exit_code", "trials", "generated", "reused", "failed", "cost"):
        if (value := told.result[name]) is not None:
            xml.SubElement(properties, "property", name=name, value=_text(value))
    within.extend(cases)
    xml.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{xml.tostring(root, encoding='unicode')}\n"


def _run(told: Told) -> xml.Element:
    case = _case("run", told)
    if told.trouble is not None:
        _add(case, "error", told.trouble, [told.ledger, *told.result["errors"].values()], f"exit {_exit(told)}")
    xml.SubElement(case, "system-out").text = _text("\n".join([told.ledger, *told.result["warnings"]]))
    return case


def _gate(gate: Gate, told: Told) -> xml.Element:
    case = _case(gate.key, told)  # not its name, which tells what a conclusion found this time
    if gate.state == "missed":
        _add(case, "failure", f"not met: {gate.name}", [*gate.lines, told.ledger], "missed")
    elif gate.state == "not judged":
        _add(case, "error", f"not judged, so not met: {gate.name}", [*gate.lines, told.ledger], "not judged")
    elif gate.state == "said":
        xml.SubElement(case, "skipped", message="it judges nothing")
    said = [f"compared: {gate.compared}"] if gate.compared else []
    if gate.name != gate.key and not gate.failed:
        said = [gate.name, *gate.lines, *said]
    if said:
        xml.SubElement(case, "system-out").text = _text("\n".join(said))
    return case


def _case(name: str, told: Told) -> xml.Element:
    return xml.Element("testcase", classname=_name(told), name=_text(name))


def _name(told: Told) -> str:
    """The benchmark's name, which run ids begin with: CI systems compare cases of the same name over time."""
    run_id = str(told.result["run_id"])
    return _text(run_id.rpartition("-")[0] or run_id)


def _add(case: xml.Element, kind: str, message: str, lines: list[str], of_type: str) -> None:
    xml.SubElement(case, kind, message=_text(message), type=of_type).text = _text("\n".join(lines))


def _exit(told: Told) -> int:
    return int(told.result["exit_code"])


def _counts(cases: list[xml.Element]) -> dict[str, str]:
    counts = {name: sum(case.find(tag) is not None for case in cases) for name, tag in _TAGS.items()}
    return {"tests": str(len(cases)), **{name: str(count) for name, count in counts.items()}}


_TAGS = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def _text(value: object) -> str:
    return _NO_XML.sub("\ufffd", safe(str(value)))
