"""Plain data, such as JSON has: one canonical text, checks of what should be plain, copies, a file to keep it in."""

from themis_plain.canonical import canonical_json, digest
from themis_plain.checks import (
    LIMIT,
    as_amount,
    as_count,
    as_flag,
    as_number,
    as_text,
    check_dict,
    check_json,
    kind_of,
    told_type,
)
from themis_plain.copies import Handed, own
from themis_plain.kept import Kept
from themis_plain.ordering import placed
from themis_plain.parked import Parked
from themis_plain.records import quick

__all__ = [
    "LIMIT", "Handed", "Kept", "Parked", "as_amount", "as_count", "as_flag", "as_number", "as_text",
    "canonical_json", "check_dict", "check_json", "digest", "kind_of", "own", "placed", "quick", "told_type",
]  # fmt: skip
