"""Documents that users write: YAML, TOML and JSON as the same plain values, each with its line; nothing is guessed."""

from themis_documents.plain import DocumentError, Loc, WrittenFloat, WrittenInt, dotted
from themis_documents.reading import Kind, Source, parse_source, read_source
from themis_documents.setting import kind_of, set_value, steps_of

__all__ = [
    "DocumentError",
    "Kind",
    "Loc",
    "Source",
    "WrittenFloat",
    "WrittenInt",
    "dotted",
    "kind_of",
    "parse_source",
    "read_source",
    "set_value",
    "steps_of",
]
