"""What a session sets for itself, so that no role, database or server decides what its bytes mean or what it may do.

Only how fast something is (memory, plans) is left to whoever runs the server.
"""

from __future__ import annotations

from typing import Final, Literal

from themis_plugin_postgres.config import PostgresConfig

__all__ = ["session_settings"]

_MEANING: Final = {
    # How literals and parameters are read: psycopg escapes bytes by standard_conforming_strings.
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "escape_string_warning": "off",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "xmloption": "content",
    # How values are written.
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    # Which rows are seen: off gives an error where a policy would hide some.
    "row_security": "off",
    # How statements run.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "lock_timeout": "0",
    "client_min_messages": "warning",
    # Plans are made for the tables as they are: one made while they were empty would scan them for ever.
    "plan_cache_mode": "force_custom_plan",
}
_SINCE: Final = {"idle_session_timeout": 140_000, "transaction_timeout": 170_000}
"""Settings that older servers don't know, with the version from which they are there. Both end a session that waits."""


def session_settings(spec: PostgresConfig, mode: Literal["write", "read"], server_version: int) -> dict[str, str]:
    """Return all settings of a session, by name."""
    return {
        **_MEANING,
        **{name: "0" for name, since in _SINCE.items() if server_version >= since},
        "search_path": f'"{spec.schema_name}"',
        "default_transaction_read_only": "on" if mode == "read" else "off",
        "synchronous_commit": spec.synchronous_commit,
        "statement_timeout": f"{spec.statement_timeout_s * 1000:.0f}",
        # A process that stands still within a transaction keeps all others from writing.
        "idle_in_transaction_session_timeout": f"{spec.lease_s * 4000:.0f}",
    }
