"""Files of rows (JSON Lines, JSON, CSV): which there are, and their rows as a bounded stream, each with its line.

It knows no meaning of columns. What is wrong is a SpecError that names file and line.
"""

from themis_rows.csv_file import csv_reader, csv_rows, twice_in
from themis_rows.json_document import json_rows
from themis_rows.json_lines import json_object, jsonl_rows
from themis_rows.paths import matching_files
from themis_rows.streams import BOM, fingerprint, lines, numbered_lines, opened, utf8
from themis_rows.strict_json import DECODER, NAN_IS_NULL, NAN_STAYS, check_depth, problem

__all__ = [
    "BOM",
    "DECODER",
    "NAN_IS_NULL",
    "NAN_STAYS",
    "check_depth",
    "csv_reader",
    "csv_rows",
    "fingerprint",
    "json_object",
    "json_rows",
    "jsonl_rows",
    "lines",
    "matching_files",
    "numbered_lines",
    "opened",
    "problem",
    "twice_in",
    "utf8",
]
