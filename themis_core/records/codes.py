"""The stable codes of what failed, what each means, and what to do about it."""

from __future__ import annotations

from typing import Final

__all__ = ["ERROR_CODES", "ERROR_REMEDIES", "SCORE_FAULTS"]

ERROR_CODES: Final = {
    "timeout": "the attempt took longer than its deadline",
    "connection": "no connection, or it broke before the reply was complete",
    "unreachable": "nobody listens at the address, or there is no such host",
    "certificate": "the server's certificate is not trusted",
    "tls": "client and server agree on no secure connection, such as https to a port for http",
    "redirect": "the address sends elsewhere, which is never followed",
    "proxy": "the proxy can't be reached or refuses the connection",
    "rate_limited": "the provider asked to slow down (429)",
    "overloaded": "the provider is overloaded for now (503, 529)",
    "server_error": "the provider failed (other 5xx, 408, 409)",
    "bad_request": "the provider refuses the request as it is (400, 422)",
    "context_length": "prompt and answer do not fit the model's context",
    "content_filter": "the provider's filter refused the prompt: the answer counts as refused",
    "unauthorized": "the key is missing or wrong (401)",
    "forbidden": "the key may not do this (403)",
    "not_found": "no such model or address (404)",
    "too_large": "the request is too large (413)",
    "quota_exhausted": "the account's quota or credit is used up",
    "invalid_reply": "the reply is not what the protocol says",
    "reply_too_large": "the reply is larger than the limit",
    "missing": "no recorded output for this item and model",
    "unsupported": "the engine can't do what the parameters ask",
    "circuit_open": "not called: the endpoint failed too often",
    "engine_error": "the engine raised an unexpected exception",
    "application_error": "the code or program under evaluation failed, or returned what is no answer",
    "cancelled": "stopped before the reply came",
    "no_user_reply": "the model that plays the user refused, or said nothing",
    "conversation_error": "a rule of the conversation can't be applied to what was said",
    "batch_unanswered": "its batches ended (expired, cancelled) without an answer to it",
}
"""Stable codes of failed generations, with their meaning."""

ERROR_REMEDIES: Final = {
    "timeout": "raise `execution_policy.attempt_timeout_s`, or let fewer calls be in flight",
    "connection": "look at the network and at the server's own log",
    "unreachable": "start the server, or correct its address",
    "certificate": "let the client trust the authority that signed it, or correct the server's name",
    "tls": "write the address with http: or https:, whichever the server speaks at that port",
    "redirect": "write the address at which the interface itself answers",
    "proxy": "correct the variable that names the proxy, or list the server's host in NO_PROXY",
    "rate_limited": "lower `execution_policy.requests_per_minute`, or raise `retry_window_s`",
    "overloaded": "wait a while, or let fewer calls be in flight",
    "server_error": "look at the provider's status page or the server's own log",
    "bad_request": "change what the message names: a setting (see `params` of a model), the model or the prompt",
    "context_length": "shorten the prompt, or lower `max_tokens`",
    "content_filter": "change the prompt or the filter",
    "unauthorized": "put the right key into the variable that the spec names",
    "forbidden": "let the account have access to this model, or use another key",
    "not_found": "correct the model's name or the server's address",
    "too_large": "shorten the prompt, or send smaller images",
    "quota_exhausted": "top up the account or raise its limit",
    "invalid_reply": "look at what answers at this address",
    "reply_too_large": "lower `max_tokens`, or raise the engine's limit",
    "missing": "record the output, or take the item or model out of the spec",
    "unsupported": "take the setting out, or use another engine",
    "circuit_open": "mend what the message names",
    "engine_error": "report it to the engine's author",
    "application_error": "mend what the message names in your application",
    "cancelled": "let the run come to its end",
    "no_user_reply": "change what the simulated user is told, or its settings, such as `max_tokens`",
    "conversation_error": "mend the rule that the message names: the answers before it are kept",
    "batch_unanswered": "look at the provider for why; raise `execution_policy.batches.rounds`, or set `leftover: ask`",
}
"""What to do about the failures of each code, before the run is started again."""
SCORE_FAULTS: Final = {
    "extractor_error": "an extractor raised an exception",
    "extractor_timeout": "an extractor needed more time than it may take",
    "metric_error": "the metric or judge raised an exception",
    "metric_timeout": "the metric or judge needed more time than it may take",
    "not_finite": "the metric or judge gave a number that is not finite",
    "out_of_range": "the metric or judge gave a number outside of the range that it declares",
    "judge_unavailable": "the judging model, or the one compared with, gave no answer",
}
"""Reasons of scores that are missing by a component's or endpoint's fault, with their meaning: nothing is known of the
answer.

Nothing that is stored with such a reason is final: the next run tries it again, which asks no model under test.
"""
