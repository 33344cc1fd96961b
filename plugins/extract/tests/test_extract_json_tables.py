"""Which JSON is found, what a path leads to, and what a schema refuses."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Extraction
from themis_plugin_extract.json_values import Json

FENCED = 'Sure:\n```json\n{"answer": {"value": [1, 2]}}\n```\nSee [3].'


@pytest.mark.parametrize(
    ("config", "text", "value", "reason"),
    [
        ({}, '{"a": 1}', {"a": 1}, None),
        ({}, "42", 42, None),
        ({}, '"B"', "B", None),
        ({}, "null", None, None),
        ({}, FENCED, {"answer": {"value": [1, 2]}}, None),
        ({"path": "answer.value[1]"}, FENCED, 2, None),
        ({"path": "[-1].x"}, '[{"x": 1}, {"x": 2}]', 2, None),
        ({"path": '["a.b"].c'}, '{"a.b": {"c": 3}}', 3, None),
        ({"path": "a.b"}, '{"a": 1}', None, "path_missing"),
        ({"path": "a[5]"}, '{"a": [1]}', None, "path_missing"),
        ({"path": "a[0]"}, '{"a": "text"}', None, "path_missing"),
        ({}, 'First {"a": 1}, then {"a": 2}.', {"a": 2}, None),
        ({"which": "first"}, 'First {"a": 1}, then {"a": 2}.', {"a": 1}, None),
        ({}, '{"a": {"b": 1}} as in [1]', {"a": {"b": 1}}, None),  # objects before arrays, outermost only
        ({}, "the list [1, 2]", [1, 2], None),
        ({}, 'a brace { and {"a": 1}', {"a": 1}, None),
        ({}, '```python\n[1]\n```\n```\n{"b": 2}\n```', {"b": 2}, None),
        ({}, '{"a": "x\ny"}', {"a": "x\ny"}, None),
        ({}, "no JSON", None, "no_json"),
        ({}, "", None, "no_json"),
        ({}, "It is {'a': 1}", None, "invalid_json"),
        ({}, '```json\n{"answer": {"value": "4', None, "invalid_json"),
        ({}, '{"a": 1, "a": 2}', None, "duplicate_keys"),
        ({}, 'Draft: {"a": 3}. Final: {"a": 5,}', None, "invalid_json"),
        ({}, 'Try {"a": 3}. No: {"a": 5, "why": "beca', None, "invalid_json"),
        ({}, '{"a": 3} then {"a": {"b": 5}, oops}', None, "invalid_json"),
        ({}, '{"a": NaN}', None, "not_finite"),
        ({}, '{"a": 1e400}', None, "not_finite"),
        ({}, "[" + "1" * 5_000 + "]", None, "number_too_long"),
        ({}, "[" * 199 + "]" * 199, json.loads("[" * 199 + "]" * 199), None),
        ({}, "[" * 250 + "]" * 250, None, "too_deep"),
        ({}, "[" * 100_000, None, "too_deep"),
        ({}, '{"a":' * 12_000, None, "too_deep"),
        ({}, "{" * 1_000_000, None, "invalid_json"),
        ({}, '["' * 30_000, None, "invalid_json"),
        ({}, "a" * 1_000_000, None, "no_json"),
        ({}, '{"a": "\\ud83d\\u0000\u202e"}', {"a": "\ud83d\x00\u202e"}, None),
    ],
)
def test_json(config: dict[str, Any], text: str, value: Any, reason: str | None) -> None:
    assert Json.model_validate(config).extract(text) == Extraction(value, reason)


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"type": "object", "required": ["a"]}, {"a": 1}, None),
        ({"type": "object", "required": ["a"]}, {"b": 1}, "schema_mismatch"),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": "xy"}, None),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": "y"}, "schema_mismatch"),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": 1}, None),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "array"}}}, [1], None),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "array"}}}, {}, "schema_mismatch"),
        ({"$ref": "#"}, [1], "too_deep"),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], None),
        ({"uniqueItems": True}, [1, 1.0], "schema_mismatch"),
        ({"uniqueItems": True}, [{"a": [1]}, {"a": [1]}], "schema_mismatch"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "minItems": 2}, [1], "schema_mismatch"),
        ({"$id": "https://example.org/s", "$ref": "#/$defs/n", "$defs": {"n": {"type": "array"}}}, [1], None),
    ],
)
def test_a_schema_decides_about_the_whole_value(schema: Any, value: Any, reason: str | None) -> None:
    extraction = Json.model_validate({"schema": schema}).extract(json.dumps(value))
    assert extraction == Extraction(None if reason else value, reason)


@pytest.mark.parametrize(
    ("schema", "value", "reason"),
    [
        ({"items": {"pattern": r"(\w+\s?)*$"}}, ["word " * 12_000 + "!"] * 50, "extractor_timeout"),
        ({"uniqueItems": True}, [i if i % 2 else str(i) for i in range(20_000)], None),
    ],
)
def test_a_schema_takes_bounded_time_on_hostile_values(schema: Any, value: Any, reason: str | None) -> None:
    started = time.thread_time()
    assert Json.model_validate({"schema": schema}).extract(json.dumps(value)).reason == reason
    assert time.thread_time() - started < 20  # a second or less here; without a bound it would be minutes


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "a..b"}, "path: can't read 'a..b' at position 1"),
        ({"path": "a[x]"}, "path: can't read 'a[x]' at position 1"),
        ({"schema": {"type": "nope"}}, "schema: $.type: 'nope' is not valid"),
        ({"schema": {"$ref": "https://example.org/s"}}, "leads out of the schema; copy what it names into $defs"),
        ({"schema": {"$ref": "#/$defs/n"}}, "schema: $ref '#/$defs/n' leads nowhere"),
        ({"schema": {"pattern": "("}}, "schema: $.pattern: '(' is not a 'regex'"),
        ({"schema": {"patternProperties": {"a": {}}}}, "schema: patternProperties is not supported here"),
        ({"schema": {"$schema": "https://example.org/own"}}, "schema: unknown dialect 'https://example.org/own'"),
    ],
)
def test_a_path_or_schema_that_can_not_work_is_refused_as_config(config: Any, message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Json.model_validate(config)
    assert message in str(raised.value)
