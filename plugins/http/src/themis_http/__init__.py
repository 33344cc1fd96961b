"""What engines of services share: connections, secrets, failures and waits, and an engine to build a provider on."""

from themis_http.answers import (
    billed,
    ending_of_answer,
    invalid,
    names_of,
    plain_objects,
    status_of,
    warning_of,
)
from themis_http.bodies import encode, json_object, json_value
from themis_http.carriers import Call
from themis_http.config import ServerConfig, check_shown
from themis_http.counts import MOST_TOKENS, count
from themis_http.dialect import Dialect
from themis_http.endings import Ending, ending_of, finish_reason
from themis_http.engine import HttpEngine
from themis_http.environment import secrets_in_environment
from themis_http.events import EventReader, ServerEvent
from themis_http.failures import inner_error, status_error
from themis_http.lines import first_json_line, json_lines
from themis_http.redaction import Redaction
from themis_http.waits import retry_after

__all__ = [
    "Call",
    "Dialect",
    "Ending",
    "EventReader",
    "HttpEngine",
    "MOST_TOKENS",
    "Redaction",
    "ServerConfig",
    "ServerEvent",
    "billed",
    "check_shown",
    "count",
    "encode",
    "ending_of",
    "ending_of_answer",
    "finish_reason",
    "first_json_line",
    "inner_error",
    "invalid",
    "json_lines",
    "json_object",
    "json_value",
    "names_of",
    "plain_objects",
    "retry_after",
    "secrets_in_environment",
    "status_error",
    "status_of",
    "warning_of",
]
