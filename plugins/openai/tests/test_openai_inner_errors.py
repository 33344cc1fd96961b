"""Errors within a 200: each is what its code, type or words say, with the retry rule of that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from themis_core import EngineError
from themis_http.bodies import json_object
from themis_http.redaction import Redaction
from themis_plugin_openai.dialect import DIALECT


@pytest.mark.parametrize(
    ("body", "code", "retryable"),
    [
        ({"error": {"message": "no credits", "code": 402}}, "quota_exhausted", False),
        ({"error": {"message": "no", "code": 403}}, "forbidden", False),
        ({"error": {"message": "slow down", "code": "429"}}, "rate_limited", True),
        ({"error": {"message": "maximum context length is 8", "code": 400}}, "context_length", False),
        ({"error": {"message": "upstream timed out", "code": 504}}, "server_error", True),
        ({"error": {"message": "x", "type": "overloaded_error"}}, "overloaded", True),
        ({"error": {"message": "x", "type": "authentication_error"}}, "unauthorized", False),
        ({"object": "error", "message": "bad n", "type": "BadRequestError", "code": 400}, "bad_request", False),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "quota_exhausted", False),
        ({"choices": [{"error": {"code": 502, "message": "x"}}]}, "server_error", True),
        ({"error": "bad luck"}, "invalid_reply", True),
    ],
)
def test_an_error_in_a_200_is_what_it_says(body: dict[str, Any], code: str, retryable: bool) -> None:
    with pytest.raises(EngineError, match="a 200 with an error in it") as caught:
        json_object(json.dumps(body).encode(), Redaction(()), dialect=DIALECT)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_an_error_that_says_nothing_beside_an_answer_is_none() -> None:
    body = {"error": {"code": 0, "message": ""}, "choices": [{"message": {"content": "4"}}]}
    assert json_object(json.dumps(body).encode(), Redaction(()), dialect=DIALECT) == body
