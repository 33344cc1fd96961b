"""Reads verdicts, strictly: only behind the marker, only one of the labels, and no two different ones for a part.

What can't be read has a reason and no value. Nothing here guesses, and nothing returns a worst value.

    judge_refused, judge_truncated, judge_empty, judge_absent   how the judge's reply ended
    no_verdict      nothing stands where the verdict was to be
    two_verdicts    different ones stand there
    unknown_verdict    what stands there is none of the labels: 11 of 10, NaN, a look-alike letter
    no_logprobs     the reply tells no probabilities at the verdict's token
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from themis_core import Generation
from themis_plugin_judge.markers import json_key

__all__ = ["Labels", "Verdict", "read_verdicts"]

Labels = Mapping[str, float]
"""Label, in capital letters, to value."""

_TAG: Final = re.compile(
    # Compiled once, so for any marker. What is behind it is only looked at, as another tag may stand in the same line.
    # The label may stand on the next line, if nothing but marks are left on the tag's own.
    r"VERDICT-(?P<marker>[0-9a-f]{10})(?:-(?P<part>[0-9]{1,4}))?"
    r"(?:[*_`\\]*[ \t]*[:\uff1a](?=(?P<label>(?:[ \t\r*_`\\\u00a0\u200b]{0,20}\n){0,2}[^\n]{0,200})))?"
)
_THOUGHT: Final = r"think|thinking|thought|reasoning"
_OPENED: Final = re.compile(rf"\s*<({_THOUGHT})\b[^<>]{{0,200}}>", re.IGNORECASE)
_THOUGHTS: Final = re.compile(rf"<({_THOUGHT})\b[^<>]{{0,200}}>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff")) | {0xA0: " "}
_BOXED: Final = re.compile(r"\$*\\?boxed\{(?:\\text\{)?([^{}]*)\}{1,2}\$*\.?")
_OF_MOST: Final = re.compile(r"([0-9]+)(?:\.0+)?(?: ?(?:/|OUT OF) ?([0-9]+))?")
_WORDS: Final = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN")
_MOST_BRACES: Final = 50
_EMPHASIS: Final = " \t\r\n*_`\"'.<>[]()\\"
_MAX_LABEL: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one part: a value, or the reason why there is none."""

    value: float | None = None
    reason: str | None = None
    label: str | None = None
    """As the judge wrote it, cut to 100 characters."""
    mass: float | None = None
    """Probability of all labels together at the verdict's token, if the value is an expected one."""


NO_VERDICT: Final = Verdict(reason="no_verdict")
TWO_VERDICTS: Final = Verdict(reason="two_verdicts")


def read_verdicts(
    reply: Generation, marker: str, parts: int, labels: Labels, *, as_json: bool, logprobs: bool
) -> list[Verdict]:
    """One verdict per part, in order."""
    if reply.status != "answered":
        return [Verdict(reason=f"judge_{reply.status}")] * parts
    if as_json:
        return _read_json(reply.text, marker, parts, labels)
    found = _read_text(_spoken(reply.text), marker, parts, labels)
    if not logprobs:
        return found
    return [
        _expected(_alternatives(reply.logprobs or (), marker, part, parts), labels, verdict)
        for part, verdict in enumerate(found, 1)
    ]


def _spoken(text: str) -> str:
    """The reply without its thoughts: those that it begins with, also if they never end, and those between two tags."""
    if opened := _OPENED.match(text):
        closed = list(re.finditer(rf"</{opened[1]}\s*>", text, re.IGNORECASE))
        text = text[closed[-1].end() :] if closed else ""
    return _THOUGHTS.sub("", text)


def _read_text(text: str, marker: str, parts: int, labels: Labels) -> list[Verdict]:
    said: dict[int, list[str | None]] = {}
    for match in _tags(text, marker):
        if parts == 1:
            said.setdefault(1, []).append(None if match["part"] else match["label"])
        elif match["part"]:
            said.setdefault(int(match["part"]), []).append(match["label"])
    return [_one(said.get(part, ()), labels) for part in range(1, parts + 1)]


def _tags(text: str, marker: str) -> Iterator[re.Match[str]]:
    return (match for match in _TAG.finditer(text) if match["marker"] == marker)


def _one(said: Sequence[str | None], labels: Labels) -> Verdict:
    found = [_labelled(each.translate(_INVISIBLE).strip(_EMPHASIS), labels) if each else NO_VERDICT for each in said]
    if len(found) > 1:
        return found[0] if found[0].value is not None and found.count(found[0]) == len(found) else TWO_VERDICTS
    return found[0] if found else NO_VERDICT


def _labelled(said: str, labels: Labels) -> Verdict:
    if not said:
        return NO_VERDICT
    if boxed := _BOXED.fullmatch(said):
        said = boxed[1].strip(_EMPHASIS)
    before, because, rest = said.partition(" because ")
    if because and not _names(rest, labels):  # a reason that names a verdict may take the first one back
        said = before.strip(_EMPHASIS + ",")
    # ASCII first: upper() turns letters of other alphabets into Latin ones.
    label = said.upper() if said.isascii() and len(said) <= _MAX_LABEL else ""
    bare = label.removesuffix(".0")  # which says nothing, behind a word as behind a rating
    label = bare if bare in labels else _number(label, labels)
    if label not in labels:
        return Verdict(reason="unknown_verdict", label=said[:_MAX_LABEL])
    return Verdict(labels[label], label=label)


def _names(text: str, labels: Labels) -> bool:
    words = re.findall(r"[A-Z]+|[0-9]+", text.upper())
    return any(label in words for label in labels)


def _number(said: str, labels: Labels) -> str:
    """The label of a rating in words, with a point and zeros, or out of the highest; nothing else is a number."""
    if not all(label.isdigit() for label in labels):
        return ""
    if said in _WORDS:
        return str(_WORDS.index(said))
    read = _OF_MOST.fullmatch(said)
    return read[1] if read and (read[2] is None or int(read[2]) == max(map(int, labels))) else ""


class _Twice(ValueError):
    pass


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]:
        raise _Twice(twice[0])
    return dict(pairs)


def _read_json(text: str, marker: str, parts: int, labels: Labels) -> list[Verdict]:
    first = json_key(marker, 1, parts)
    try:
        found = [each for each in _objects(_spoken(text).strip()) if first in each]
    except _Twice:
        return [TWO_VERDICTS] * parts
    read = [[_member(each, json_key(marker, part, parts), labels) for part in range(1, parts + 1)] for each in found]
    if read and _spoken(text).count(f'"{first}"') == len(read) == read.count(read[0]):
        return read[0]
    again = _spoken(text).count(f'"{first}"') > 1
    return [TWO_VERDICTS if again else NO_VERDICT] * parts


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The JSON objects that stand in a text, one after another; none of a text that is a value of another kind."""
    decoder = json.JSONDecoder(object_pairs_hook=_members)
    at = 0 if text[:1] not in ("[", '"') else -1
    for _ in range(_MOST_BRACES):
        if at < 0 or (at := text.find("{", at)) < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
            yield value
        except _Twice:
            raise
        except (ValueError, RecursionError):
            at += 1


def _member(data: Mapping[str, Any], key: str, labels: Labels) -> Verdict:
    if key not in data or data[key] is None:
        return NO_VERDICT
    value = data[key]
    if isinstance(value, str) or type(value) in (int, float):
        return _labelled(str(value).strip(), labels)
    return Verdict(reason="unknown_verdict", label=repr(value)[:_MAX_LABEL])


def _expected(alternatives: Mapping[str, float], labels: Labels, verdict: Verdict) -> Verdict:
    """The mean of the labels' values, weighted with their probabilities at the token where the verdict begins.

    Source: Liu et al. 2023, "G-Eval", section 2.3; a token stands for the label that it is the beginning of.
    """
    if verdict.value is None:
        return verdict
    weights = dict.fromkeys(labels, 0.0)
    for token, logprob in alternatives.items():
        begun = token.strip(_EMPHASIS).upper() if token.isascii() else ""
        fits = [label for label in labels if label.startswith(begun)] if begun else []
        if len(fits) == 1:
            weights[fits[0]] += math.exp(min(logprob, 0.0))
    mass = sum(weights.values())
    if not verdict.label or weights.get(verdict.label, 0.0) <= 0.0:
        return replace(verdict, value=None, reason="no_logprobs")
    value = sum(labels[label] * weight for label, weight in weights.items()) / mass
    low, high = min(labels.values()), max(labels.values())
    return replace(verdict, value=min(max(value, low), high), mass=min(mass, 1.0))


def _alternatives(tokens: Sequence[Mapping[str, Any]], marker: str, part: int, parts: int) -> dict[str, float]:
    """Token to log-probability where the verdict's label begins: the sampled token and those listed beside it."""
    text = "".join(str(each.get("token", "")) for each in tokens)
    found = [
        match for match in _tags(text, marker) if match["label"] and (parts == 1 or int(match["part"] or 0) == part)
    ]
    if not found:
        return {}
    # The last one: thoughts before it may have the tag too.
    begins = found[-1].end() + len(found[-1]["label"]) - len(found[-1]["label"].lstrip(_EMPHASIS))
    at = 0
    for each in tokens:
        start, at = at, at + len(str(each.get("token", "")))
        if at > begins:
            before = text[start:begins]  # a token may begin with what stands before the label
            listed = [each, *(each.get("top_logprobs") or ())]
            return {
                str(one["token"]).removeprefix(before): float(one["logprob"])
                for one in listed
                if isinstance(one.get("logprob"), int | float) and math.isfinite(one["logprob"])
            }
    return {}
