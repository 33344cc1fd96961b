"""YAML that every reader takes for the same values: a text that a version of YAML reads as something else is quoted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

__all__ = ["as_yaml"]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_BLOCK = re.compile(r"(?=.*\n)[^\s\ufeff][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]*")
"""Lines that a block holds as they are; all else is escaped in double quotes."""
_OTHER_THINGS = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"]
)  # of YAML 1.1, which kubectl reads, or of 1.2


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHER_THINGS:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if _BLOCK.fullmatch(text) else '"')


_Dumper.add_representer(str, _text)


def as_yaml(documents: Sequence[dict[str, Any]]) -> str:
    """One stream of documents, keys in the order that they have. Raises nothing for any text but lone surrogates."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, explicit_start=True
    )
